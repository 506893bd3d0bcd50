//! Reads of the truth in memory: filter, sort, cut.

use async_trait::async_trait;

use super::MemoryStore;
use crate::domain::job::Job;
use crate::domain::preview::Preview;
use crate::domain::project::{Member, Project};
use crate::domain::user::{ApiToken, OneTimeLink, Role, Session, User};
use crate::domain::{JobId, ProjectId, UserId};
use crate::error::Result;
use crate::store::{Batch, Cursor, MetaStore, Page, Paged, PreviewFilter, Sequence, Versioned};

#[async_trait]
impl MetaStore for MemoryStore {
    async fn allocate(&self, sequence: Sequence) -> Result<i64> {
        let mut state = self.state();
        let last = state.sequences.entry(sequence).or_default();
        *last += 1;
        Ok(*last)
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<JobId>> {
        let mut state = self.state();
        state.check(&batch, None)?;
        let (ids, touched) = state.apply(batch, self.clock.now());
        self.publish(&state, &touched);
        Ok(ids)
    }

    async fn user(&self, id: UserId) -> Result<Option<Versioned<User>>> {
        Ok(self.state().users.get(&id).cloned())
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<Versioned<User>>> {
        let login = login.to_lowercase();
        let state = self.state();
        let by = |name: fn(&User) -> &str| {
            state
                .users
                .values()
                .find(|user| name(&user.value).to_lowercase() == login)
        };
        Ok(by(|user| &user.email)
            .or_else(|| by(|user| &user.username))
            .cloned())
    }

    async fn search_users(&self, prefix: &str, limit: usize) -> Result<Vec<User>> {
        let prefix = prefix.to_lowercase();
        let state = self.state();
        let mut found: Vec<_> = state
            .users
            .values()
            .map(|user| &user.value)
            .filter(|user| {
                user.username.to_lowercase().starts_with(&prefix)
                    || user.email.to_lowercase().starts_with(&prefix)
            })
            .cloned()
            .collect();
        found.sort_by_key(|user| user.username.to_lowercase());
        found.truncate(limit);
        Ok(found)
    }

    async fn users(&self, page: &Page) -> Result<Paged<User>> {
        let state = self.state();
        let users = state.users.values().map(|user| user.value.clone());
        ascending(users, page, |user| user.id.0)
    }

    async fn has_admin(&self) -> Result<bool> {
        let is_admin = |user: &User| user.role == Role::Admin && !user.disabled;
        Ok(self.state().users.values().any(|v| is_admin(&v.value)))
    }

    async fn session(&self, id: &str) -> Result<Option<Session>> {
        Ok(self.state().sessions.get(id).cloned())
    }

    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>> {
        let state = self.state();
        let own = state.sessions.values().filter(|s| s.user_id == user);
        Ok(own.cloned().collect())
    }

    async fn api_token(&self, id: i64) -> Result<Option<ApiToken>> {
        Ok(self.state().api_tokens.get(&id).cloned())
    }

    async fn api_token_by_digest(&self, digest: &str) -> Result<Option<ApiToken>> {
        let state = self.state();
        Ok(state
            .api_tokens
            .values()
            .find(|token| token.digest == digest)
            .cloned())
    }

    async fn api_tokens_of(&self, user: UserId, page: &Page) -> Result<Paged<ApiToken>> {
        let state = self.state();
        let own = state.api_tokens.values().filter(|t| t.user_id == user);
        ascending(own.cloned(), page, |token| token.id)
    }

    async fn one_time_link(&self, digest: &str) -> Result<Option<OneTimeLink>> {
        Ok(self.state().links.get(digest).cloned())
    }

    async fn project(&self, id: ProjectId) -> Result<Option<Versioned<Project>>> {
        Ok(self.state().projects.get(&id).cloned())
    }

    async fn projects_for(&self, user: UserId, page: &Page) -> Result<Paged<Project>> {
        let before = page.cursor.as_ref().map(Cursor::number).transpose()?;
        let state = self.state();
        let readable = |project: &&Project| {
            project.owner_id == user || state.members.contains_key(&(project.id, user))
        };
        let rest = state
            .projects
            .values()
            .rev()
            .map(|project| &project.value)
            .filter(|project| before.is_none_or(|id| project.id.0 < id))
            .filter(readable);
        page.fill(rest.cloned().map(Ok), |project: &Project| {
            Cursor::at_number(project.id.0)
        })
    }

    async fn member(&self, project: ProjectId, user: UserId) -> Result<Option<Member>> {
        Ok(self.state().members.get(&(project, user)).cloned())
    }

    async fn members(&self, project: ProjectId, page: &Page) -> Result<Paged<Member>> {
        let state = self.state();
        let of_project = state
            .members
            .values()
            .filter(|member| member.project_id == project);
        ascending(of_project.cloned(), page, |member| member.user_id.0)
    }

    async fn preview(&self, id: &JobId) -> Result<Option<Versioned<Preview>>> {
        Ok(self.state().previews.get(id).cloned())
    }

    async fn preview_by_token(&self, digest: &str) -> Result<Option<JobId>> {
        Ok(self.state().preview_tokens.get(digest).cloned())
    }

    async fn preview_by_build_key(&self, build_key: &str) -> Result<Option<Versioned<Preview>>> {
        let state = self.state();
        Ok(state
            .previews
            .values()
            .filter(|preview| preview.value.build_key == build_key)
            .max_by_key(|preview| (preview.value.created_at, preview.value.id.clone()))
            .cloned())
    }

    async fn previews(&self, filter: &PreviewFilter, page: &Page) -> Result<Paged<Preview>> {
        let before = page.cursor.as_ref().map(Cursor::time).transpose()?;
        let state = self.state();
        let mut found: Vec<_> = state
            .previews
            .values()
            .map(|preview| &preview.value)
            .filter(|preview| filter.admits(preview))
            .filter(|p| before.is_none_or(|before| (p.created_at, p.id.as_str()) < before))
            .cloned()
            .collect();
        found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        page.fill(found.into_iter().map(Ok), |preview| {
            Cursor::at_time(preview.created_at, preview.id.as_str())
        })
    }

    async fn active_previews(&self, project: ProjectId) -> Result<Vec<Preview>> {
        let state = self.state();
        Ok(state
            .previews
            .values()
            .map(|preview| &preview.value)
            .filter(|preview| preview.project_id == project && !preview.status.is_final())
            .cloned()
            .collect())
    }

    async fn job(&self, id: &JobId) -> Result<Option<Job>> {
        Ok(self.state().job(id).cloned())
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

/// One page of records that come by ascending number.
fn ascending<T>(
    all: impl Iterator<Item = T>,
    page: &Page,
    number: impl Fn(&T) -> i64,
) -> Result<Paged<T>> {
    let after = page.cursor.as_ref().map(Cursor::number).transpose()?;
    let rest = all.filter(|item| after.is_none_or(|after| number(item) > after));
    page.fill(rest.map(Ok), |item| Cursor::at_number(number(item)))
}
