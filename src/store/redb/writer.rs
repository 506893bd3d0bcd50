//! The one writer: a thread that takes whatever operations wait, applies them
//! in one transaction, and acknowledges each caller after the durable commit.
//!
//! redb allows one write transaction at a time, and its price is the fsync.
//! While one group is being synced the next one gathers ([`Inbox`]), so the
//! price is shared by all who wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::errors::{Failure, Halt};
use super::file::{self, File};
use super::inbox::{Answered, Inbox};
use super::line::{Handed, Line, Returns, Waiter};
use super::unit::{QueueNews, Unit};
use crate::clock::Clock;
use crate::domain::job::{Job, Queue};
use crate::error::{Code, Context, Error, Result};
use crate::store::signals::Signals;
use crate::store::{Claim, ClaimRequest};

/// A caller's operation, until it is settled.
trait Operation: Send {
    /// Applies it. An error ends the whole group.
    fn run(&mut self, unit: &mut Unit<'_>, line: &mut Line) -> Result<(), Halt>;
    /// Tells the caller what came of it, once the group's fate is known.
    fn settle(self: Box<Self>, fate: Result<(), &Failure>);
}

struct Task<F, T> {
    work: Option<F>,
    outcome: Option<Result<T>>,
    caller: oneshot::Sender<Result<T>>,
}

impl<F, T> Operation for Task<F, T>
where
    F: FnOnce(&mut Unit<'_>) -> Result<T, Halt> + Send,
    T: Send,
{
    fn run(&mut self, unit: &mut Unit<'_>, _: &mut Line) -> Result<(), Halt> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        unit.begin_checks();
        match work(unit) {
            Ok(value) => self.outcome = Some(Ok(value)),
            Err(Halt::Refused(error)) if !unit.has_written() => self.outcome = Some(Err(error)),
            // Half of it is in the transaction, which must not be committed.
            Err(halt) => return Err(halt),
        }
        Ok(())
    }

    fn settle(self: Box<Self>, fate: Result<(), &Failure>) {
        let answer = match (fate, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            // A refusal falls too: it may rest on a write that was lost.
            (Err(failure), _) => Err(failure.to_error()),
            (Ok(()), None) => Err(Failure::panicked().to_error()),
        };
        // A caller that has gone does not want to know.
        let _ = self.caller.send(answer);
    }
}

/// A worker joins the line.
struct Join(Option<Waiter>);

impl Operation for Join {
    fn run(&mut self, _: &mut Unit<'_>, line: &mut Line) -> Result<(), Halt> {
        if let Some(waiter) = self.0.take() {
            line.join(waiter);
        }
        Ok(())
    }

    fn settle(self: Box<Self>, fate: Result<(), &Failure>) {
        // The line answers those who have joined it.
        if let (Some(waiter), Err(failure)) = (self.0, fate) {
            waiter.refuse(failure);
        }
    }
}

type Operations = Inbox<Box<dyn Operation>>;

/// The callers' end of the writer.
pub(super) struct Writer {
    inbox: Arc<Operations>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        file: Arc<File>,
        clock: Arc<dyn Clock>,
        signals: Arc<Signals>,
    ) -> Result<Self> {
        let inbox = Arc::new(Operations::new());
        let returns = Returns::new({
            let inbox = Arc::clone(&inbox);
            move || inbox.ring()
        });
        let worker = Worker {
            inbox: Arc::clone(&inbox),
            line: Line::new(Arc::new(returns)),
            file,
            clock,
            signals,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run())
            .or_internal("start the database's writer thread")?;
        Ok(Self {
            inbox,
            thread: Some(thread),
        })
    }

    /// Runs `work` in a write transaction; durable when this returns `Ok`.
    ///
    /// `work` checks everything that may refuse it before it calls
    /// [`Unit::begin_writes`].
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut Unit<'_>) -> Result<T, Halt> + Send + 'static,
        T: Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let task = Task {
            work: Some(work),
            outcome: None,
            caller,
        };
        let sent = self.inbox.send(Box::new(task)).await;
        sent.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Waits in line for a job. Dropping the future is safe: what was claimed
    /// for it goes back.
    pub(super) async fn stand_in_line(&self, request: ClaimRequest) -> Result<(Claim, Job)> {
        let (worker, handed) = oneshot::channel();
        let join = Join(Some(Waiter::new(request, worker)));
        let sent = self.inbox.send(Box::new(join)).await;
        sent.map_err(|_| gone())?;
        handed.await.map_err(|_| gone())?.map(Handed::take)
    }

    /// Has the writer look whether the file must be opened again, without
    /// waiting for it.
    pub(super) fn nudge(&self) {
        self.inbox.ring();
    }
}

/// Waits until everything accepted is written and the file closed, so that
/// whoever drops the store may open it again.
impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn gone() -> Error {
    Error::new(
        Code::DependencyFailure,
        "the database's writer has stopped; restart the server",
    )
}

/// The thread's end.
struct Worker {
    inbox: Arc<Operations>,
    line: Line,
    file: Arc<File>,
    clock: Arc<dyn Clock>,
    signals: Arc<Signals>,
}

/// However the thread ends: nobody shall wait for it any more.
impl Drop for Worker {
    fn drop(&mut self) {
        self.inbox.abandon();
    }
}

impl Worker {
    fn run(mut self) {
        let mut last: Option<Answered> = None;
        while let Some(mut group) = self.inbox.take(last.as_ref(), self.alarm()) {
            let began = Instant::now();
            let callers = group.len() + self.line.len();
            let fate = self.commit(&mut group);
            let took = began.elapsed();
            self.line.settle(fate.as_ref().copied());
            let operations = callers - self.line.len();
            for operation in group {
                operation.settle(fate.as_ref().copied());
            }
            last = Some(Answered {
                operations,
                took,
                at: Instant::now(),
            });
        }
        self.file.close();
    }

    /// When those in line must be looked after, whether anybody comes or not.
    fn alarm(&self) -> Option<Duration> {
        if self.line.len() == 0 {
            return None;
        }
        self.signals.next_look()
    }

    /// One group, one transaction. Waiting workers hear of it before the
    /// callers do, so that an idle worker starts at once.
    fn commit(&mut self, group: &mut [Box<dyn Operation>]) -> Result<(), Failure> {
        if !self.file.is_open() {
            self.reopen()?;
        }
        if group.is_empty() && !self.line.owes() && !self.signals.is_due() {
            // Woken to look at the clock, before the time of anything has come.
            return Ok(());
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.attempt(group)));
        let failure = match outcome {
            Ok(Ok(news)) => {
                if let Some(news) = news {
                    self.signals.publish(&news.queues, news.due);
                }
                return Ok(());
            }
            // The file is fine; only this group cannot be.
            Ok(Err(Halt::Record(error))) => {
                let failure = Failure::record(&error);
                tracing::error!(cause = failure.cause(), "a group of writes was refused");
                return Err(failure);
            }
            Ok(Err(Halt::Storage(error))) => Failure::of(&error),
            Ok(Err(Halt::Refused(_))) | Err(_) => Failure::panicked(),
        };
        tracing::error!(
            cause = failure.cause(),
            operations = group.len(),
            "a write to the database failed; nothing of it was acknowledged, opening the file again"
        );
        // After a failed fsync nobody knows what of the cache is on the disk;
        // only what is read from a file opened anew can be built upon.
        self.file.close();
        // The next operation tries again if this fails.
        let _ = self.reopen();
        Err(failure)
    }

    fn attempt(&mut self, group: &mut [Box<dyn Operation>]) -> Result<Option<QueueNews>, Halt> {
        let line = &mut self.line;
        self.file.with_open(|db| {
            let mut txn = db.begin_write()?;
            file::make_safe(&mut txn);
            let mut unit = Unit::new(&txn, &*self.clock, &self.signals);
            line.give_back(&mut unit)?;
            for operation in &mut *group {
                operation.run(&mut unit, line)?;
            }
            line.serve(&mut unit)?;
            if !unit.is_dirty() {
                drop(unit);
                txn.abort()?;
                return Ok(None);
            }
            let news = unit.finish()?;
            stop_point!(CommitBefore);
            txn.commit()?;
            stop_point!(CommitAfter);
            Ok(news)
        })
    }

    fn reopen(&self) -> Result<(), Failure> {
        match self.file.reopen() {
            Ok(due) => {
                tracing::warn!("the database is open again");
                self.signals.publish(&Queue::ALL, due);
                Ok(())
            }
            Err(error) => {
                tracing::error!(
                    error = error.chain(),
                    "the database could not be opened again"
                );
                Err(Failure::closed())
            }
        }
    }
}
