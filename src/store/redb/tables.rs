//! The tables of the file. Keys order the listings; values that are `&[u8]`
//! are records of the [`codec`](super::codec).
//!
//! A table's name and types are part of the file's format: changing one is a
//! migration (see [`schema`](super::schema)).

use redb::{TableDefinition, TableError, WriteTransaction};

type Def<K, V> = TableDefinition<'static, K, V>;
type Text = &'static str;
type Bytes = &'static [u8];

/// `schema` → the version of everything below.
pub(super) const META: Def<Text, u64> = Def::new("meta");
/// `Sequence as u8` → the number given last.
pub(super) const SEQUENCES: Def<u8, i64> = Def::new("sequences");

pub(super) const USERS: Def<i64, Bytes> = Def::new("users");
/// E-mail in lower case → user, and their username in lower case.
pub(super) const EMAILS: Def<Text, (i64, Text)> = Def::new("user_emails");
/// Username in lower case → user.
pub(super) const USERNAMES: Def<Text, i64> = Def::new("user_usernames");
/// The admins that are not disabled.
pub(super) const ADMINS: Def<i64, ()> = Def::new("user_admins");

pub(super) const SESSIONS: Def<Text, Bytes> = Def::new("sessions");
pub(super) const USER_SESSIONS: Def<(i64, Text), ()> = Def::new("user_sessions");
pub(super) const API_TOKENS: Def<i64, Bytes> = Def::new("api_tokens");
pub(super) const TOKEN_DIGESTS: Def<Text, i64> = Def::new("api_token_digests");
pub(super) const USER_TOKENS: Def<(i64, i64), ()> = Def::new("user_api_tokens");
pub(super) const LINKS: Def<Text, Bytes> = Def::new("one_time_links");

pub(super) const PROJECTS: Def<i64, Bytes> = Def::new("projects");
/// User, project that they own or are a member of.
pub(super) const USER_PROJECTS: Def<(i64, i64), ()> = Def::new("user_projects");
/// Project, user.
pub(super) const MEMBERS: Def<(i64, i64), Bytes> = Def::new("members");

pub(super) const PREVIEWS: Def<Text, Bytes> = Def::new("previews");
/// Scope (see [`previews`](super::previews)), creation, id.
pub(super) const PREVIEW_INDEX: Def<(u8, i64, i64, Text), ()> = Def::new("preview_index");
/// Project, preview that is not final.
pub(super) const ACTIVE_PREVIEWS: Def<(i64, Text), ()> = Def::new("active_previews");
/// Build key, creation, id.
pub(super) const BUILD_KEYS: Def<(Text, i64, Text), ()> = Def::new("preview_build_keys");
/// Digest → preview.
pub(super) const PREVIEW_TOKENS: Def<Text, Text> = Def::new("preview_tokens");

pub(super) const JOBS: Def<Text, Bytes> = Def::new("jobs");
/// Queue, priority, group, place → job that is queued and due.
pub(super) const READY: Def<(u8, u8, i64, u64), Text> = Def::new("queue_ready");
/// Queue, priority, turn → group that has ready jobs of this priority.
pub(super) const TURNS: Def<(u8, u8, u64), i64> = Def::new("queue_turns");
/// Queue, group.
pub(super) const GROUPS: Def<(u8, i64), Bytes> = Def::new("queue_groups");
/// Time, place → job that is queued and not yet due.
pub(super) const DELAYED: Def<(i64, u64), Text> = Def::new("queue_delayed");
/// The lease's end, running job.
pub(super) const LEASES: Def<(i64, Text), ()> = Def::new("queue_leases");
/// Queue, dedupe key → queued job.
pub(super) const DEDUPE: Def<(u8, Text), Text> = Def::new("queue_dedupe");
/// `state` → the queue's counters.
pub(super) const QUEUE_STATE: Def<Text, Bytes> = Def::new("queue_state");

/// Makes every table, so that a reader never meets a missing one.
pub(super) fn create_all(txn: &WriteTransaction) -> Result<(), TableError> {
    macro_rules! create {
        ($($table:ident)*) => {$( txn.open_table($table)?; )*};
    }
    create! {
        META SEQUENCES
        USERS EMAILS USERNAMES ADMINS SESSIONS USER_SESSIONS
        API_TOKENS TOKEN_DIGESTS USER_TOKENS LINKS
        PROJECTS USER_PROJECTS MEMBERS
        PREVIEWS PREVIEW_INDEX ACTIVE_PREVIEWS BUILD_KEYS PREVIEW_TOKENS
        JOBS READY TURNS GROUPS DELAYED LEASES DEDUPE QUEUE_STATE
    }
    Ok(())
}
