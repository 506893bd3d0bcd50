//! Claims: what is due moves up, what has expired comes back, and the next
//! job in turn is taken. Each step costs a few walks down a tree, however many
//! jobs wait.

use redb::ReadableTable;

use super::codec::PlacedJob;
use super::errors::Halt;
use super::jobs::{QueueTables, inconsistent, parse_id};
use super::unit::Unit;
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::job::{Job, Queue};
use crate::store::transition::{self, Stop};
use crate::store::{Claim, ClaimRequest};

impl Unit<'_> {
    /// Puts back and moves up what is due, then takes the next job.
    pub(super) fn claim(&mut self, request: &ClaimRequest) -> Result<Option<(Claim, Job)>, Halt> {
        self.settle_due()?;
        self.take(request)
    }

    /// Takes the next job of those that are ready.
    pub(super) fn take(&mut self, request: &ClaimRequest) -> Result<Option<(Claim, Job)>, Halt> {
        let now = self.now();
        let claimed = self.queue()?.take(request, now)?;
        // Nothing refuses a claim, so it may find out late that it has written.
        if claimed.is_some() {
            self.begin_writes();
        }
        Ok(claimed)
    }

    /// Puts back the jobs whose lease has ended, and makes those ready whose
    /// time has come.
    pub(super) fn settle_due(&mut self) -> Result<(), Halt> {
        if !self.is_due() {
            return Ok(());
        }
        let now = self.now();
        let expired = self.queue()?.expire(now, Some(now))?;
        let promoted = self.queue()?.promote(now)?;
        if promoted || !expired.is_empty() {
            self.begin_writes();
        }
        self.end_orphaned_previews(&expired, now)
    }
}

impl QueueTables<'_> {
    /// The job of a claim that is held.
    pub(super) fn held(&self, claim: &Claim) -> Result<PlacedJob, Halt> {
        let placed = self.get(&claim.job)?;
        transition::check_claim(placed.as_ref().map(|placed| &placed.job), claim)?;
        placed.ok_or_else(|| inconsistent("a claim is held on no job"))
    }

    fn take(
        &mut self,
        request: &ClaimRequest,
        now: Timestamp,
    ) -> Result<Option<(Claim, Job)>, Halt> {
        for queue in &request.queues {
            if let Some(id) = self.next_job(*queue, request.group_limit)? {
                return self.start(&id, request, now).map(Some);
            }
        }
        Ok(None)
    }

    /// Puts back the running jobs whose lease ends at `until` or before, or
    /// all of them. Answers what they are now.
    pub(super) fn expire(
        &mut self,
        now: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<Vec<Job>, Halt> {
        let mut expired = Vec::new();
        loop {
            let id = match self.leases.first()? {
                Some((key, _)) => {
                    let (ends, id) = key.value();
                    if until.is_some_and(|until| ends > until.as_millis()) {
                        break;
                    }
                    parse_id(id)?
                }
                None => break,
            };
            expired.push(self.stop(&id, Stop::LeaseExpired, now)?);
        }
        Ok(expired)
    }

    /// Makes the delayed jobs ready whose time has come.
    fn promote(&mut self, now: Timestamp) -> Result<bool, Halt> {
        let mut any = false;
        loop {
            let id = match self.delayed.first()? {
                Some((key, id)) if key.value().0 <= now.as_millis() => parse_id(id.value())?,
                _ => return Ok(any),
            };
            self.change(&id, |placed| placed.due = true)?;
            any = true;
        }
    }

    /// Whose turn it is in `queue`. Passes over the groups at their limit, of
    /// which there are no more than running jobs.
    fn next_job(&mut self, queue: Queue, group_limit: u32) -> Result<Option<JobId>, Halt> {
        if self.counts(queue).paused {
            return Ok(None);
        }
        let code = queue as u8;
        for entry in self.turns.range((code, 0, 0)..=(code, u8::MAX, u64::MAX))? {
            let (key, group) = entry?;
            let (_, priority, _) = key.value();
            let group = group.value();
            if group != 0 && self.groups.get(queue, group)?.running >= group_limit {
                continue;
            }
            let places = (code, priority, group, 0)..=(code, priority, group, u64::MAX);
            let (_, id) = self
                .ready
                .range(places)?
                .next()
                .ok_or_else(|| inconsistent("a group in line has no ready job"))??;
            return parse_id(id.value()).map(Some);
        }
        Ok(None)
    }

    fn start(
        &mut self,
        id: &JobId,
        request: &ClaimRequest,
        now: Timestamp,
    ) -> Result<(Claim, Job), Halt> {
        let mut claim = None;
        let job = self.change(id, |placed| {
            let lease = request.lease;
            claim = Some(transition::start(
                &mut placed.job,
                &request.worker,
                lease,
                now,
            ));
        })?;
        self.served(job.queue, job.group)?;
        let claim = claim.ok_or_else(|| inconsistent("a job was not started"))?;
        Ok((claim, job))
    }
}
