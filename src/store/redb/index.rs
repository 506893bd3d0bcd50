//! The indexes of the queue: what a job's row implies of them, and the groups
//! that share it in turn.
//!
//! A group's turn is a number, lowest first: for a group never served the
//! place of its first job, for a served one its serving number with
//! [`SERVED`] set.

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::codec::{self, GroupRow, PlacedJob};
use super::errors::Halt;
use super::jobs::{QueueTables, inconsistent};
use super::tables;
use crate::domain::job::{Job, JobState, Queue};

/// Marks the turn of a group that was served; see the module.
const SERVED: u64 = 1 << 63;

/// The groups' rows, read once and written once in a transaction.
pub(super) struct Groups<'txn> {
    table: Table<'txn, (u8, i64), &'static [u8]>,
    loaded: HashMap<(u8, i64), GroupRow>,
}

impl<'txn> Groups<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, Halt> {
        Ok(Self {
            table: txn.open_table(tables::GROUPS)?,
            loaded: HashMap::new(),
        })
    }

    pub(super) fn get(&mut self, queue: Queue, group: i64) -> Result<&mut GroupRow, Halt> {
        let key = (queue as u8, group);
        if !self.loaded.contains_key(&key) {
            let row = match self.table.get(key)? {
                Some(bytes) => codec::decode(bytes.value())?,
                None => GroupRow::default(),
            };
            self.loaded.insert(key, row);
        }
        Ok(self.loaded.get_mut(&key).expect("loaded above"))
    }

    pub(super) fn write(&mut self) -> Result<(), Halt> {
        for (key, row) in self.loaded.drain() {
            self.table.insert(key, codec::encode(&row)?.as_slice())?;
        }
        Ok(())
    }
}

impl QueueTables<'_> {
    /// Puts in the index entries that a row implies.
    pub(super) fn index(&mut self, placed: &PlacedJob) -> Result<(), Halt> {
        let PlacedJob { place, due, job } = placed;
        let queue = job.queue as u8;
        match job.state {
            JobState::Queued => {
                if *due {
                    self.index_ready(job, *place)?;
                } else {
                    let key = (job.run_at.as_millis(), *place);
                    self.delayed.insert(key, job.id.as_str())?;
                }
                if let Some(key) = &job.dedupe_key {
                    self.dedupe.insert((queue, key.as_str()), job.id.as_str())?;
                }
                self.counts(job.queue).queued += 1;
                self.touch(job.queue);
            }
            JobState::Running => {
                self.leases.insert(lease_key(job)?, ())?;
                self.groups.get(job.queue, job.group)?.running += 1;
                self.counts(job.queue).running += 1;
            }
            JobState::Failed => self.counts(job.queue).dead += 1,
            JobState::Succeeded | JobState::Cancelled => {}
        }
        Ok(())
    }

    /// Takes away the index entries that a row implies.
    pub(super) fn unindex(&mut self, placed: &PlacedJob) -> Result<(), Halt> {
        let PlacedJob { place, due, job } = placed;
        let queue = job.queue as u8;
        match job.state {
            JobState::Queued => {
                if *due {
                    self.unindex_ready(job, *place)?;
                } else {
                    self.delayed.remove((job.run_at.as_millis(), *place))?;
                }
                if let Some(key) = &job.dedupe_key {
                    self.dedupe.remove((queue, key.as_str()))?;
                }
                self.counts(job.queue).queued -= 1;
            }
            JobState::Running => {
                self.leases.remove(lease_key(job)?)?;
                self.groups.get(job.queue, job.group)?.running -= 1;
                self.counts(job.queue).running -= 1;
            }
            JobState::Failed => self.counts(job.queue).dead -= 1,
            JobState::Succeeded | JobState::Cancelled => {}
        }
        Ok(())
    }

    fn index_ready(&mut self, job: &Job, place: u64) -> Result<(), Halt> {
        let (queue, priority) = (job.queue as u8, job.priority.0);
        let row = self.groups.get(job.queue, job.group)?;
        if let Some((_, count)) = row.ready.iter_mut().find(|(p, _)| *p == priority) {
            *count += 1;
        } else {
            row.ready.push((priority, 1));
            let turn = row.turn;
            self.turns.insert((queue, priority, turn), job.group)?;
        }
        self.ready
            .insert((queue, priority, job.group, place), job.id.as_str())?;
        Ok(())
    }

    fn unindex_ready(&mut self, job: &Job, place: u64) -> Result<(), Halt> {
        let (queue, priority) = (job.queue as u8, job.priority.0);
        self.ready.remove((queue, priority, job.group, place))?;
        let row = self.groups.get(job.queue, job.group)?;
        let at = row
            .ready
            .iter()
            .position(|(p, _)| *p == priority)
            .ok_or_else(|| inconsistent("a ready job is not counted in its group"))?;
        row.ready[at].1 -= 1;
        if row.ready[at].1 == 0 {
            row.ready.swap_remove(at);
            let turn = row.turn;
            self.turns.remove((queue, priority, turn))?;
        }
        Ok(())
    }

    /// Sends a group to the end of the line, at every priority it waits at.
    pub(super) fn served(&mut self, queue: Queue, group: i64) -> Result<(), Halt> {
        self.state.last_turn += 1;
        let next = SERVED | self.state.last_turn;
        let row = self.groups.get(queue, group)?;
        for (priority, _) in &row.ready {
            self.turns.remove((queue as u8, *priority, row.turn))?;
            self.turns.insert((queue as u8, *priority, next), group)?;
        }
        row.turn = next;
        Ok(())
    }
}

fn lease_key(job: &Job) -> Result<(i64, &str), Halt> {
    let lease = job
        .lease
        .as_ref()
        .ok_or_else(|| inconsistent("a running job has no lease"))?;
    Ok((lease.expires_at.as_millis(), job.id.as_str()))
}
