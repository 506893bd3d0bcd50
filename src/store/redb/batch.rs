//! Batches: every check first, then every write.

use super::errors::Halt;
use super::unit::Unit;
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::job::Job;
use crate::error::{Code, Error};
use crate::store::{Batch, Change, transition};

impl Unit<'_> {
    /// Checks `batch` against the state before it. `ending` is the job that
    /// the same operation ends.
    pub(super) fn check(&mut self, batch: &Batch, ending: Option<&JobId>) -> Result<(), Halt> {
        batch.check_shape(ending)?;
        if let Some(claim) = &batch.claim {
            transition::check_claim(self.job(&claim.job)?.as_ref(), claim)?;
        }
        for (index, change) in batch.changes.iter().enumerate() {
            let records = self.records()?;
            change.check_expectation(records.revision(change.slot())?)?;
            if let Change::Put(record, _) = change {
                records.check_put(record, &batch.changes, index)?;
            }
        }
        for id in &batch.cancel {
            transition::check_cancel(self.job(id)?.as_ref(), id)?;
        }
        for new in &batch.enqueue {
            if self.job(&new.id)?.is_some() {
                let message = format!("there is a job {} already", new.id);
                return Err(Error::new(Code::Conflict, message).into());
            }
        }
        Ok(())
    }

    pub(super) fn job(&mut self, id: &JobId) -> Result<Option<Job>, Halt> {
        Ok(self.queue()?.get(id)?.map(|placed| placed.job))
    }

    /// Writes a batch that was checked. Answers the ids its jobs have.
    pub(super) fn apply(&mut self, batch: Batch, now: Timestamp) -> Result<Vec<JobId>, Halt> {
        for change in batch.changes {
            match change {
                Change::Put(record, _) => self.records()?.put(record)?,
                Change::Delete(key, _) => self.records()?.delete(&key)?,
            }
        }
        for id in &batch.cancel {
            self.queue()?.cancel(id, now)?;
        }
        let mut ids = Vec::new();
        for new in batch.enqueue {
            ids.push(self.queue()?.enqueue(new, now)?);
        }
        Ok(ids)
    }

    /// Ends the previews of jobs that the queue itself has ended.
    pub(super) fn end_orphaned_previews(
        &mut self,
        jobs: &[Job],
        now: Timestamp,
    ) -> Result<(), Halt> {
        for job in jobs.iter().filter(|job| job.state.is_final()) {
            let records = self.records()?;
            if let Some(row) = records.preview(job.id.as_str())? {
                let mut preview = row.value;
                if transition::end_orphaned_preview(&mut preview, job, now) {
                    records.put_preview(preview)?;
                }
            }
        }
        Ok(())
    }
}
