//! The redb adapter: the truth in one file.
//!
//! Writes go through one thread that commits waiting operations together
//! ([`writer`]); each is a closure over a [`unit::Unit`] of the shared
//! transaction. Reads see the latest commit and do not wait for the writer (but
//! for the sync of a file that grows, which doubles it and so is rare). A read
//! of a few keys takes microseconds and is done where it is asked for: a
//! detour through a blocking thread would cost ten times the read. Listings
//! and searches, whose length others decide, go to a blocking thread.

mod accounts;
mod batch;
mod claim;
mod codec;
mod errors;
mod file;
mod frozen;
mod header;
mod inbox;
mod index;
mod jobs;
mod line;
mod lock;
mod meta;
mod previews;
mod projects;
mod queue;
mod records;
mod schema;
mod tables;
mod unit;
mod writer;

use std::path::Path;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableDatabase};

use self::errors::Halt;
use self::file::{File, Opener};
use self::writer::Writer;
use super::signals::Signals;
use crate::clock::Clock;
use crate::error::{Context, Result};

/// The store of the embedded profile. Dropping it waits for the writer and
/// closes the file.
pub struct RedbStore {
    file: Arc<File>,
    signals: Arc<Signals>,
    writer: Writer,
}

impl RedbStore {
    /// Opens the database file at `path`, or makes it in a folder that exists.
    /// Blocks for as long as opening, checking and migrating take.
    ///
    /// # Errors
    /// `DEPENDENCY_FAILURE` that names the file and the next step: when
    /// another process uses it, when it is damaged, foreign or newer than this
    /// program, or cannot be written. It is never replaced by an empty one.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_by(path, clock, file::plain_opener())
    }

    fn open_by(path: &Path, clock: Arc<dyn Clock>, opener: Opener) -> Result<Self> {
        let file = Arc::new(File::open(path, opener)?);
        let signals = Arc::new(Signals::new(clock.clone()));
        signals.publish(&[], file.next_due().map_err(Halt::into_error)?);
        let writer = Writer::start(file.clone(), clock, signals.clone())?;
        Ok(Self {
            file,
            signals,
            writer,
        })
    }

    /// A read of a few keys, here and now.
    fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T, Halt>) -> Result<T> {
        let outcome = read(&self.file, work);
        if let Err(Halt::Storage(_)) = &outcome {
            self.writer.nudge();
        }
        outcome.map_err(Halt::into_error)
    }

    /// A read of many keys, on a thread that may block.
    async fn scan<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Halt> + Send + 'static,
    ) -> Result<T> {
        let file = self.file.clone();
        let outcome = tokio::task::spawn_blocking(move || read(&file, work))
            .await
            .or_internal("finish a read of the database")?;
        if let Err(Halt::Storage(_)) = &outcome {
            self.writer.nudge();
        }
        outcome.map_err(Halt::into_error)
    }
}

fn read<T>(file: &File, work: impl FnOnce(&ReadTransaction) -> Result<T, Halt>) -> Result<T, Halt> {
    file.with_open(|db| work(&db.begin_read()?))
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod faults_tests;

#[cfg(test)]
mod line_tests;

#[cfg(test)]
mod power_tests;
