//! The port of the truth: accounts, projects, previews and jobs.
//!
//! Two traits, [`MetaStore`] and [`JobQueue`], always implemented by adapters
//! that share one truth, because a preview and the job that builds it must
//! enter and end together.
//!
//! What every adapter promises:
//!
//! - **Atomic.** A [`Batch`] is applied whole or not at all; a failed
//!   expectation is [`Code::Conflict`] (or the taken field's own code) and
//!   leaves nothing behind.
//! - **Durable.** When a write returns `Ok`, it survives `kill -9` and a power
//!   cut. (The memory adapter, which is for tests, is excused.)
//! - **Ordered.** A read that starts after a write returned sees it.
//! - **At least once, once.** A job may be *delivered* several times, but only
//!   the claim with the newest fencing number may write its result.
//!
//! Adapters never retry on their own; [`Code::DependencyFailure`] tells the
//! caller that doing it again may help.
//!
//! [`Code::Conflict`]: crate::error::Code::Conflict
//! [`Code::DependencyFailure`]: crate::error::Code::DependencyFailure

pub mod batch;
pub mod memory;
pub mod page;
pub mod queue;
pub mod redb;
mod signals;
mod transition;

use async_trait::async_trait;

pub use batch::{Batch, Change, Expect, Record, Versioned};
pub use page::{Cursor, Page, Paged};
pub use queue::{Claim, ClaimRequest, JobQueue, QueueStats};

use crate::domain::job::Job;
use crate::domain::preview::{Platform, Preview, PreviewStatus};
use crate::domain::project::{Member, Project};
use crate::domain::user::{ApiToken, OneTimeLink, Session, User};
use crate::domain::{JobId, ProjectId, UserId};
use crate::error::Result;

/// What identifiers are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sequence {
    User,
    Project,
    ApiToken,
}

/// Which previews a listing holds: those that somebody has asked for; every
/// `Some` narrows it.
#[derive(Clone, Debug, Default)]
pub struct PreviewFilter {
    pub project: Option<ProjectId>,
    pub user: Option<UserId>,
    pub status: Option<PreviewStatus>,
    pub platform: Option<Platform>,
    /// Created at or after this time.
    pub since: Option<crate::clock::Timestamp>,
    /// Also those that nobody has asked for.
    pub unasked: bool,
}

impl PreviewFilter {
    /// Whether `preview` belongs in the listing.
    #[must_use]
    pub fn admits(&self, preview: &Preview) -> bool {
        (self.unasked || preview.is_asked_for())
            && self.project.is_none_or(|id| preview.project_id == id)
            && self.user.is_none_or(|id| preview.requested_by == id)
            && self.status.is_none_or(|status| preview.status == status)
            && self.platform.is_none_or(|p| preview.platform == p)
            && self.since.is_none_or(|since| preview.created_at >= since)
    }
}

/// Reading the truth, and changing it by batches. `None` and an empty page mean
/// that there is no such record.
#[async_trait]
pub trait MetaStore: Send + Sync {
    /// The next number of a sequence, starting at 1. Numbers are never given
    /// twice; some may stay unused.
    async fn allocate(&self, sequence: Sequence) -> Result<i64>;

    /// Applies `batch`, all or nothing; durable when it returns. Answers the
    /// ids of the jobs it enqueued, in their order: where a dedupe key met a
    /// queued job, that job's id.
    async fn commit(&self, batch: Batch) -> Result<Vec<JobId>>;

    async fn user(&self, id: UserId) -> Result<Option<Versioned<User>>>;
    /// By e-mail or username, without regard to case.
    async fn user_by_login(&self, login: &str) -> Result<Option<Versioned<User>>>;
    /// Users whose username or e-mail starts with `prefix`, without regard to
    /// case, ordered by username; at most `limit`.
    async fn search_users(&self, prefix: &str, limit: usize) -> Result<Vec<User>>;
    /// All users by ascending id.
    async fn users(&self, page: &Page) -> Result<Paged<User>>;
    /// Whether at least one admin account exists that is not disabled.
    async fn has_admin(&self) -> Result<bool>;

    async fn session(&self, id: &str) -> Result<Option<Session>>;
    /// Every session of the user, in no promised order.
    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>>;

    async fn api_token(&self, id: i64) -> Result<Option<ApiToken>>;
    /// By the hex SHA-256 of the token.
    async fn api_token_by_digest(&self, digest: &str) -> Result<Option<ApiToken>>;
    /// By ascending id.
    async fn api_tokens_of(&self, user: UserId, page: &Page) -> Result<Paged<ApiToken>>;

    /// By the hex SHA-256 of what the link holds.
    async fn one_time_link(&self, digest: &str) -> Result<Option<OneTimeLink>>;

    async fn project(&self, id: ProjectId) -> Result<Option<Versioned<Project>>>;
    /// The projects a user owns or is a member of, newest first (by id).
    async fn projects_for(&self, user: UserId, page: &Page) -> Result<Paged<Project>>;
    async fn member(&self, project: ProjectId, user: UserId) -> Result<Option<Member>>;
    /// By ascending user id.
    async fn members(&self, project: ProjectId, page: &Page) -> Result<Paged<Member>>;

    async fn preview(&self, id: &JobId) -> Result<Option<Versioned<Preview>>>;
    /// The preview that a preview token, by its hex SHA-256, has asked for.
    async fn preview_by_token(&self, digest: &str) -> Result<Option<JobId>>;
    /// The newest preview of a build key, whatever its status.
    async fn preview_by_build_key(&self, build_key: &str) -> Result<Option<Versioned<Preview>>>;
    /// Previews, newest first (by creation, then id).
    async fn previews(&self, filter: &PreviewFilter, page: &Page) -> Result<Paged<Preview>>;
    /// The previews of a project that are not final, in no promised order.
    async fn active_previews(&self, project: ProjectId) -> Result<Vec<Preview>>;

    async fn job(&self, id: &JobId) -> Result<Option<Job>>;

    /// A cheap round trip that proves that the store answers.
    async fn ping(&self) -> Result<()>;
    /// The adapter's name, such as `redb`, for health answers.
    fn name(&self) -> &'static str;
}
