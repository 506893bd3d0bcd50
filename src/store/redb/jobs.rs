//! Jobs, and with every change of a row the indexes of the queue ([`index`]).
//!
//! A job's row implies its index entries: [`QueueTables::unindex`] takes them
//! away, a step of [`transition`] changes the row, [`QueueTables::index`] puts
//! the new ones in. No other code writes the indexes, except that a group's
//! turn moves when it is served.
//!
//! [`index`]: super::index

use std::time::Duration;

use redb::{ReadableTable, Table, WriteTransaction};

use super::codec::{self, PlacedJob, QueueCounts, QueueRow};
use super::errors::Halt;
use super::index::Groups;
use super::tables;
use super::unit::QueueNews;
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::job::{Job, NewJob, Queue};
use crate::store::transition::{self, Stop};

/// The key of the one row of `QUEUE_STATE`.
pub(super) const STATE: &str = "state";

type Rows<'txn> = Table<'txn, &'static str, &'static [u8]>;

pub(super) struct QueueTables<'txn> {
    jobs: Rows<'txn>,
    pub(super) ready: Table<'txn, (u8, u8, i64, u64), &'static str>,
    pub(super) turns: Table<'txn, (u8, u8, u64), i64>,
    pub(super) delayed: Table<'txn, (i64, u64), &'static str>,
    pub(super) leases: Table<'txn, (i64, &'static str), ()>,
    pub(super) dedupe: Table<'txn, (u8, &'static str), &'static str>,
    pub(super) groups: Groups<'txn>,
    state_table: Rows<'txn>,
    pub(super) state: QueueRow,
    /// Queues in which something may have become claimable, by number.
    touched: [bool; Queue::ALL.len()],
}

pub(super) fn read_state(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<QueueRow, Halt> {
    let mut state = match table.get(STATE)? {
        Some(bytes) => codec::decode(bytes.value())?,
        None => QueueRow::default(),
    };
    state
        .queues
        .resize(Queue::ALL.len(), QueueCounts::default());
    Ok(state)
}

/// When the next lease ends or the next delayed job is due.
pub(super) fn next_due(
    leases: &impl ReadableTable<(i64, &'static str), ()>,
    delayed: &impl ReadableTable<(i64, u64), &'static str>,
) -> Result<Option<Timestamp>, Halt> {
    let lease = leases.first()?.map(|(key, _)| key.value().0);
    let job = delayed.first()?.map(|(key, _)| key.value().0);
    Ok(lease
        .into_iter()
        .chain(job)
        .min()
        .map(Timestamp::from_millis))
}

impl<'txn> QueueTables<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, Halt> {
        let state_table = txn.open_table(tables::QUEUE_STATE)?;
        let state = read_state(&state_table)?;
        Ok(Self {
            jobs: txn.open_table(tables::JOBS)?,
            ready: txn.open_table(tables::READY)?,
            turns: txn.open_table(tables::TURNS)?,
            delayed: txn.open_table(tables::DELAYED)?,
            leases: txn.open_table(tables::LEASES)?,
            dedupe: txn.open_table(tables::DEDUPE)?,
            groups: Groups::open(txn)?,
            state_table,
            state,
            touched: [false; Queue::ALL.len()],
        })
    }

    pub(super) fn finish(mut self) -> Result<QueueNews, Halt> {
        self.groups.write()?;
        let row = codec::encode(&self.state)?;
        self.state_table.insert(STATE, row.as_slice())?;
        let touched = Queue::ALL.into_iter().filter(|q| self.is_touched(*q));
        Ok(QueueNews {
            queues: touched.collect(),
            due: next_due(&self.leases, &self.delayed)?,
        })
    }

    pub(super) fn get(&self, id: &JobId) -> Result<Option<PlacedJob>, Halt> {
        let Some(bytes) = self.jobs.get(id.as_str())? else {
            return Ok(None);
        };
        Ok(Some(codec::decode(bytes.value())?))
    }

    /// A job that an index or a passed check says is there.
    pub(super) fn get_known(&self, id: &JobId) -> Result<PlacedJob, Halt> {
        self.get(id)?
            .ok_or_else(|| inconsistent("an index names a job that does not exist"))
    }

    pub(super) fn counts(&mut self, queue: Queue) -> &mut QueueCounts {
        &mut self.state.queues[queue as usize]
    }

    /// Says that something may have become claimable.
    pub(super) fn touch(&mut self, queue: Queue) {
        self.touched[queue as usize] = true;
    }

    pub(super) fn is_touched(&self, queue: Queue) -> bool {
        self.touched[queue as usize]
    }

    /// The queued job of a queue that has this key.
    pub(super) fn queued_with_key(&self, job: &Job) -> Result<Option<JobId>, Halt> {
        match &job.dedupe_key {
            Some(key) => self.holder_of(job.queue, key),
            None => Ok(None),
        }
    }

    fn holder_of(&self, queue: Queue, key: &str) -> Result<Option<JobId>, Halt> {
        let Some(id) = self.dedupe.get((queue as u8, key))? else {
            return Ok(None);
        };
        parse_id(id.value()).map(Some)
    }

    pub(super) fn enqueue(&mut self, new: NewJob, now: Timestamp) -> Result<JobId, Halt> {
        if let Some(key) = &new.dedupe_key
            && let Some(id) = self.holder_of(new.queue, key)?
        {
            self.change(&id, |placed| {
                transition::absorb(&mut placed.job, new, now);
                placed.due |= placed.job.run_at <= now;
            })?;
            return Ok(id);
        }
        let place = self.next_place(new.queue, new.group)?;
        let job = transition::enqueue(new, now);
        let due = job.run_at <= now;
        let placed = PlacedJob { place, due, job };
        self.index(&placed)?;
        self.store(&placed)?;
        Ok(placed.job.id)
    }

    /// A place at the end, for a job of this group.
    fn next_place(&mut self, queue: Queue, group: i64) -> Result<u64, Halt> {
        self.state.last_place += 1;
        let place = self.state.last_place;
        let row = self.groups.get(queue, group)?;
        if row.turn == 0 {
            row.turn = place;
        }
        Ok(place)
    }

    pub(super) fn cancel(&mut self, id: &JobId, now: Timestamp) -> Result<(), Halt> {
        let job = self.change(id, |placed| transition::cancel(&mut placed.job, now))?;
        // It may have kept its group at the limit.
        self.touch(job.queue);
        Ok(())
    }

    pub(super) fn renew(
        &mut self,
        id: &JobId,
        lease: Duration,
        now: Timestamp,
    ) -> Result<(), Halt> {
        self.change(id, |placed| {
            transition::renew(&mut placed.job, lease, now);
        })?;
        Ok(())
    }

    pub(super) fn retry(&mut self, id: &JobId, now: Timestamp) -> Result<(), Halt> {
        let job = self.get_known(id)?.job;
        let place = self.next_place(job.queue, job.group)?;
        self.change(id, |placed| {
            transition::retry(&mut placed.job, now);
            placed.place = place;
            placed.due = true;
        })?;
        Ok(())
    }

    /// Stops a running job; answers what it is now.
    pub(super) fn stop(&mut self, id: &JobId, how: Stop, now: Timestamp) -> Result<Job, Halt> {
        let placed = self.get_known(id)?;
        self.stop_row(placed, how, now)
    }

    /// The same to a row that was just read.
    pub(super) fn stop_row(
        &mut self,
        placed: PlacedJob,
        how: Stop,
        now: Timestamp,
    ) -> Result<Job, Halt> {
        let newer = self.queued_with_key(&placed.job)?;
        let job = self.change_row(placed, |placed| {
            placed.due = !matches!(how, Stop::Failed { .. });
            transition::stop(&mut placed.job, how, newer.as_ref(), now);
            placed.due |= placed.job.run_at <= now;
        })?;
        // It may have kept its group at the limit.
        self.touch(job.queue);
        Ok(job)
    }

    /// Changes a row and what follows from it.
    pub(super) fn change(
        &mut self,
        id: &JobId,
        step: impl FnOnce(&mut PlacedJob),
    ) -> Result<Job, Halt> {
        let placed = self.get_known(id)?;
        self.change_row(placed, step)
    }

    /// The same to a row that was just read.
    fn change_row(
        &mut self,
        mut placed: PlacedJob,
        step: impl FnOnce(&mut PlacedJob),
    ) -> Result<Job, Halt> {
        self.unindex(&placed)?;
        step(&mut placed);
        self.index(&placed)?;
        self.store(&placed)?;
        Ok(placed.job)
    }

    fn store(&mut self, placed: &PlacedJob) -> Result<(), Halt> {
        let bytes = codec::encode(placed)?;
        self.jobs.insert(placed.job.id.as_str(), bytes.as_slice())?;
        Ok(())
    }
}

pub(super) fn parse_id(text: &str) -> Result<JobId, Halt> {
    text.parse()
        .map_err(|_| inconsistent("an index holds something else than a job id"))
}

/// The tables contradict each other.
pub(super) fn inconsistent(how: &str) -> Halt {
    Halt::Storage(redb::Error::Corrupted(how.to_owned()))
}
