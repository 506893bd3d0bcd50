//! The queue's operations, each one pass through the writer.

use std::time::Duration;

use async_trait::async_trait;

use super::RedbStore;
use super::errors::Halt;
use super::unit::Unit;
use super::{jobs, tables};
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::job::{Job, JobFailure, JobState, Queue};
use crate::error::Result;
use crate::store::transition::{self, Stop};
use crate::store::{Batch, Claim, ClaimRequest, JobQueue, QueueStats};

#[async_trait]
impl JobQueue for RedbStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Option<(Claim, Job)>> {
        let request = request.clone();
        self.writer
            .run(move |unit| {
                let glance = unit.glance();
                let claimed = unit.claim(&request)?;
                if claimed.is_none() {
                    unit.found_nothing(&request.queues, glance);
                }
                Ok(claimed)
            })
            .await
    }

    async fn next(&self, request: &ClaimRequest) -> Result<(Claim, Job)> {
        self.writer.stand_in_line(request.clone()).await
    }

    async fn wait(&self, queues: &[Queue]) {
        self.signals.wait(queues).await;
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let claim = claim.clone();
        self.writer
            .run(move |unit| {
                let now = unit.now();
                unit.queue()?.held(&claim)?;
                unit.begin_writes();
                unit.queue()?.renew(&claim.job, lease, now)
            })
            .await
    }

    async fn complete(&self, claim: &Claim, batch: Batch) -> Result<()> {
        self.end_claim(claim, Stop::Succeeded, batch)
            .await
            .map(drop)
    }

    async fn fail(
        &self,
        claim: &Claim,
        failure: JobFailure,
        retry_at: Option<Timestamp>,
        batch: Batch,
    ) -> Result<JobState> {
        self.end_claim(claim, Stop::Failed { failure, retry_at }, batch)
            .await
    }

    async fn release(&self, claim: &Claim, batch: Batch) -> Result<()> {
        self.end_claim(claim, Stop::Released, batch).await.map(drop)
    }

    async fn retry(&self, job: &JobId, batch: Batch) -> Result<()> {
        let id = job.clone();
        self.writer.run(move |unit| retry(unit, &id, batch)).await
    }

    async fn set_paused(&self, queue: Queue, paused: bool) -> Result<()> {
        self.writer
            .run(move |unit| {
                unit.begin_writes();
                let tables = unit.queue()?;
                tables.counts(queue).paused = paused;
                tables.touch(queue);
                Ok(())
            })
            .await
    }

    async fn stats(&self, queue: Queue) -> Result<QueueStats> {
        self.read(|txn| {
            let state = jobs::read_state(&txn.open_table(tables::QUEUE_STATE)?)?;
            let counts = state.queues[queue as usize];
            Ok(QueueStats {
                queued: counts.queued,
                running: counts.running,
                dead: counts.dead,
                paused: counts.paused,
            })
        })
    }

    async fn expire_all_leases(&self) -> Result<u64> {
        self.writer
            .run(|unit| {
                let now = unit.now();
                let expired = unit.queue()?.expire(now, None)?;
                // Nothing refuses it, so it may find out late that it has
                // written: most starts need no commit.
                if !expired.is_empty() {
                    unit.begin_writes();
                }
                unit.end_orphaned_previews(&expired, now)?;
                Ok(expired.len() as u64)
            })
            .await
    }
}

impl RedbStore {
    async fn end_claim(&self, claim: &Claim, how: Stop, batch: Batch) -> Result<JobState> {
        let claim = claim.clone();
        self.writer
            .run(move |unit| {
                let now = unit.now();
                let placed = unit.queue()?.held(&claim)?;
                unit.check(&batch, Some(&claim.job))?;
                unit.begin_writes();
                let job = unit.queue()?.stop_row(placed, how, now)?;
                unit.apply(batch, now)?;
                Ok(job.state)
            })
            .await
    }
}

fn retry(unit: &mut Unit<'_>, id: &JobId, batch: Batch) -> Result<(), Halt> {
    let now = unit.now();
    let job = unit.job(id)?;
    transition::check_retry(job.as_ref(), id)?;
    if let Some(job) = &job
        && let Some(other) = unit.queue()?.queued_with_key(job)?
    {
        return Err(transition::key_is_queued(&other).into());
    }
    unit.check(&batch, None)?;
    unit.begin_writes();
    unit.queue()?.retry(id, now)?;
    unit.apply(batch, now)?;
    Ok(())
}
