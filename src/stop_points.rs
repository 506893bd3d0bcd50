//! Named stopping points: places in the code at which a test ends the process,
//! as a power cut would, or holds one thread for as long as it looks around.
//!
//! Only debug builds have this module. `stop_point!` is
//! nothing in a release build, which knows neither the names nor the variable.
//!
//! Each point has a row in [`Point`], and only there; the crash tests match on
//! that type without a wildcard, so that a new point does not compile before a
//! test goes through it.

use std::collections::HashMap;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

/// `commit.after` or `commit.after:3`: the process ends itself with SIGKILL when
/// it reaches that point, for the first or the third time.
pub const VARIABLE: &str = "HIVESYNC_STOP_AT";

macro_rules! points {
    ($($point:ident $name:literal $meaning:literal)*) => {
        /// Every stopping point, in the order in which a job meets them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point {
            $(#[doc = $meaning] $point,)*
        }

        impl Point {
            pub const ALL: &[Point] = &[$(Point::$point),*];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)*
                }
            }
        }
    };
}

points! {
    CreateBeforeRename "create.before_rename" "A new database is laid out and has not its name."
    RecoveryRepair "recovery.repair" "redb walks through a file that was not closed."
    RecoveryOpened "recovery.opened" "The database is open; the leases of the dead process stand."
    RecoveryReleased "recovery.released" "All leases are given back; nothing is swept."
    CanaryLaid "canary.laid" "The canary's folders are there; the sandbox is not proved."
    RecoverySweep "recovery.sweep" "Some of what was left half done is removed."
    UploadWritten "upload.written" "An archive is in the repository, on no branch."
    UploadMoved "upload.moved" "The branch has the new commit; nobody was told."
    EnqueueBefore "enqueue.before" "A build is decided and not written."
    EnqueueAfter "enqueue.after" "A build is queued; the caller was not answered."
    CommitBefore "commit.before" "A group of writes is applied and not committed."
    CommitAfter "commit.after" "A group is durable; none of its callers was told."
    ClaimAfter "claim.after" "A job is claimed and not begun."
    CheckoutAfter "checkout.after" "The tree is checked out."
    BuildSpawned "build.spawned" "A process of the build runs."
    PackageBeforeRename "package.before_rename" "The bundle is written aside."
    PackageAfter "package.after" "The bundle is whole, in the build's own folder."
    BlobBefore "blob.before" "The bundle is about to enter the store."
    BlobAfter "blob.after" "The store has the bundle, and no row names it."
    CompleteBefore "complete.before" "The attempt has ended; its end is not written."
    CompleteAfter "complete.after" "The end is written; the build's folder is there."
    EndedAside "ended.aside" "An ended build's folder has another name, and is there."
    FailBefore "fail.before" "An attempt has failed, which is not written."
    FailAfter "fail.after" "The failure is written."
    CancelAfter "cancel.after" "A build is cancelled; its worker was not told."
    PurgeMiddle "purge.middle" "Some of a deleted project's files are gone."
    BytecodeStored "bytecode.stored" "The store has the bytecode, and no row names it."
    BytecodeShown "bytecode.shown" "The row names the bytecode; its job has not ended."
    SyncBefore "sync.before" "A repository is fetched, which the project's row does not say."
    ReleaseBefore "release.before" "A job is about to be handed back at the stop."
}

impl Point {
    #[must_use]
    pub fn named(name: &str) -> Option<Point> {
        Point::ALL
            .iter()
            .copied()
            .find(|point| point.name() == name)
    }
}

/// What [`VARIABLE`] asks for.
struct Stop {
    point: Point,
    /// How many times the point may still be passed.
    left: AtomicU32,
}

static STOP: LazyLock<Option<Stop>> = LazyLock::new(|| {
    let asked = std::env::var(VARIABLE).ok()?;
    // A misspelt point must not let a test pass.
    Some(parse(&asked).unwrap_or_else(|| {
        eprintln!("{VARIABLE}={asked}: there is no such stopping point");
        process::abort()
    }))
});

fn parse(asked: &str) -> Option<Stop> {
    let (name, pass) = asked.split_once(':').unwrap_or((asked, "1"));
    let pass: u32 = pass.parse().ok()?;
    Some(Stop {
        point: Point::named(name)?,
        left: AtomicU32::new(pass.checked_sub(1)?),
    })
}

/// The code is at `point`.
pub fn reach(point: Point) {
    if let Some(stop) = &*STOP
        && stop.point == point
    {
        let pass = stop
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if pass.is_err() {
            die();
        }
    }
    wait_while_held(point);
}

/// Not an exit: nothing of ours runs any more, as after `kill -9`.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

/// Where threads are held, and how many have come to each place.
static HELD: Mutex<Option<HashMap<Point, u32>>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

fn held() -> MutexGuard<'static, Option<HashMap<Point, u32>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_while_held(point: Point) {
    let mut places = held();
    if let Some(arrived) = places.as_mut().and_then(|places| places.get_mut(&point)) {
        *arrived += 1;
        CHANGED.notify_all();
    }
    while places
        .as_ref()
        .is_some_and(|places| places.contains_key(&point))
    {
        places = CHANGED.wait(places).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Holds every thread of this process that comes to a point, until it is
/// dropped. For a test that runs the server inside itself.
#[derive(Debug)]
pub struct Hold(Point);

impl Hold {
    #[must_use]
    pub fn at(point: Point) -> Self {
        held().get_or_insert_default().insert(point, 0);
        Self(point)
    }

    /// Blocks until a thread is held here.
    pub fn wait(&self) {
        let mut places = held();
        while places
            .as_ref()
            .is_some_and(|places| places.get(&self.0) == Some(&0))
        {
            places = CHANGED.wait(places).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(places) = held().as_mut() {
            places.remove(&self.0);
        }
        CHANGED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for point in Point::ALL {
            assert_eq!(Point::named(point.name()), Some(*point));
        }
    }

    #[test]
    fn a_pass_is_counted() {
        let stop = parse("claim.after:3").expect("a point");
        assert_eq!(stop.point, Point::ClaimAfter);
        assert_eq!(stop.left.into_inner(), 2);
        for wrong in ["", "claim.after:0", "claim.after:x", "claim"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_held_thread_goes_on_when_it_is_let() {
        let hold = Hold::at(Point::FailAfter);
        let worker = std::thread::spawn(|| reach(Point::FailAfter));
        hold.wait();
        assert!(!worker.is_finished());
        drop(hold);
        worker.join().expect("let go");
        reach(Point::FailAfter);
    }
}
