//! The watch over a running command: what it and everything that it has
//! started use up, looked at a few times a second.
//!
//! - [`processes`]: how many there are, and how much memory they have;
//! - [`hidden`] and [`sockets`]: what they hold besides;
//! - [`disk`]: what lies in the folders that the build can write;
//! - [`cgroup`]: where the machine has lent us a cgroup, the kernel itself
//!   holds memory and processes to their limits, and only has to be asked.
//!
//! The watch judges, and whoever started the command ends it; but of too many
//! processes it kills the first one itself, because a machine full of them lets
//! nobody else come to it in time.

mod breach;
pub(super) mod cgroup;
mod disk;
mod hidden;
mod processes;
#[cfg(test)]
mod shell;
mod sockets;

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, setpriority_process};
use tokio::sync::oneshot;

use super::cell::Cell;
use super::descendants;
use super::mounts::Access;
use crate::config::BuildLimits;
use crate::domain::preview::SandboxLevel;
pub use breach::Breach;
use cgroup::Group;
use disk::{Folders, Written};
use hidden::{Hidden, Place};

/// Between two looks: at the speed at which a machine forks and fills memory,
/// a second would be long.
const TICK: Duration = Duration::from_millis(200);

/// Between two looks at how many tasks the machine has in all, which costs next
/// to nothing.
const PULSE: Duration = Duration::from_millis(10);

/// Before everybody else, in the system's numbers.
const FIRST: i32 = -20;

/// A look that takes long is taken seldom: it may cost one part in so many of
/// a processor's time.
const SHARE: u32 = 20;

/// So often a process may be met that is closed to us: one is, between what
/// bubblewrap has set up and what it then becomes.
const PATIENCE: u32 = 3;

/// A watch over one command.
#[derive(Debug)]
pub struct Watch {
    looks: Arc<Mutex<Looks>>,
}

/// What the command may use up, and where it is to be found.
#[derive(Debug)]
struct Looks {
    root: Pid,
    /// The processes between that one and the command's own.
    launchers: usize,
    place: Place,
    limits: BuildLimits,
    group: Option<Arc<Group>>,
    folders: Folders,
    /// Free bytes of the disk at the start.
    free: u64,
    /// The most that a look has found free and written together: the build moves
    /// bytes from the one to the other, and others only add to it.
    room: u64,
    /// The least shared memory that the machine has had meanwhile: what others
    /// give back must not hide what the build takes. `None` where no filter of
    /// system calls keeps a build from having some as a matter of course: there
    /// it would answer for what others take.
    shared: Option<u64>,
    written: Option<Written>,
    /// The most processes and threads that a look has found.
    most: u64,
    /// They are so many that they could be too many soon.
    crowded: bool,
    /// When the looks that cost more are due again.
    disk_due: Instant,
    hidden_due: Instant,
    exact_due: Instant,
    /// As the last look found it.
    hidden: Hidden,
    /// So many looks in a row have met a process that is closed.
    opaque: u32,
}

impl Cell {
    /// A watch over the process `root` and all its descendants, by the limits
    /// of this server and the folders that this cell can write.
    #[must_use]
    pub fn watch(&self, root: Pid) -> Watch {
        let (mut own, mut kept, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for mount in self.mounts() {
            match mount.access {
                Access::ReadWrite if self.owns(&mount.host) => own.push(mount.host.clone()),
                Access::ReadWrite => kept.push(mount.host.clone()),
                Access::ReadOnly => closed.push(mount.host.clone()),
            }
        }
        let now = Instant::now();
        let folders = Folders::new(own, kept, closed);
        let is_filtered = self.level() != SandboxLevel::None;
        let looks = Looks {
            root,
            launchers: descendants::launchers(self.level()),
            place: Place::of(self),
            limits: self.sandbox().limits(),
            group: None,
            free: folders.free(),
            folders,
            room: 0,
            shared: is_filtered.then(hidden::shared_memory),
            written: None,
            most: 0,
            crowded: false,
            disk_due: now,
            hidden_due: now,
            exact_due: now,
            hidden: Hidden::default(),
            opaque: 0,
        };
        Watch {
            looks: Arc::new(Mutex::new(looks)),
        }
    }
}

impl Watch {
    /// Lets the kernel's own account of `group` count, too.
    #[must_use]
    pub(super) fn in_group(self, group: Option<Arc<Group>>) -> Self {
        lock(&self.looks).group = group;
        self
    }

    /// Returns with the limit that was exceeded, if ever one is.
    pub async fn breach(&self) -> Breach {
        let (tell, told) = oneshot::channel();
        let looks = Arc::clone(&self.looks);
        let keeping = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || keep(&looks, tell));
        if let Err(error) = keeping {
            // What is not watched must not go on.
            tracing::error!(%error, "there is no thread for the watch over a build");
            return lock(&self.looks).unwatched();
        }
        match told.await {
            Ok(breach) => breach,
            // It has panicked.
            Err(_) => lock(&self.looks).unwatched(),
        }
    }

    /// What is to be said of a command that has ended by itself, with success
    /// or without: it may have been quicker than the watch, and the server is
    /// about to walk through what it has left.
    pub async fn afterwards(&self, success: bool) -> Option<Breach> {
        self.away(move |looks| looks.look_back(success)).await
    }

    /// A look reads `/proc` and walks folders: not on the async threads.
    async fn away(
        &self,
        look: impl FnOnce(&mut Looks) -> Option<Breach> + Send + 'static,
    ) -> Option<Breach> {
        let looks = Arc::clone(&self.looks);
        let looked = tokio::task::spawn_blocking(move || look(&mut lock(&looks))).await;
        looked.ok().flatten()
    }
}

/// Looks until there is a breach to tell of, or nobody who would hear it. In a
/// thread of its own: among a thousand processes that want to run, one that
/// waits its turn waits for seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread that looks now and then has nothing else to wait for"
)]
fn keep(looks: &Mutex<Looks>, tell: oneshot::Sender<Breach>) {
    // Where we may not, we are one of the crowd.
    let _ = setpriority_process(None, FIRST);
    let mut due = Instant::now() + TICK;
    let mut before = tasks_of_the_machine();
    while !tell.is_closed() {
        std::thread::sleep(PULSE);
        let crowd = tasks_of_the_machine();
        let mut looks = lock(looks);
        if Instant::now() < due && crowd < before + looks.limits.processes / 8 {
            continue;
        }
        before = crowd;
        let breach = looks.look();
        due = Instant::now() + if looks.crowded { TICK / 8 } else { TICK };
        if let Some(breach) = breach {
            if matches!(breach, Breach::Processes { .. }) {
                looks.fell();
            }
            let _ = tell.send(breach);
            return;
        }
    }
}

/// Processes and threads on the whole machine, in one short read: whether they
/// have become many, not whose they are.
fn tasks_of_the_machine() -> u64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let tasks = load.split_ascii_whitespace().nth(3);
    let total = tasks.and_then(|tasks| tasks.split_once('/')?.1.parse().ok());
    total.unwrap_or(0)
}

fn lock(looks: &Mutex<Looks>) -> MutexGuard<'_, Looks> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Looks {
    /// Kills what the warden has started: in `isolated` everything goes with it,
    /// elsewhere the rest is the warden's to find.
    fn fell(&self) {
        for pid in descendants::children(self.root) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Nobody can say what it uses.
    fn unwatched(&self) -> Breach {
        Breach::Processes {
            used: self.limits.processes,
            limit: self.limits.processes,
        }
    }

    fn look(&mut self) -> Option<Breach> {
        if let Some(breach) = self.group.as_ref().and_then(|g| g.breach(&self.limits)) {
            return Some(breach);
        }
        let family = processes::family(self.root, self.launchers, self.limits.processes);
        let count = family.tasks();
        self.most = self.most.max(count);
        self.crowded = count > self.limits.processes / 4;
        if count > self.limits.processes {
            return Some(Breach::Processes {
                used: count,
                limit: self.limits.processes,
            });
        }
        self.memory(&family).or_else(|| self.disk())
    }

    fn memory(&mut self, family: &processes::Family) -> Option<Breach> {
        let limit = self.limits.memory_bytes;
        if Instant::now() >= self.hidden_due {
            let started = Instant::now();
            self.hidden = hidden::held_by(family, &self.place, limit);
            self.hidden_due = next(started, Duration::from_secs(1));
            self.opaque = if self.hidden.opaque {
                self.opaque + 1
            } else {
                0
            };
        }
        if self.opaque >= PATIENCE {
            return Some(Breach::Unseen);
        }
        // The sum counts what processes share once for each of them. It is
        // cheap and never too small; only when it is too large is the exact
        // figure worth its price.
        let (hidden, bound) = self.hidden_memory();
        if family.resident() + hidden <= limit || Instant::now() < self.exact_due {
            return None;
        }
        let started = Instant::now();
        let used = family.proportional() + hidden;
        self.exact_due = next(started, Duration::ZERO);
        (used > limit).then_some(Breach::Memory { used, limit, bound })
    }

    /// All of it, and how much of that is only known not to be more. Nothing,
    /// where the kernel counts it and needs no bound.
    fn hidden_memory(&mut self) -> (u64, u64) {
        if self.group.is_some() {
            return (0, 0);
        }
        let mut bound = 0;
        if let Some(least) = &mut self.shared {
            let shared = hidden::shared_memory();
            *least = shared.min(*least);
            if self.hidden.shared {
                bound = shared - *least;
            }
        }
        (self.hidden.memory + bound, bound)
    }

    fn disk(&mut self) -> Option<Breach> {
        let free = self.folders.free();
        if free < self.limits.free_bytes {
            return Some(Breach::DiskFull {
                free,
                floor: self.limits.free_bytes,
            });
        }
        let limit = self.limits.disk_bytes;
        // The disk is everybody's; that it lost more than this build has left
        // is a reason to look at once, not a proof.
        let sudden = self.written.as_ref().is_some_and(|written| {
            written.free.saturating_sub(free) > limit.saturating_sub(written.bytes)
                && written.at.elapsed() > written.took * 4
        });
        if Instant::now() < self.disk_due && !sudden {
            return None;
        }
        let started = Instant::now();
        let breach = self.measure(true);
        self.disk_due = next(started, Duration::from_secs(2));
        breach
    }

    fn measure(&mut self, with_kept: bool) -> Option<Breach> {
        let limit = self.limits.disk_bytes;
        let written = self.folders.measure(limit, with_kept);
        let seen = written.bytes + self.hidden.disk;
        let bound = self.unseen(seen, written.free);
        let used = seen + bound;
        let (too_deep, shut) = (written.too_deep, written.shut);
        self.written = Some(written);
        if too_deep {
            return Some(Breach::Nesting { limit: disk::DEPTH });
        }
        if shut {
            return Some(Breach::Shut);
        }
        (used > limit).then_some(Breach::Disk { used, limit, bound })
    }

    /// What may lie in deleted files of an unknown size, which are no larger
    /// than what the disk has lost and nothing else explains.
    fn unseen(&mut self, seen: u64, free: u64) -> u64 {
        if self.room == 0 {
            self.room = self.free.saturating_add(seen);
        }
        let now = free.saturating_add(seen);
        self.room = self.room.max(now);
        (self.room - now).min(self.hidden.mapped * self.limits.file_bytes)
    }

    fn look_back(&mut self, success: bool) -> Option<Breach> {
        // Where the kernel counts, too, it refuses the next process, and a
        // script mostly ends at once.
        if !success && self.most * 10 > self.limits.processes * 9 {
            return Some(Breach::Processes {
                used: self.most,
                limit: self.limits.processes,
            });
        }
        // The caches are large; only a disk that has lost much is a reason to
        // go through them again.
        let lost = self.free.saturating_sub(self.folders.free());
        self.hidden = Hidden::default();
        self.measure(lost > self.limits.disk_bytes / 4)
    }
}

/// When a look that began at `started` is due again.
fn next(started: Instant, at_least: Duration) -> Instant {
    let now = Instant::now();
    now + at_least.max((now - started) * SHARE)
}
