//! What may end a build's work before it is done: that it is cancelled, or that
//! its time is over.

use std::io::{self, Read};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{Code, Context, Error, Result};

/// The time that a stage has left.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    ends: Instant,
    whole: Duration,
    /// The variable that sets it, for the message.
    variable: &'static str,
}

impl Limit {
    /// `whole` from now on, which the operator sets with `variable`.
    #[must_use]
    pub fn starting_now(whole: Duration, variable: &'static str) -> Self {
        Self {
            ends: Instant::now() + whole,
            whole,
            variable,
        }
    }

    /// What is left of it; zero once it is over.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// # Errors
    /// `PREVIEW_TIMEOUT` once the time is over.
    pub fn check(&self) -> Result<()> {
        if self.left().is_zero() {
            Err(self.exceeded())
        } else {
            Ok(())
        }
    }

    /// The error of work that was not done in time.
    #[must_use]
    pub fn exceeded(&self) -> Error {
        Error::new(
            Code::PreviewTimeout,
            format!(
                "the stage took longer than its limit of {:.1} s and was killed; the build log \
                 shows how far it came, and the operator can raise {}",
                self.whole.as_secs_f64(),
                self.variable
            ),
        )
    }
}

/// For work on a thread of its own, which looks now and then.
#[derive(Clone, Debug)]
pub struct Stop {
    pub limit: Limit,
    pub cancel: CancellationToken,
}

impl Stop {
    /// # Errors
    /// `CANCELLED` once the job was, `PREVIEW_TIMEOUT` once the time is over.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        self.limit.check()
    }

    /// Does `work` on what `from` gives, until all must stop. `what` is said
    /// of any other error.
    ///
    /// # Errors
    /// Those of [`Stop::check`], and those of `work`.
    pub fn reading<'a, R: Read, T>(
        &'a self,
        what: &str,
        from: R,
        work: impl FnOnce(Stoppable<'a, R>) -> io::Result<T>,
    ) -> Result<T> {
        let done = work(Stoppable { from, stop: self });
        done.or_else(|error| {
            self.check()?;
            Err(error).or_internal(what)
        })
    }
}

/// A reader that ends with an error once a build must stop.
#[derive(Debug)]
pub struct Stoppable<'a, R> {
    from: R,
    stop: &'a Stop,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stop.check().map_err(io::Error::other)?;
        self.from.read(into)
    }
}

/// The error of work that is no longer wanted.
#[must_use]
pub fn cancelled() -> Error {
    Error::new(Code::Cancelled, "the build was cancelled")
}
