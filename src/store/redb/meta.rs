//! Reads of the truth, each in one read transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable, TableDefinition};

use super::accounts::fold;
use super::codec::{PlacedJob, Revised, Stored};
use super::errors::Halt;
use super::jobs::inconsistent;
use super::records::fetch;
use super::{RedbStore, previews, tables};
use crate::clock::Timestamp;
use crate::domain::job::Job;
use crate::domain::preview::Preview;
use crate::domain::project::{Member, Project};
use crate::domain::user::{ApiToken, OneTimeLink, Session, User};
use crate::domain::{JobId, ProjectId, UserId};
use crate::error::Result;
use crate::store::{Batch, Cursor, MetaStore, Page, Paged, PreviewFilter, Sequence, Versioned};

#[async_trait]
impl MetaStore for RedbStore {
    async fn allocate(&self, sequence: Sequence) -> Result<i64> {
        self.writer
            .run(move |unit| {
                unit.begin_writes();
                unit.records()?.allocate(sequence)
            })
            .await
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<JobId>> {
        self.writer
            .run(move |unit| {
                unit.check(&batch, None)?;
                unit.begin_writes();
                let now = unit.now();
                unit.apply(batch, now)
            })
            .await
    }

    async fn user(&self, id: UserId) -> Result<Option<Versioned<User>>> {
        self.read(|txn| user(txn, id.0))
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<Versioned<User>>> {
        let login = fold(login);
        self.read(|txn| {
            let emails = txn.open_table(tables::EMAILS)?;
            let mut id = emails.get(login.as_str())?.map(|entry| entry.value().0);
            if id.is_none() {
                let usernames = txn.open_table(tables::USERNAMES)?;
                id = usernames.get(login.as_str())?.map(|entry| entry.value());
            }
            id.map_or(Ok(None), |id| user(txn, id))
        })
    }

    async fn search_users(&self, prefix: &str, limit: usize) -> Result<Vec<User>> {
        let prefix = fold(prefix);
        self.scan(move |txn| search_users(txn, &prefix, limit))
            .await
    }

    async fn users(&self, page: &Page) -> Result<Paged<User>> {
        let page = page.clone();
        self.scan(move |txn| {
            let after = after_number(&page)?;
            let table = txn.open_table(tables::USERS)?;
            let rows = table.range(after..)?.map(|entry| {
                let row: Revised<User> = super::codec::decode(entry?.1.value())?;
                Ok(row.value)
            });
            page.fill(rows, |user| Cursor::at_number(user.id.0))
        })
        .await
    }

    async fn has_admin(&self) -> Result<bool> {
        self.read(|txn| Ok(txn.open_table(tables::ADMINS)?.first()?.is_some()))
    }

    async fn session(&self, id: &str) -> Result<Option<Session>> {
        self.read(|txn| fetch(&txn.open_table(tables::SESSIONS)?, id))
    }

    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>> {
        self.scan(move |txn| {
            let sessions = txn.open_table(tables::SESSIONS)?;
            let index = txn.open_table(tables::USER_SESSIONS)?;
            let mut found = Vec::new();
            for entry in index.range((user.0, "")..)? {
                let (key, ()) = entry.map(|(key, _)| (key, ()))?;
                let (owner, id) = key.value();
                if owner != user.0 {
                    break;
                }
                found.push(known(fetch(&sessions, id)?)?);
            }
            Ok(found)
        })
        .await
    }

    async fn api_token(&self, id: i64) -> Result<Option<ApiToken>> {
        self.read(|txn| fetch(&txn.open_table(tables::API_TOKENS)?, id))
    }

    async fn api_token_by_digest(&self, digest: &str) -> Result<Option<ApiToken>> {
        self.read(|txn| {
            let digests = txn.open_table(tables::TOKEN_DIGESTS)?;
            match digests.get(digest)? {
                Some(id) => fetch(&txn.open_table(tables::API_TOKENS)?, id.value()),
                None => Ok(None),
            }
        })
    }

    async fn api_tokens_of(&self, user: UserId, page: &Page) -> Result<Paged<ApiToken>> {
        let page = page.clone();
        self.scan(move |txn| {
            let after = after_number(&page)?;
            let tokens = txn.open_table(tables::API_TOKENS)?;
            let index = txn.open_table(tables::USER_TOKENS)?;
            let rows = index
                .range((user.0, after)..=(user.0, i64::MAX))?
                .map(|entry| known(fetch(&tokens, entry?.0.value().1)?));
            page.fill(rows, |token: &ApiToken| Cursor::at_number(token.id))
        })
        .await
    }

    async fn one_time_link(&self, digest: &str) -> Result<Option<OneTimeLink>> {
        self.read(|txn| fetch(&txn.open_table(tables::LINKS)?, digest))
    }

    async fn project(&self, id: ProjectId) -> Result<Option<Versioned<Project>>> {
        self.read(|txn| versioned(txn, tables::PROJECTS, id.0))
    }

    async fn projects_for(&self, user: UserId, page: &Page) -> Result<Paged<Project>> {
        let page = page.clone();
        self.scan(move |txn| {
            let before = match &page.cursor {
                Some(cursor) => cursor.number()?,
                None => i64::MAX,
            };
            let projects = txn.open_table(tables::PROJECTS)?;
            let index = txn.open_table(tables::USER_PROJECTS)?;
            let rows = index
                .range((user.0, i64::MIN)..(user.0, before))?
                .rev()
                .map(|entry| {
                    let row: Revised<Project> = known(fetch(&projects, entry?.0.value().1)?)?;
                    Ok(row.value)
                });
            page.fill(rows, |project| Cursor::at_number(project.id.0))
        })
        .await
    }

    async fn member(&self, project: ProjectId, user: UserId) -> Result<Option<Member>> {
        self.read(|txn| fetch(&txn.open_table(tables::MEMBERS)?, (project.0, user.0)))
    }

    async fn members(&self, project: ProjectId, page: &Page) -> Result<Paged<Member>> {
        let page = page.clone();
        self.scan(move |txn| {
            let after = after_number(&page)?;
            let table = txn.open_table(tables::MEMBERS)?;
            let rows = table
                .range((project.0, after)..=(project.0, i64::MAX))?
                .map(|entry| Ok(super::codec::decode(entry?.1.value())?));
            page.fill(rows, |member: &Member| Cursor::at_number(member.user_id.0))
        })
        .await
    }

    async fn preview(&self, id: &JobId) -> Result<Option<Versioned<Preview>>> {
        self.read(|txn| versioned(txn, tables::PREVIEWS, id.as_str()))
    }

    async fn preview_by_token(&self, digest: &str) -> Result<Option<JobId>> {
        self.read(|txn| {
            let tokens = txn.open_table(tables::PREVIEW_TOKENS)?;
            let id = tokens.get(digest)?;
            id.map(|id| super::jobs::parse_id(id.value())).transpose()
        })
    }

    async fn preview_by_build_key(&self, build_key: &str) -> Result<Option<Versioned<Preview>>> {
        self.read(|txn| {
            let index = txn.open_table(tables::BUILD_KEYS)?;
            let keys = (build_key, i64::MIN, "")..=(build_key, i64::MAX, LAST_ID);
            match index.range(keys)?.next_back() {
                Some(entry) => {
                    let (key, _) = entry?;
                    versioned(txn, tables::PREVIEWS, key.value().2)
                }
                None => Ok(None),
            }
        })
    }

    async fn previews(&self, filter: &PreviewFilter, page: &Page) -> Result<Paged<Preview>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.scan(move |txn| list_previews(txn, &filter, &page))
            .await
    }

    async fn active_previews(&self, project: ProjectId) -> Result<Vec<Preview>> {
        self.scan(move |txn| {
            let rows = txn.open_table(tables::PREVIEWS)?;
            let index = txn.open_table(tables::ACTIVE_PREVIEWS)?;
            index
                .range((project.0, "")..=(project.0, LAST_ID))?
                .map(|entry| {
                    let row: Revised<Preview> = known(fetch(&rows, entry?.0.value().1)?)?;
                    Ok(row.value)
                })
                .collect()
        })
        .await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Job>> {
        self.read(|txn| {
            let row: Option<PlacedJob> = fetch(&txn.open_table(tables::JOBS)?, id.as_str())?;
            Ok(row.map(|placed| placed.job))
        })
    }

    async fn ping(&self) -> Result<()> {
        self.read(|txn| {
            txn.open_table(tables::META)?.first()?;
            Ok(())
        })
    }

    fn name(&self) -> &'static str {
        "redb"
    }
}

/// After every job id.
pub(super) const LAST_ID: &str = "~";

fn list_previews(
    txn: &ReadTransaction,
    filter: &PreviewFilter,
    page: &Page,
) -> Result<Paged<Preview>, Halt> {
    let (by, of) = previews::scope_for(filter);
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millis);
    let (until, before) = match &page.cursor {
        Some(cursor) => {
            let (time, id) = cursor.time()?;
            (time.as_millis(), id)
        }
        None => (i64::MAX, LAST_ID),
    };
    if until < since {
        return Ok(Paged {
            items: Vec::new(),
            next: None,
        });
    }
    let rows = txn.open_table(tables::PREVIEWS)?;
    let index = txn.open_table(tables::PREVIEW_INDEX)?;
    let found = index
        .range((by, of, since, "")..(by, of, until, before))?
        .rev()
        .map(|entry| {
            let row: Revised<Preview> = known(fetch(&rows, entry?.0.value().3)?)?;
            Ok(row.value)
        })
        .filter(|row: &Result<Preview, Halt>| row.as_ref().map_or(true, |p| filter.admits(p)));
    page.fill(found, |preview| {
        Cursor::at_time(preview.created_at, preview.id.as_str())
    })
}

/// The matches' keys are gathered in memory, since those by e-mail come in
/// another order; rows are read of the answer alone.
fn search_users(txn: &ReadTransaction, prefix: &str, limit: usize) -> Result<Vec<User>, Halt> {
    let mut found = BTreeMap::new();
    let usernames = txn.open_table(tables::USERNAMES)?;
    for entry in usernames.range(prefix..)?.take(limit) {
        let (name, id) = entry?;
        if !name.value().starts_with(prefix) {
            break;
        }
        found.insert(name.value().to_owned(), id.value());
    }
    let emails = txn.open_table(tables::EMAILS)?;
    for entry in emails.range(prefix..)? {
        let (email, holder) = entry?;
        if !email.value().starts_with(prefix) {
            break;
        }
        let (id, name) = holder.value();
        found.insert(name.to_owned(), id);
    }
    let users = txn.open_table(tables::USERS)?;
    found
        .into_values()
        .take(limit)
        .map(|id| {
            let row: Revised<User> = known(fetch(&users, id)?)?;
            Ok(row.value)
        })
        .collect()
}

fn user(txn: &ReadTransaction, id: i64) -> Result<Option<Versioned<User>>, Halt> {
    versioned(txn, tables::USERS, id)
}

fn versioned<K, T>(
    txn: &ReadTransaction,
    table: TableDefinition<'static, K, &'static [u8]>,
    key: K::SelfType<'_>,
) -> Result<Option<Versioned<T>>, Halt>
where
    K: redb::Key + 'static,
    Revised<T>: Stored,
{
    let row: Option<Revised<T>> = fetch(&txn.open_table(table)?, key)?;
    Ok(row.map(|row| Versioned {
        revision: row.revision,
        value: row.value,
    }))
}

/// A row that an index says is there.
fn known<T>(row: Option<T>) -> Result<T, Halt> {
    row.ok_or_else(|| inconsistent("an index names a record that does not exist"))
}

/// Where a page of ascending numbers begins.
fn after_number(page: &Page) -> Result<i64, Halt> {
    match &page.cursor {
        Some(cursor) => Ok(cursor.number()?.saturating_add(1)),
        None => Ok(i64::MIN),
    }
}
