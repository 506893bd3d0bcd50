//! The launcher: our own binary in front of every command of a build, as
//! `hivesync cell <order> <program> <argument>…`.
//!
//! ```text
//! server ── warden ── bwrap ── entry ── the command        isolated
//!                              └─ bridge                   while installing
//! server ── warden ── entry ── the command                 restricted, none
//! ```
//!
//! The [`warden`] answers for the end: nothing of a build outlives it, and it
//! does not outlive the server. The [`entry`] is what the command's own process
//! was before it became the command: it gives away all that the command must
//! not have. The [`canary`] stands where a command would, and tries what it must
//! not be able to do. The [`bridge`] is the one way out of a network of its own.
//!
//! All run before anything of the server is set up: one thread, no runtime, no
//! configuration. What they must know stands in the order, one word of JSON.

mod bridge;
mod calls;
mod canary;
mod entry;
mod paths;
mod warden;

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};
use std::{fs, io};

use serde::{Deserialize, Serialize};

pub(super) use bridge::{Bridge, PORT};
pub(super) use calls::{Calls, Sockets};
pub(super) use canary::{Canary, SECRET_VARIABLE, WALLED, Weakness};
pub(super) use entry::{Entry, User};
pub(super) use paths::{Connect, Paths};
pub(super) use warden::{Environment, Input, Warden};

/// The verb. Hidden: it is of no use to a person.
pub const VERB: &str = "cell";
/// This very program, wherever it lies and whatever has taken its place since.
pub(super) const OURSELVES: &str = "/proc/self/exe";

/// As of a shell that cannot run a program.
const CANNOT_RUN: u8 = 127;
/// The launcher itself could not do what it was told.
const REFUSED: u8 = 126;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Warden(Warden),
    Entry(Entry),
    Canary(Canary),
    Bridge(Bridge),
}

impl Order {
    /// The words that have the launcher at `place` obey this order; the program
    /// that it is about comes after them.
    ///
    /// # Errors
    /// When a path in the order is no text.
    pub(super) fn words(&self, place: impl AsRef<OsStr>) -> io::Result<[OsString; 3]> {
        let order = serde_json::to_string(self)?;
        Ok([
            place.as_ref().to_owned(),
            OsString::from(VERB),
            OsString::from(order),
        ])
    }
}

/// Obeys `arguments`: the order, the program, its arguments. Comes back only as
/// a warden whose command has ended, or when something failed.
#[must_use]
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let order = arguments
        .next()
        .and_then(|word| serde_json::from_str::<Order>(word.to_str()?).ok());
    let Some(order) = order else {
        eprintln!("hivesync {VERB} is how the server starts the commands of a build");
        return ExitCode::from(2);
    };
    let mut command = Command::new(arguments.next().unwrap_or_default());
    command.args(arguments);
    let failure = match order {
        Order::Warden(warden) => match warden.guard(command) {
            Ok(code) => return ExitCode::from(code),
            Err(failure) => failure,
        },
        Order::Entry(entry) => entry.become_command(command),
        Order::Canary(canary) => return canary.sing(),
        Order::Bridge(bridge) => bridge.carry(),
    };
    eprintln!("hivesync: {failure}");
    match failure {
        Failure::NotRun { .. } => ExitCode::from(CANNOT_RUN),
        Failure::Refused { .. } => ExitCode::from(REFUSED),
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot run {program}: {source}")]
    NotRun { program: String, source: io::Error },
    #[error("cannot {what}: {source}")]
    Refused {
        what: &'static str,
        source: io::Error,
    },
}

impl Failure {
    /// For `map_err`.
    fn to<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Refused {
            what,
            source: error.into(),
        }
    }

    fn not_run(command: &Command, source: io::Error) -> Self {
        Self::NotRun {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        }
    }
}

/// How readily the kernel ends this process when memory runs out.
fn oom_score() -> io::Result<String> {
    fs::read_to_string("/proc/self/oom_score_adj")
}

fn set_oom_score(score: &str) -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", score)
}
