//! What an operation sees of the write transaction that it shares.

use redb::WriteTransaction;

use super::errors::Halt;
use super::jobs::QueueTables;
use super::records::RecordTables;
use crate::clock::{Clock, Timestamp};
use crate::domain::job::Queue;
use crate::store::signals::{Glance, Signals};

/// A write transaction with its tables, opened at first use: opening all of
/// them would cost more than most operations do.
pub(super) struct Unit<'txn> {
    txn: &'txn WriteTransaction,
    clock: &'txn dyn Clock,
    signals: &'txn Signals,
    records: Option<RecordTables<'txn>>,
    queue: Option<QueueTables<'txn>>,
    /// Whether the operation at hand, or any before it, has written.
    written: bool,
    dirty: bool,
}

/// What idle workers must hear once the transaction is durable.
pub(super) struct QueueNews {
    pub(super) queues: Vec<Queue>,
    pub(super) due: Option<Timestamp>,
}

impl<'txn> Unit<'txn> {
    pub(super) fn new(
        txn: &'txn WriteTransaction,
        clock: &'txn dyn Clock,
        signals: &'txn Signals,
    ) -> Self {
        Self {
            txn,
            clock,
            signals,
            records: None,
            queue: None,
            written: false,
            dirty: false,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn glance(&self) -> Glance {
        self.signals.glance()
    }

    pub(super) fn found_nothing(&self, queues: &[Queue], glance: Glance) {
        self.signals.found_nothing(queues, glance);
    }

    /// Whether the next delayed job or lease is due, as of the last commit. What
    /// the group adds is ready at once or due after it.
    pub(super) fn is_due(&self) -> bool {
        self.signals.is_due()
    }

    /// Whether the group has made something of these queues claimable.
    pub(super) fn has_news_of(&self, queues: &[Queue]) -> bool {
        let tables = self.queue.as_ref();
        tables.is_some_and(|tables| queues.iter().any(|queue| tables.is_touched(*queue)))
    }

    /// A new operation: it may be refused until it writes.
    pub(super) fn begin_checks(&mut self) {
        self.written = false;
    }

    /// Every check has passed. From here on only a failure of the file may
    /// stop the operation, and stops its whole group.
    pub(super) fn begin_writes(&mut self) {
        self.written = true;
        self.dirty = true;
    }

    pub(super) fn has_written(&self) -> bool {
        self.written
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) fn records(&mut self) -> Result<&mut RecordTables<'txn>, Halt> {
        if self.records.is_none() {
            self.records = Some(RecordTables::open(self.txn)?);
        }
        Ok(self.records.as_mut().expect("opened above"))
    }

    pub(super) fn queue(&mut self) -> Result<&mut QueueTables<'txn>, Halt> {
        if self.queue.is_none() {
            self.queue = Some(QueueTables::open(self.txn)?);
        }
        Ok(self.queue.as_mut().expect("opened above"))
    }

    /// Writes what was gathered and closes the tables. `None` when the queue
    /// was not touched.
    pub(super) fn finish(self) -> Result<Option<QueueNews>, Halt> {
        self.queue.map(QueueTables::finish).transpose()
    }
}
