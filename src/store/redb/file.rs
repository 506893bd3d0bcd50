//! The database file: made, opened, closed after an error and opened again.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, WriteTransaction};

use super::errors::{Failure, Halt};
use super::lock::{self, Lock};
use super::{header, jobs, schema, tables};
use crate::clock::Timestamp;
use crate::error::{Code, Context, Error, Result};

/// What redb may keep of the file in memory. The kernel's cache does the rest.
const CACHE: usize = 32 << 20;

/// Files up to this size are read whole at start, every page against its
/// checksum, within some tens of milliseconds. A larger file must not keep the
/// server from starting; its damage shows when the damaged page is read.
const CHECKED_SIZE: u64 = 64 << 20;

/// Opens the database at a path, checking every page where asked to. Tests put
/// a backend that fails in its place.
pub(super) type Opener = Arc<dyn Fn(&Path, bool) -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) fn plain_opener() -> Opener {
    Arc::new(|path, check| {
        Builder::new()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(check)
            .set_repair_callback(|_| {
                stop_point!(RecoveryRepair);
            })
            .open(path)
    })
}

/// How every commit is made: in two phases, so that a crash in the middle of
/// one cannot leave a root that names pages which were not written; and with
/// the allocator's state, without which the start after a crash would walk
/// through the whole file (1.5 s and more at a million jobs; the state adds
/// about a seventh to the bytes of a full group there, and less to a small file).
pub(super) fn make_safe(txn: &mut WriteTransaction) {
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
}

pub(super) struct File {
    path: PathBuf,
    opener: Opener,
    /// `None` between an error and the next successful opening. Only the
    /// writer replaces it; readers hold it for the length of one read.
    db: RwLock<Option<Database>>,
    _lock: Lock,
}

impl File {
    /// Opens the file, or makes it where there is none.
    pub(super) fn open(path: &Path, opener: Opener) -> Result<Self> {
        let lock = Lock::acquire(path)?;
        if !path.try_exists().or_internal("look for the database")? {
            create(path)?;
        }
        let size = fs::metadata(path)
            .or_internal("look at the database")?
            .len();
        if size == 0 {
            // redb would take an empty file for a new one.
            return Err(damaged(path, "it is empty"));
        }
        require_whole(path, size)?;
        let db = guarded(path, || opener(path, size <= CHECKED_SIZE))?;
        guarded_halt(path, || schema::migrate(&db))?;
        Ok(Self {
            path: path.to_owned(),
            opener,
            db: RwLock::new(Some(db)),
            _lock: lock,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.read_lock().is_some()
    }

    pub(super) fn with_open<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        match &*self.read_lock() {
            Some(db) => work(db),
            None => Err(Halt::Storage(redb::Error::DatabaseClosed)),
        }
    }

    fn read_lock(&self) -> std::sync::RwLockReadGuard<'_, Option<Database>> {
        // Nothing panics while it is held for writing.
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self) {
        let taken = {
            let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
            db.take()
        };
        if let Some(db) = taken
            && let Err(error) = db.close()
        {
            tracing::warn!(cause = %error, "the database was not closed cleanly");
        }
    }

    /// Opens the file again after [`File::close`]; answers when the queue's
    /// next event is due.
    pub(super) fn reopen(&self) -> Result<Option<Timestamp>> {
        let path = &self.path;
        let db = guarded(path, || (self.opener)(path, false))?;
        let due = guarded_halt(path, || {
            schema::migrate(&db)?;
            next_due(&db)
        })?;
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = Some(db);
        Ok(due)
    }

    /// When the queue's next event is due.
    pub(super) fn next_due(&self) -> Result<Option<Timestamp>, Halt> {
        self.with_open(next_due)
    }
}

fn next_due(db: &Database) -> Result<Option<Timestamp>, Halt> {
    let txn = db.begin_read()?;
    jobs::next_due(
        &txn.open_table(tables::LEASES)?,
        &txn.open_table(tables::DELAYED)?,
    )
}

/// Refuses a file whose end is missing. redb does so for one that was closed; of
/// one that was not it believes any length, because its own record of the length
/// might be torn. But it makes a file longer before it says so, and shorter
/// after: no crash leaves one that is shorter than its header says.
fn require_whole(path: &Path, size: u64) -> Result<()> {
    let mut head = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(header::LENGTH).read_to_end(&mut head))
        .or_internal("read the database's header")?;
    match header::recorded_length(&head) {
        Some(recorded) if size < recorded => Err(damaged(path, "its end is missing")),
        // What is no header at all, redb tells better.
        _ => Ok(()),
    }
}

/// Lays a new file out under another name, so that the real name only ever
/// means a whole database.
fn create(path: &Path) -> Result<()> {
    let new = path.with_extension("redb.new");
    let what = format!("make the database {}", path.display());
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).or_code(Code::DependencyFailure, &what);
        }
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .or_code(Code::DependencyFailure, &what)?;
    let db = Builder::new()
        .set_cache_size(CACHE)
        .create(&new)
        .map_err(|error| Failure::of(&error.into()).to_error())?;
    schema::create(&db).map_err(Halt::into_error)?;
    db.close()
        .map_err(|error| Failure::of(&error.into()).to_error())?;
    stop_point!(CreateBeforeRename);
    fs::rename(&new, path)
        .and_then(|()| sync_folder(path))
        .or_code(Code::DependencyFailure, &what)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Runs an opening. redb may panic over a file that was damaged from outside;
/// that too must end in a message that helps.
fn guarded(
    path: &Path,
    open: impl FnOnce() -> Result<Database, DatabaseError>,
) -> Result<Database> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) => Err(explain(path, error)),
        Err(_) => Err(damaged(path, "its pages contradict each other")),
    }
}

fn guarded_halt<T>(path: &Path, work: impl FnOnce() -> Result<T, Halt>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Halt::Refused(error))) => Err(refused(path, &error.message)),
        Ok(Err(Halt::Storage(error))) => match error {
            redb::Error::Corrupted(why) => Err(damaged(path, &why)),
            error => Err(Failure::of(&error).to_error()),
        },
        Ok(Err(Halt::Record(error))) => Err(damaged(path, &error.to_string())),
        Err(_) => Err(damaged(path, "its pages contradict each other")),
    }
}

fn explain(path: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => lock::in_use(path, None),
        DatabaseError::Storage(StorageError::Corrupted(why)) => damaged(path, &why),
        DatabaseError::Storage(StorageError::Io(io)) => match io.kind() {
            io::ErrorKind::InvalidData => damaged(path, "it is not a redb file"),
            io::ErrorKind::UnexpectedEof => damaged(path, "its end is missing"),
            _ => {
                let failure = Failure::of(&redb::Error::Io(io));
                let what = format!("open the database {}", path.display());
                Err::<(), _>(failure.to_error())
                    .or_code(Code::DependencyFailure, &what)
                    .expect_err("an error was put in")
            }
        },
        DatabaseError::UpgradeRequired(version) => refused(
            path,
            &format!("it has redb's file format {version}, which this HiveSync no longer reads"),
        ),
        other => Failure::of(&other.into()).to_error(),
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    refused(
        path,
        &format!(
            "it is damaged: {why}. Restore a backup; to keep what is left and start anew, \
             move the whole data folder away first"
        ),
    )
}

/// The one way in which a file is turned down: by name, with the reason.
fn refused(path: &Path, why: &str) -> Error {
    Error::new(
        Code::DependencyFailure,
        format!("the database {} cannot be used: {why}", path.display()),
    )
}
