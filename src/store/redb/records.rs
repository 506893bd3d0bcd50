//! Records other than jobs: their tables, revisions, and what a batch must
//! respect before it writes them.

use redb::{ReadableTable, Table, WriteTransaction};

use super::codec::{self, Revised, Stored};
use super::errors::Halt;
use super::tables;
use crate::domain::preview::Preview;
use crate::domain::project::Project;
use crate::domain::user::User;
use crate::error::{Code, Error};
use crate::store::batch::{RecordKey, Slot};
use crate::store::{Change, Record, Sequence};

type Text = &'static str;
type Bytes = &'static [u8];

pub(super) struct RecordTables<'txn> {
    sequences: Table<'txn, u8, i64>,
    pub(super) users: Table<'txn, i64, Bytes>,
    pub(super) emails: Table<'txn, Text, (i64, Text)>,
    pub(super) usernames: Table<'txn, Text, i64>,
    pub(super) admins: Table<'txn, i64, ()>,
    pub(super) sessions: Table<'txn, Text, Bytes>,
    pub(super) user_sessions: Table<'txn, (i64, Text), ()>,
    pub(super) api_tokens: Table<'txn, i64, Bytes>,
    pub(super) token_digests: Table<'txn, Text, i64>,
    pub(super) user_tokens: Table<'txn, (i64, i64), ()>,
    pub(super) links: Table<'txn, Text, Bytes>,
    pub(super) projects: Table<'txn, i64, Bytes>,
    pub(super) user_projects: Table<'txn, (i64, i64), ()>,
    pub(super) members: Table<'txn, (i64, i64), Bytes>,
    pub(super) previews: Table<'txn, Text, Bytes>,
    pub(super) preview_index: Table<'txn, (u8, i64, i64, Text), ()>,
    pub(super) active_previews: Table<'txn, (i64, Text), ()>,
    pub(super) build_keys: Table<'txn, (Text, i64, Text), ()>,
    preview_tokens: Table<'txn, Text, Text>,
}

impl<'txn> RecordTables<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, Halt> {
        Ok(Self {
            sequences: txn.open_table(tables::SEQUENCES)?,
            users: txn.open_table(tables::USERS)?,
            emails: txn.open_table(tables::EMAILS)?,
            usernames: txn.open_table(tables::USERNAMES)?,
            admins: txn.open_table(tables::ADMINS)?,
            sessions: txn.open_table(tables::SESSIONS)?,
            user_sessions: txn.open_table(tables::USER_SESSIONS)?,
            api_tokens: txn.open_table(tables::API_TOKENS)?,
            token_digests: txn.open_table(tables::TOKEN_DIGESTS)?,
            user_tokens: txn.open_table(tables::USER_TOKENS)?,
            links: txn.open_table(tables::LINKS)?,
            projects: txn.open_table(tables::PROJECTS)?,
            user_projects: txn.open_table(tables::USER_PROJECTS)?,
            members: txn.open_table(tables::MEMBERS)?,
            previews: txn.open_table(tables::PREVIEWS)?,
            preview_index: txn.open_table(tables::PREVIEW_INDEX)?,
            active_previews: txn.open_table(tables::ACTIVE_PREVIEWS)?,
            build_keys: txn.open_table(tables::BUILD_KEYS)?,
            preview_tokens: txn.open_table(tables::PREVIEW_TOKENS)?,
        })
    }

    pub(super) fn allocate(&mut self, sequence: Sequence) -> Result<i64, Halt> {
        let code = match sequence {
            Sequence::User => 1,
            Sequence::Project => 2,
            Sequence::ApiToken => 3,
        };
        let next = self.sequences.get(code)?.map_or(0, |last| last.value()) + 1;
        self.sequences.insert(code, next)?;
        Ok(next)
    }

    /// The record's revision, `None` when it is absent.
    pub(super) fn revision(&self, slot: Slot<'_>) -> Result<Option<u64>, Halt> {
        let there = match slot {
            Slot::User(id) => {
                return Ok(fetch::<_, Revised<User>>(&self.users, id.0)?.map(|r| r.revision));
            }
            Slot::Project(id) => {
                return Ok(fetch::<_, Revised<Project>>(&self.projects, id.0)?.map(|r| r.revision));
            }
            Slot::Preview(id) => {
                let row = fetch::<_, Revised<Preview>>(&self.previews, id.as_str())?;
                return Ok(row.map(|r| r.revision));
            }
            Slot::Session(id) => self.sessions.get(id)?.is_some(),
            Slot::ApiToken(id) => self.api_tokens.get(id)?.is_some(),
            Slot::OneTimeLink(digest) => self.links.get(digest)?.is_some(),
            Slot::Member(project, user) => self.members.get((project.0, user.0))?.is_some(),
            Slot::PreviewToken(digest) => self.preview_tokens.get(digest)?.is_some(),
        };
        Ok(there.then_some(1))
    }

    /// What must be true of the change at `index` beyond its own expectation.
    pub(super) fn check_put(
        &self,
        record: &Record,
        changes: &[Change],
        index: usize,
    ) -> Result<(), Halt> {
        match record {
            Record::User(user) => {
                let earlier = changes[..index].iter().filter_map(|change| match change {
                    Change::Put(Record::User(other), _) => Some(other),
                    _ => None,
                });
                self.check_names_free(user, earlier)
            }
            Record::ApiToken(token) => match self.token_digests.get(token.digest.as_str())? {
                Some(holder) if holder.value() != token.id => {
                    Err(Error::new(Code::Conflict, "this API token exists already").into())
                }
                _ => Ok(()),
            },
            Record::Member(member) => self.check_project_stays(member.project_id, changes),
            Record::Preview(preview) => {
                self.check_build_key_free(preview, changes)?;
                self.check_branch_free(preview, changes)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn put(&mut self, record: Record) -> Result<(), Halt> {
        match record {
            Record::User(user) => self.put_user(user),
            Record::Session(session) => self.put_session(&session),
            Record::ApiToken(token) => self.put_api_token(&token),
            Record::OneTimeLink(link) => {
                let bytes = codec::encode(&link)?;
                self.links.insert(link.digest.as_str(), bytes.as_slice())?;
                Ok(())
            }
            Record::Project(project) => self.put_project(project),
            Record::Member(member) => self.put_member(&member),
            Record::Preview(preview) => self.put_preview(preview),
            Record::PreviewToken { digest, preview } => {
                self.preview_tokens
                    .insert(digest.as_str(), preview.as_str())?;
                Ok(())
            }
        }
    }

    pub(super) fn delete(&mut self, key: &RecordKey) -> Result<(), Halt> {
        match key {
            RecordKey::User(id) => self.delete_user(*id),
            RecordKey::Session(id) => self.delete_session(id),
            RecordKey::ApiToken(id) => self.delete_api_token(*id),
            RecordKey::OneTimeLink(digest) => {
                self.links.remove(digest.as_str())?;
                Ok(())
            }
            RecordKey::Project(id) => self.delete_project(*id),
            RecordKey::Member(project, user) => self.delete_member(*project, *user),
            RecordKey::Preview(id) => self.delete_preview(id),
        }
    }
}

/// The record under a key.
pub(super) fn fetch<K, T>(
    table: &impl ReadableTable<K, Bytes>,
    key: K::SelfType<'_>,
) -> Result<Option<T>, Halt>
where
    K: redb::Key + 'static,
    T: Stored,
{
    match table.get(key)? {
        Some(bytes) => Ok(Some(codec::decode(bytes.value())?)),
        None => Ok(None),
    }
}
