//! The line of idle workers. A job is claimed for the first of them in the
//! very commit that makes it claimable, so that it begins after one commit
//! instead of two.
//!
//! The line belongs to the writer's thread: whoever joins it is served at the
//! end of the same group of operations or of a later one, and so misses
//! nothing.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::errors::{Failure, Halt};
use super::unit::Unit;
use crate::domain::job::Job;
use crate::error::Result;
use crate::store::transition::{self, Stop};
use crate::store::{Claim, ClaimRequest};

/// The workers in line, the one that has waited longest first.
pub(super) struct Line {
    waiting: Vec<Waiter>,
    returns: Arc<Returns>,
    /// Claims that this group gives back.
    returning: Vec<Claim>,
}

/// A worker in line.
pub(super) struct Waiter {
    request: ClaimRequest,
    worker: oneshot::Sender<Result<Handed>>,
    /// Nothing was looked for yet.
    new: bool,
    /// What it gets if the group is committed.
    claimed: Option<(Claim, Job)>,
}

impl Waiter {
    pub(super) fn new(request: ClaimRequest, worker: oneshot::Sender<Result<Handed>>) -> Self {
        Self {
            request,
            worker,
            new: true,
            claimed: None,
        }
    }

    /// Tells the worker that there will be nothing.
    pub(super) fn refuse(self, failure: &Failure) {
        // A worker that has gone does not want to know.
        let _ = self.worker.send(Err(failure.to_error()));
    }

    fn asks_like(&self, other: &ClaimRequest) -> bool {
        self.request.queues == other.queues && self.request.group_limit == other.group_limit
    }
}

impl Line {
    pub(super) fn new(returns: Arc<Returns>) -> Self {
        Self {
            waiting: Vec::new(),
            returns,
            returning: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn join(&mut self, waiter: Waiter) {
        self.waiting.push(waiter);
    }

    /// Whether there are claims to give back.
    pub(super) fn owes(&self) -> bool {
        !self.returns.lock().is_empty()
    }

    /// Gives back what did not arrive. To be called before the operations of a
    /// group.
    pub(super) fn give_back(&mut self, unit: &mut Unit<'_>) -> Result<(), Halt> {
        self.returning.append(&mut self.returns.lock());
        let now = unit.now();
        for claim in &self.returning {
            unit.begin_checks();
            let job = match unit.job(&claim.job) {
                // Nobody can give it back; its lease runs out.
                Err(Halt::Record(_)) => continue,
                job => job?,
            };
            // It may have been cancelled meanwhile.
            if transition::check_claim(job.as_ref(), claim).is_ok() {
                unit.begin_writes();
                let job = unit.queue()?.stop(&claim.job, Stop::Released, now)?;
                unit.end_orphaned_previews(&[job], now)?;
            }
        }
        Ok(())
    }

    /// Claims for those in line what the group has made claimable. To be called
    /// after its operations.
    pub(super) fn serve(&mut self, unit: &mut Unit<'_>) -> Result<(), Halt> {
        self.waiting.retain(|waiter| !waiter.worker.is_closed());
        if self.waiting.is_empty() {
            return Ok(());
        }
        // Once, before anybody: those who were looked after already would miss
        // what becomes claimable between two of them.
        unit.settle_due()?;
        let mut in_vain: Option<&ClaimRequest> = None;
        for waiter in &mut self.waiting {
            let asked = in_vain.is_some_and(|request| waiter.asks_like(request));
            if asked || !(waiter.new || unit.has_news_of(&waiter.request.queues)) {
                waiter.new = false;
                continue;
            }
            waiter.new = false;
            waiter.claimed = unit.take(&waiter.request)?;
            if waiter.claimed.is_none() {
                in_vain = Some(&waiter.request);
            }
        }
        Ok(())
    }

    /// Sends workers off, now that the group's fate is known.
    pub(super) fn settle(&mut self, fate: Result<(), &Failure>) {
        if let Err(failure) = fate {
            self.returns.lock().append(&mut self.returning);
            for waiter in self.waiting.drain(..) {
                waiter.refuse(failure);
            }
            return;
        }
        self.returning.clear();
        for mut waiter in std::mem::take(&mut self.waiting) {
            match waiter.claimed.take() {
                // Who has gone meanwhile gives it back by not taking it.
                Some(claimed) => drop(waiter.worker.send(Ok(self.returns.hand(claimed)))),
                None => self.waiting.push(waiter),
            }
        }
    }
}

/// Claims whose workers had gone when they arrived.
pub(super) struct Returns {
    claims: Mutex<Vec<Claim>>,
    /// Wakes the writer.
    ring: Box<dyn Fn() + Send + Sync>,
}

impl Returns {
    pub(super) fn new(ring: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            claims: Mutex::default(),
            ring: Box::new(ring),
        }
    }

    fn hand(self: &Arc<Self>, claimed: (Claim, Job)) -> Handed {
        Handed {
            claimed: Some(claimed),
            returns: Arc::clone(self),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Claim>> {
        // Nothing panics while it is held.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim on its way to its worker. Dropped on the way, the job goes back.
pub(super) struct Handed {
    claimed: Option<(Claim, Job)>,
    returns: Arc<Returns>,
}

impl Handed {
    pub(super) fn take(mut self) -> (Claim, Job) {
        self.claimed.take().expect("only this takes it, once")
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some((claim, _)) = self.claimed.take() {
            self.returns.lock().push(claim);
            (self.returns.ring)();
        }
    }
}
