//! Batches in memory: every check first, then every write.

use super::{Placed, State, Turn};
use crate::clock::Timestamp;
use crate::domain::job::{NewJob, Queue};
use crate::domain::preview::Preview;
use crate::domain::user::{ApiToken, User};
use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Error, Result};
use crate::store::batch::{RecordKey, Slot};
use crate::store::{Batch, Change, Record, Versioned, transition};

impl State {
    /// Checks `batch` against the state before it. `ending` is the job that
    /// the same operation ends.
    pub(super) fn check(&self, batch: &Batch, ending: Option<&JobId>) -> Result<()> {
        batch.check_shape(ending)?;
        if let Some(claim) = &batch.claim {
            transition::check_claim(self.job(&claim.job), claim)?;
        }
        for (index, change) in batch.changes.iter().enumerate() {
            change.check_expectation(self.revision(change.slot()))?;
            if let Change::Put(record, _) = change {
                self.check_put(record, &batch.changes, index)?;
            }
        }
        for id in &batch.cancel {
            transition::check_cancel(self.job(id), id)?;
        }
        for new in &batch.enqueue {
            if self.jobs.contains_key(&new.id) {
                return Err(Error::new(
                    Code::Conflict,
                    format!("there is a job {} already", new.id),
                ));
            }
        }
        Ok(())
    }

    fn revision(&self, slot: Slot<'_>) -> Option<u64> {
        let there = |is: bool| is.then_some(1);
        match slot {
            Slot::User(id) => self.users.get(&id).map(|v| v.revision),
            Slot::Project(id) => self.projects.get(&id).map(|v| v.revision),
            Slot::Preview(id) => self.previews.get(id).map(|v| v.revision),
            Slot::Session(id) => there(self.sessions.contains_key(id)),
            Slot::ApiToken(id) => there(self.api_tokens.contains_key(&id)),
            Slot::OneTimeLink(digest) => there(self.links.contains_key(digest)),
            Slot::Member(project, user) => there(self.members.contains_key(&(project, user))),
            Slot::PreviewToken(digest) => there(self.preview_tokens.contains_key(digest)),
        }
    }

    /// What must be true beyond the change's own expectation.
    fn check_put(&self, record: &Record, changes: &[Change], index: usize) -> Result<()> {
        match record {
            Record::User(user) => {
                let stored = self.users.values().map(|v| &v.value);
                let put = changes[..index].iter().filter_map(|change| match change {
                    Change::Put(Record::User(user), _) => Some(user),
                    _ => None,
                });
                let others = stored.chain(put).filter(|other| other.id != user.id);
                check_names_free(user, others)
            }
            Record::ApiToken(token) => {
                let twin = |other: &&ApiToken| other.id != token.id && other.digest == token.digest;
                match self.api_tokens.values().find(twin) {
                    Some(_) => Err(Error::new(Code::Conflict, "this API token exists already")),
                    None => Ok(()),
                }
            }
            Record::Member(member) => self.check_project_stays(member.project_id, changes),
            Record::Preview(preview) => {
                self.check_build_key_free(preview, changes)?;
                self.check_branch_free(preview, changes)
            }
            _ => Ok(()),
        }
    }

    fn check_build_key_free(&self, preview: &Preview, changes: &[Change]) -> Result<()> {
        let old = self.previews.get(&preview.id).map(|row| &row.value);
        if !transition::takes_build_key(old, preview) {
            return Ok(());
        }
        let same = |other: &&Preview| {
            other.build_key == preview.build_key && transition::stays(other, preview, changes)
        };
        match self.previews.values().map(|row| &row.value).find(same) {
            Some(other) => Err(transition::key_is_built(&other.id)),
            None => Ok(()),
        }
    }

    fn check_branch_free(&self, preview: &Preview, changes: &[Change]) -> Result<()> {
        let old = self.previews.get(&preview.id).map(|row| &row.value);
        if !transition::begins_on_branch(old, preview) {
            return Ok(());
        }
        let in_the_way = |other: &&Preview| transition::contends(other, preview, changes);
        match self
            .previews
            .values()
            .map(|row| &row.value)
            .find(in_the_way)
        {
            Some(other) => Err(transition::branch_is_built(&other.id)),
            None => Ok(()),
        }
    }

    fn check_project_stays(&self, project: ProjectId, changes: &[Change]) -> Result<()> {
        let change = changes
            .iter()
            .find(|change| change.slot() == Slot::Project(project));
        let stays = match change {
            Some(Change::Put(..)) => true,
            Some(Change::Delete(..)) => false,
            None => self.projects.contains_key(&project),
        };
        if stays {
            Ok(())
        } else {
            Err(Error::new(
                Code::ProjectNotFound,
                format!("there is no project {project}"),
            ))
        }
    }

    /// Writes a batch that was checked. Answers the ids its jobs have.
    pub(super) fn apply(&mut self, batch: Batch, now: Timestamp) -> (Vec<JobId>, Vec<Queue>) {
        let mut touched = Vec::new();
        for change in batch.changes {
            match change {
                Change::Put(record, _) => self.put(record),
                Change::Delete(key, _) => self.delete(&key),
            }
        }
        for id in batch.cancel {
            if let Some(Placed { job, .. }) = self.jobs.get_mut(&id) {
                transition::cancel(job, now);
                touched.push(job.queue);
            }
        }
        let mut ids = Vec::new();
        for new in batch.enqueue {
            touched.push(new.queue);
            ids.push(self.enqueue(new, now));
        }
        (ids, touched)
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::User(user) => {
                let revision = self.users.get(&user.id).map_or(0, |v| v.revision) + 1;
                let value = user;
                self.users.insert(value.id, Versioned { revision, value });
            }
            Record::Project(value) => {
                let revision = self.projects.get(&value.id).map_or(0, |v| v.revision) + 1;
                self.projects
                    .insert(value.id, Versioned { revision, value });
            }
            Record::Preview(preview) => self.put_preview(preview),
            Record::Session(session) => {
                self.sessions.insert(session.id.clone(), session);
            }
            Record::ApiToken(token) => {
                self.api_tokens.insert(token.id, token);
            }
            Record::OneTimeLink(link) => {
                self.links.insert(link.digest.clone(), link);
            }
            Record::Member(member) => {
                self.members
                    .insert((member.project_id, member.user_id), member);
            }
            Record::PreviewToken { digest, preview } => {
                self.preview_tokens.insert(digest, preview);
            }
        }
    }

    pub(super) fn put_preview(&mut self, value: Preview) {
        let revision = self.previews.get(&value.id).map_or(0, |v| v.revision) + 1;
        self.previews
            .insert(value.id.clone(), Versioned { revision, value });
    }

    fn delete(&mut self, key: &RecordKey) {
        match key {
            RecordKey::User(user) => {
                self.users.remove(user);
                self.sessions.retain(|_, session| session.user_id != *user);
                self.api_tokens.retain(|_, token| token.user_id != *user);
                self.members.retain(|(_, member), _| member != user);
            }
            RecordKey::Session(id) => {
                self.sessions.remove(id);
            }
            RecordKey::ApiToken(id) => {
                self.api_tokens.remove(id);
            }
            RecordKey::OneTimeLink(digest) => {
                self.links.remove(digest);
            }
            RecordKey::Project(project) => {
                self.projects.remove(project);
                self.members.retain(|(of, _), _| of != project);
            }
            RecordKey::Member(project, user) => {
                self.members.remove(&(*project, *user));
            }
            RecordKey::Preview(id) => {
                self.previews.remove(id);
            }
        }
    }

    fn enqueue(&mut self, new: NewJob, now: Timestamp) -> JobId {
        let waiting = self
            .queued_with_key(new.queue, new.dedupe_key.as_deref())
            .and_then(|id| self.jobs.get_mut(&id));
        if let Some(Placed { job, due, .. }) = waiting {
            transition::absorb(job, new, now);
            *due |= job.run_at <= now;
            return job.id.clone();
        }
        let place = self.next_place(new.queue, new.group);
        let job = transition::enqueue(new, now);
        let id = job.id.clone();
        let due = job.run_at <= now;
        self.jobs.insert(id.clone(), Placed { place, due, job });
        id
    }

    /// A place at the end, for a job of this group.
    pub(super) fn next_place(&mut self, queue: Queue, group: i64) -> u64 {
        self.last_place += 1;
        self.turns
            .entry((queue, group))
            .or_insert(Turn::NeverSince(self.last_place));
        self.last_place
    }
}

fn check_names_free<'a>(user: &User, others: impl Iterator<Item = &'a User>) -> Result<()> {
    let others: Vec<_> = others.collect();
    let taken = |name: fn(&User) -> &str| {
        let own = name(user).to_lowercase();
        others.iter().any(|other| name(other).to_lowercase() == own)
    };
    if taken(|user| &user.email) {
        let message = "an account with this e-mail address exists";
        return Err(Error::new(Code::EmailTaken, message));
    }
    if taken(|user| &user.username) {
        let message = "an account with this username exists";
        return Err(Error::new(Code::UsernameTaken, message));
    }
    Ok(())
}
