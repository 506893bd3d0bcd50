//! The memory adapter: the oracle of the conformance tests, and a store for
//! tests of everything above.
//!
//! One mutex around plain maps, every listing a scan, every count counted:
//! slow and obviously right.

mod batch;
mod meta;
mod queue;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::signals::Signals;
use super::{Sequence, Versioned};
use crate::clock::{Clock, Timestamp};
use crate::domain::job::{Job, JobState, Queue};
use crate::domain::preview::Preview;
use crate::domain::project::{Member, Project};
use crate::domain::user::{ApiToken, OneTimeLink, Session, User};
use crate::domain::{JobId, ProjectId, UserId};

/// Everything in memory, gone with the process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    signals: Signals,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sequences: HashMap<Sequence, i64>,
    users: BTreeMap<UserId, Versioned<User>>,
    sessions: BTreeMap<String, Session>,
    api_tokens: BTreeMap<i64, ApiToken>,
    links: BTreeMap<String, OneTimeLink>,
    projects: BTreeMap<ProjectId, Versioned<Project>>,
    members: BTreeMap<(ProjectId, UserId), Member>,
    previews: BTreeMap<JobId, Versioned<Preview>>,
    preview_tokens: BTreeMap<String, JobId>,
    jobs: BTreeMap<JobId, Placed>,
    /// The place of the newest job, and the newest turn given to a group.
    last_place: u64,
    last_turn: u64,
    turns: BTreeMap<(Queue, i64), Turn>,
    paused: BTreeSet<Queue>,
}

/// A job as the queue keeps it.
#[derive(Clone)]
struct Placed {
    /// Its place in the order of arrival.
    place: u64,
    /// Its time has come. That stays so when the clock is set back.
    due: bool,
    job: Job,
}

/// When a group was served last. Groups never served go first, in the order
/// in which their first jobs came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    NeverSince(u64),
    Served(u64),
}

impl MemoryStore {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            signals: Signals::new(clock.clone()),
            clock,
            state: Mutex::default(),
        }
    }

    /// A panic of another test thread says nothing about the maps, which are
    /// only written after every check has passed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before a write lets go of the state.
    fn publish(&self, state: &State, queues: &[Queue]) {
        self.signals.publish(queues, state.next_due());
    }
}

impl State {
    fn job(&self, id: &JobId) -> Option<&Job> {
        self.jobs.get(id).map(|placed| &placed.job)
    }

    /// The queued job of a queue that has this key.
    fn queued_with_key(&self, queue: Queue, key: Option<&str>) -> Option<JobId> {
        let key = key?;
        self.jobs
            .values()
            .map(|placed| &placed.job)
            .find(|job| {
                job.state == JobState::Queued
                    && job.queue == queue
                    && job.dedupe_key.as_deref() == Some(key)
            })
            .map(|job| job.id.clone())
    }

    /// When the next lease ends or the next delayed job is due.
    fn next_due(&self) -> Option<Timestamp> {
        self.jobs
            .values()
            .filter_map(|Placed { job, due, .. }| match job.state {
                JobState::Running => job.lease.as_ref().map(|lease| lease.expires_at),
                JobState::Queued if !due => Some(job.run_at),
                _ => None,
            })
            .min()
    }
}
