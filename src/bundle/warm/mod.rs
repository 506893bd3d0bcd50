//! Warm bundlers: for the projects at work, a process that has the project's
//! bundler loaded and its last build in memory, so that the next one costs no
//! more than what has changed.
//!
//! ```text
//! pool       which bundlers there are, how many and for how long
//! bundler    one of them: its process, and what it was started with
//! driver     the script in it, and how it is spoken to
//! take       getting a bundle out of the reach of the process that made it
//! ```
//!
//! A bundler works in a checkout of its own, which it cannot write, and which
//! the server brings from commit to commit. It runs the project's own code, so
//! its word is not taken for anything: it must have produced the very bundle
//! that a cold build made before it is used at all, and each answer carries
//! the digests of the changed files as the bundler has read them.
//!
//! Whatever goes wrong with it ends it, and the build goes on without.

mod bundler;
mod driver;
mod pool;
mod take;

pub use bundler::{Bundler, Facts, NotStarted, Outcome, Start, Touched, remove_folder};
pub use pool::{Absence, Bundlers, Kept, Lease, Place, Pool, Spot};
pub use take::take;

/// What marks the processes of the bundler whose folder has this name: it is of
/// no other on this machine.
#[must_use]
pub fn mark(folder: &str) -> String {
    format!("bundler-{folder}")
}
