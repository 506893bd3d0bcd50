//! The queue in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, Placed, State, Turn};
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::job::{Job, JobFailure, JobState, Queue};
use crate::error::Result;
use crate::store::transition::{self, Stop};
use crate::store::{Batch, Claim, ClaimRequest, JobQueue, QueueStats};

#[async_trait]
impl JobQueue for MemoryStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Option<(Claim, Job)>> {
        let now = self.clock.now();
        let mut state = self.state();
        let glance = self.signals.glance();
        let expired = state.expire_leases(now, |expires_at| expires_at <= now);
        for Placed { job, due, .. } in state.jobs.values_mut() {
            *due |= job.run_at <= now;
        }
        let next = request
            .queues
            .iter()
            .find_map(|queue| state.next_job(*queue, request.group_limit));
        let claimed = next.map(|id| state.start(&id, request, now));
        if claimed.is_none() {
            self.signals.found_nothing(&request.queues, glance);
        }
        self.publish(&state, &expired);
        Ok(claimed)
    }

    /// Nothing is lost by dropping it: a claim here is one step.
    async fn next(&self, request: &ClaimRequest) -> Result<(Claim, Job)> {
        loop {
            if let Some(claimed) = self.claim(request).await? {
                return Ok(claimed);
            }
            self.wait(&request.queues).await;
        }
    }

    async fn wait(&self, queues: &[Queue]) {
        self.signals.wait(queues).await;
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state();
        transition::check_claim(state.job(&claim.job), claim)?;
        if let Some(placed) = state.jobs.get_mut(&claim.job) {
            transition::renew(&mut placed.job, lease, now);
        }
        self.publish(&state, &[]);
        Ok(())
    }

    async fn complete(&self, claim: &Claim, batch: Batch) -> Result<()> {
        self.end_claim(claim, Stop::Succeeded, batch).map(drop)
    }

    async fn fail(
        &self,
        claim: &Claim,
        failure: JobFailure,
        retry_at: Option<Timestamp>,
        batch: Batch,
    ) -> Result<JobState> {
        self.end_claim(claim, Stop::Failed { failure, retry_at }, batch)
    }

    async fn release(&self, claim: &Claim, batch: Batch) -> Result<()> {
        self.end_claim(claim, Stop::Released, batch).map(drop)
    }

    async fn retry(&self, job: &JobId, batch: Batch) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state();
        transition::check_retry(state.job(job), job)?;
        if let Some(other) = state.newer_than(job) {
            return Err(transition::key_is_queued(&other));
        }
        state.check(&batch, None)?;
        let mut touched = state.requeue(job, now);
        touched.extend(state.apply(batch, now).1);
        self.publish(&state, &touched);
        Ok(())
    }

    async fn set_paused(&self, queue: Queue, paused: bool) -> Result<()> {
        let mut state = self.state();
        if paused {
            state.paused.insert(queue);
        } else {
            state.paused.remove(&queue);
        }
        self.publish(&state, &[queue]);
        Ok(())
    }

    async fn stats(&self, queue: Queue) -> Result<QueueStats> {
        let state = self.state();
        let count = |wanted: JobState| {
            let matches = |job: &Job| job.queue == queue && job.state == wanted;
            state.jobs.values().filter(|p| matches(&p.job)).count() as u64
        };
        Ok(QueueStats {
            queued: count(JobState::Queued),
            running: count(JobState::Running),
            dead: count(JobState::Failed),
            paused: state.paused.contains(&queue),
        })
    }

    async fn expire_all_leases(&self) -> Result<u64> {
        let mut state = self.state();
        let expired = state.expire_leases(self.clock.now(), |_| true);
        self.publish(&state, &expired);
        Ok(expired.len() as u64)
    }
}

impl MemoryStore {
    fn end_claim(&self, claim: &Claim, how: Stop, batch: Batch) -> Result<JobState> {
        let now = self.clock.now();
        let mut state = self.state();
        transition::check_claim(state.job(&claim.job), claim)?;
        state.check(&batch, Some(&claim.job))?;
        let newer = state.newer_than(&claim.job);
        let mut touched = Vec::new();
        let mut ended = JobState::Succeeded;
        if let Some(Placed { job, due, .. }) = state.jobs.get_mut(&claim.job) {
            *due = !matches!(how, Stop::Failed { .. });
            transition::stop(job, how, newer.as_ref(), now);
            *due |= job.run_at <= now;
            touched.push(job.queue);
            ended = job.state;
        }
        touched.extend(state.apply(batch, now).1);
        self.publish(&state, &touched);
        Ok(ended)
    }
}

impl State {
    /// The queued job that has the same key as `id`.
    fn newer_than(&self, id: &JobId) -> Option<JobId> {
        let job = self.job(id)?;
        self.queued_with_key(job.queue, job.dedupe_key.as_deref())
    }

    /// Puts running jobs back whose lease's end is `over`. Answers their
    /// queues, one for each job.
    fn expire_leases(&mut self, now: Timestamp, over: impl Fn(Timestamp) -> bool) -> Vec<Queue> {
        let mut expired: Vec<_> = self
            .jobs
            .values()
            .filter(|Placed { job, .. }| job.state == JobState::Running)
            .filter_map(|Placed { job, .. }| {
                let lease = job.lease.as_ref()?;
                over(lease.expires_at).then(|| (lease.expires_at, job.id.clone()))
            })
            .collect();
        expired.sort();
        let mut queues = Vec::new();
        for (_, id) in expired {
            let newer = self.newer_than(&id);
            let Some(Placed { job, .. }) = self.jobs.get_mut(&id) else {
                continue;
            };
            transition::stop(job, Stop::LeaseExpired, newer.as_ref(), now);
            queues.push(job.queue);
            let job = job.clone();
            if let Some(preview) = self.previews.get(&id) {
                let mut preview = preview.value.clone();
                if transition::end_orphaned_preview(&mut preview, &job, now) {
                    self.put_preview(preview);
                }
            }
        }
        queues
    }

    /// Whose turn it is in `queue`.
    fn next_job(&self, queue: Queue, group_limit: u32) -> Option<JobId> {
        if self.paused.contains(&queue) {
            return None;
        }
        let of_queue = || self.jobs.values().filter(|p| p.job.queue == queue);
        let has_room = |group: i64| {
            let runs = |p: &&Placed| p.job.group == group && p.job.state == JobState::Running;
            group == 0 || of_queue().filter(runs).count() < group_limit as usize
        };
        of_queue()
            .filter(|Placed { job, due, .. }| job.state == JobState::Queued && *due)
            .filter(|Placed { job, .. }| has_room(job.group))
            .min_by_key(|Placed { job, place, .. }| {
                let turn = self.turns.get(&(queue, job.group)).copied();
                (job.priority, turn, *place)
            })
            .map(|Placed { job, .. }| job.id.clone())
    }

    fn start(&mut self, id: &JobId, request: &ClaimRequest, now: Timestamp) -> (Claim, Job) {
        let placed = self.jobs.get_mut(id).expect("chosen from this map");
        let claim = transition::start(&mut placed.job, &request.worker, request.lease, now);
        let job = placed.job.clone();
        self.last_turn += 1;
        self.turns
            .insert((job.queue, job.group), Turn::Served(self.last_turn));
        (claim, job)
    }

    fn requeue(&mut self, id: &JobId, now: Timestamp) -> Vec<Queue> {
        let Some((queue, group)) = self.job(id).map(|job| (job.queue, job.group)) else {
            return Vec::new();
        };
        let place = self.next_place(queue, group);
        if let Some(placed) = self.jobs.get_mut(id) {
            transition::retry(&mut placed.job, now);
            placed.place = place;
            placed.due = true;
        }
        vec![queue]
    }
}
