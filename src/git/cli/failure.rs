//! Why a call of git has not succeeded, and which error that is.

use std::process::ExitStatus;

use super::too_large;
use crate::error::{Code, Error};

/// Why a call has not succeeded.
pub(in crate::git) enum Failure {
    /// Git said no; its words.
    Refused(String),
    TimedOut,
    Broken(Error),
}

impl Failure {
    /// For calls on our own repository, where a refusal is a fault.
    pub(in crate::git) fn into_error(self, tried: &str) -> Error {
        match self {
            Failure::Refused(said) => fault(&format!("{tried}: {said}")),
            Failure::TimedOut => Error::internal(format!("git took too long to {tried}")),
            Failure::Broken(error) => error,
        }
    }
}

/// What a refusal on our own repository is.
pub(super) fn fault(said: &str) -> Error {
    if too_large(said) {
        return Error::new(
            Code::PayloadTooLarge,
            "the repository holds something here that is too large to be read",
        )
        .caused_by(said.to_owned());
    }
    disk_full(said).unwrap_or_else(|| Error::internal(format!("git failed: {said}")))
}

/// The error behind git's words, if they tell of a full disk.
pub(in crate::git) fn disk_full(said: &str) -> Option<Error> {
    let full = said.contains("No space left on device") || said.contains("Disk quota exceeded");
    full.then(|| {
        Error::new(
            Code::StorageFull,
            "the disk is full; free some space and try again",
        )
        .caused_by(said.to_owned())
    })
}

pub(super) fn cannot_start(cause: std::io::Error) -> Error {
    Error::new(
        Code::DependencyFailure,
        "cannot start git; install git 2.39 or newer and see that it is on the server's PATH",
    )
    .caused_by(cause)
}

/// What git says on its way out: its complaints, else how it ended.
pub(super) fn words(said: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(said);
    let text = text.trim();
    if text.is_empty() {
        status.to_string()
    } else {
        text.to_owned()
    }
}
