//! What went wrong in the file, as the crate's errors.

use super::codec::CodecError;
use crate::disk;
use crate::error::{Code, Error};

/// Why an operation of a write transaction stopped.
#[derive(Debug)]
pub(super) enum Halt {
    /// Its expectations do not hold. Nothing was written; the others of its
    /// group go on.
    Refused(Error),
    /// The file could not be read or written: the whole group fails.
    Storage(redb::Error),
    /// A record could not be read or written: the whole group fails.
    Record(CodecError),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Refused(error)
    }
}

impl From<CodecError> for Halt {
    fn from(error: CodecError) -> Self {
        Halt::Record(error)
    }
}

macro_rules! storage_errors {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for Halt {
            fn from(error: redb::$error) -> Self {
                Halt::Storage(error.into())
            }
        }
    )*};
}

storage_errors! { StorageError TableError TransactionError CommitError }

impl Halt {
    // No `From`: a second way into `Error` would cost the `?` of the whole
    // crate its inference.
    pub(super) fn into_error(self) -> Error {
        match self {
            Halt::Refused(error) => error,
            Halt::Storage(error) => Failure::of(&error).to_error(),
            Halt::Record(error) => error.into_error(),
        }
    }
}

/// A failure that several callers share.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    code: Code,
    message: &'static str,
    cause: String,
}

impl Failure {
    pub(super) fn of(error: &redb::Error) -> Self {
        if let redb::Error::DatabaseClosed = error {
            return Self::closed();
        }
        let (code, message) = match error {
            redb::Error::Io(io) if disk::is_full(io) => (
                Code::StorageFull,
                "the disk of the data folder is full; free some space, then retry",
            ),
            redb::Error::Corrupted(_) => (
                Code::DependencyFailure,
                "the database is damaged; stop the server and restore a backup",
            ),
            _ => (
                Code::DependencyFailure,
                "the database could not be read or written; the server's log has the cause. Retry",
            ),
        };
        Self {
            code,
            message,
            cause: error.to_string(),
        }
    }

    pub(super) fn record(error: &CodecError) -> Self {
        Self {
            code: Code::InternalError,
            message: "a record of the database could not be read or written",
            cause: error.to_string(),
        }
    }

    pub(super) fn closed() -> Self {
        Self {
            code: Code::DependencyFailure,
            message: "the database is closed after an error and is being opened again; retry",
            cause: "closed".to_owned(),
        }
    }

    pub(super) fn panicked() -> Self {
        Self {
            code: Code::InternalError,
            message: "the database's writer met a fault of its own; the server's log has it",
            cause: "a panic in a write transaction".to_owned(),
        }
    }

    pub(super) fn cause(&self) -> &str {
        &self.cause
    }

    pub(super) fn to_error(&self) -> Error {
        Error::new(self.code, self.message).caused_by(self.cause.clone())
    }
}
