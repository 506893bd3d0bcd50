//! The warm bundlers of this process: at most so many, none larger than
//! allowed, each given up when nobody has needed it for a while.

mod lease;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use lease::{Lease, Place};

use super::bundler::Bundler;
use crate::clock::Timestamp;
use crate::config::WarmLimits;
use crate::domain::ProjectId;
use crate::domain::preview::Platform;

/// How often idle bundlers are looked at. It costs next to nothing, and nobody
/// else looks at them.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a bundler that was put to rest may take to be still.
const FALL_ASLEEP: Duration = Duration::from_secs(1);

/// When a project for which no bundler could be made is tried again. Each
/// failure doubles it: most have a cause that stays until the project changes,
/// but a machine short of memory, or a process that somebody has killed, is no
/// fault of the project.
const TRY_AGAIN: Duration = Duration::from_mins(5);
const LONGEST_WAIT: Duration = Duration::from_hours(6);

/// What a bundler is for: there is one at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spot {
    pub project: ProjectId,
    pub platform: Platform,
}

/// What a pool keeps.
pub trait Kept: Send + Sized + 'static {
    /// Bytes of memory that it holds.
    fn memory(&self) -> u64;

    /// Whether anything of it runs although it was put to rest.
    fn is_awake(&self) -> bool;

    /// What it says is heard by nobody from here on.
    fn hush(&self);

    /// Ends it and removes what it has made. The first poll is not waited for:
    /// what holds memory should go at once.
    fn end(self) -> impl Future<Output = ()> + Send;
}

pub type Bundlers = Pool<Bundler>;

/// Its clones are handles of the same pool.
pub struct Pool<B: Kept> {
    inner: Arc<Inner<B>>,
}

impl<B: Kept> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

struct Inner<B> {
    limits: WarmLimits,
    table: Mutex<Table<B>>,
    /// Told whenever a slot changes.
    changed: Notify,
    closing: CancellationToken,
    /// Bundlers that are being started or ended.
    tasks: TaskTracker,
    /// How many places were given.
    places: AtomicU64,
}

struct Table<B> {
    slots: HashMap<Spot, Slot<B>>,
    /// What a bundler could not be made for.
    unfit: HashMap<Spot, Unfit>,
}

/// Why a project has no bundler.
struct Unfit {
    /// With another configuration or other dependencies it may have one.
    key: String,
    why: String,
    failures: u32,
    /// It is tried again then.
    until: Timestamp,
}

enum Slot<B> {
    Starting,
    Idle(Box<B>, Instant),
    Busy,
    /// Taken or starting, and no longer wanted.
    Doomed,
}

impl<B: Kept> Pool<B> {
    /// A pool with nothing in it yet.
    #[must_use]
    pub fn new(limits: WarmLimits) -> Self {
        Self {
            inner: Arc::new(Inner {
                limits,
                table: Mutex::new(Table {
                    slots: HashMap::new(),
                    unfit: HashMap::new(),
                }),
                changed: Notify::new(),
                closing: CancellationToken::new(),
                tasks: TaskTracker::new(),
                places: AtomicU64::new(0),
            }),
        }
    }

    /// Cancelled when the server stops: nothing may be started any more.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.inner.closing
    }

    /// Bytes of heap that a bundler gets: below what it may hold in all, so
    /// that it fails by itself first.
    #[must_use]
    pub fn heap(&self) -> u64 {
        self.inner.limits.memory_bytes / 4 * 3
    }

    /// The bundler of `spot`, to build with. Waits while another build has it;
    /// `None` when there is none or it is only just starting.
    pub async fn take(&self, spot: Spot) -> Option<Lease<B>> {
        loop {
            let changed = self.inner.changed.notified();
            {
                let mut table = self.inner.table();
                match table.slots.get(&spot) {
                    Some(Slot::Busy) => {}
                    Some(Slot::Idle(..)) => {
                        let before = table.slots.insert(spot, Slot::Busy);
                        if let Some(Slot::Idle(bundler, _)) = before {
                            return Some(Lease::of(self, spot, bundler));
                        }
                    }
                    Some(Slot::Starting | Slot::Doomed) | None => return None,
                }
            }
            changed.await;
        }
    }

    /// A place for a new bundler of `spot`, made by giving up the one that was
    /// not needed for longest if need be. `None` when there is one already, no
    /// room, or none could be made for `key` lately.
    #[must_use]
    pub fn place(&self, spot: Spot, key: &str, now: Timestamp) -> Option<Place<B>> {
        let limits = &self.inner.limits;
        if limits.count == 0 || self.inner.closing.is_cancelled() {
            return None;
        }
        let mut table = self.inner.table();
        let unfit = table.unfit.get(&spot);
        let lately = unfit.is_some_and(|unfit| unfit.key == key && now < unfit.until);
        if lately || table.slots.contains_key(&spot) {
            return None;
        }
        let short = memory_available().is_some_and(|free| free < limits.memory_bytes);
        if short || table.slots.len() >= limits.count {
            let oldest = table.oldest()?;
            if let Some(Slot::Idle(bundler, _)) = table.slots.remove(&oldest) {
                self.inner.end(*bundler);
            }
            if short {
                // What it gives back is there only once it has ended.
                return None;
            }
        }
        table.slots.insert(spot, Slot::Starting);
        let number = self.inner.places.fetch_add(1, Ordering::Relaxed);
        Some(Place::of(self, spot, number))
    }

    /// Runs what starts a bundler, in the background. The pool is closed only
    /// when it has ended.
    pub fn spawn(&self, starting: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.spawn(starting);
    }

    /// Whether a bundler of `spot` waits for work.
    #[must_use]
    pub fn is_ready(&self, spot: Spot) -> bool {
        matches!(self.inner.table().slots.get(&spot), Some(Slot::Idle(..)))
    }

    /// Why no bundler could be made for `spot` when it was last tried.
    #[must_use]
    pub fn unfit(&self, spot: Spot) -> Option<String> {
        let table = self.inner.table();
        table.unfit.get(&spot).map(|unfit| unfit.why.clone())
    }

    /// How many there are, those starting included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.table().slots.len()
    }

    /// How many could build, now or once they have done so.
    #[must_use]
    pub fn kept(&self) -> usize {
        let kept = |slot: &&Slot<B>| matches!(slot, Slot::Idle(..) | Slot::Busy);
        self.inner.table().slots.values().filter(kept).count()
    }

    /// Waits until no bundler is starting any more.
    pub async fn settled(&self) {
        let starting = |slot: &Slot<B>| matches!(slot, Slot::Starting);
        self.until(|slots| !slots.values().any(starting)).await;
    }

    /// Waits until there is none.
    pub async fn empty(&self) {
        self.until(HashMap::is_empty).await;
    }

    async fn until(&self, is: impl Fn(&HashMap<Spot, Slot<B>>) -> bool) {
        loop {
            let changed = self.inner.changed.notified();
            if is(&self.inner.table().slots) {
                return;
            }
            changed.await;
        }
    }

    /// Ends the bundlers of a project that is no more.
    pub fn forget(&self, project: ProjectId) {
        let mut table = self.inner.table();
        table.unfit.retain(|spot, _| spot.project != project);
        let spots: Vec<Spot> = table.slots.keys().copied().collect();
        for spot in spots.into_iter().filter(|spot| spot.project == project) {
            self.inner.give_up(&mut table, spot);
        }
    }

    /// Gives up bundlers that have not been needed for long, have grown too
    /// large, or do not rest, for as long as it is polled.
    pub async fn tend(&self) {
        loop {
            tokio::time::sleep(self.inner.limits.idle.min(LOOK_EVERY)).await;
            self.look(Instant::now());
        }
    }

    fn look(&self, now: Instant) {
        let mut table = self.inner.table();
        let limits = &self.inner.limits;
        let over: Vec<Spot> = table
            .slots
            .iter()
            .filter(|(_, slot)| match slot {
                Slot::Idle(bundler, since) => {
                    let rest = now.duration_since(*since);
                    rest >= limits.idle
                        || bundler.memory() > limits.memory_bytes
                        || (rest >= FALL_ASLEEP && bundler.is_awake())
                }
                _ => false,
            })
            .map(|(spot, _)| *spot)
            .collect();
        for spot in over {
            tracing::debug!(project = %spot.project, platform = %spot.platform, "a warm bundler goes");
            self.inner.give_up(&mut table, spot);
        }
    }

    /// Ends all of them, for good.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        {
            let mut table = self.inner.table();
            let spots: Vec<Spot> = table.slots.keys().copied().collect();
            for spot in spots {
                self.inner.give_up(&mut table, spot);
            }
        }
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl<B: Kept> Inner<B> {
    fn table(&self) -> MutexGuard<'_, Table<B>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self, table: &mut Table<B>, spot: Spot) {
        match table.slots.remove(&spot) {
            Some(Slot::Idle(bundler, _)) => self.end(*bundler),
            Some(Slot::Starting | Slot::Busy | Slot::Doomed) => {
                table.slots.insert(spot, Slot::Doomed);
            }
            None => {}
        }
        self.changed.notify_waiters();
    }

    /// Its process dies now, its folder a little later.
    fn end(&self, bundler: B) {
        self.tasks.spawn(bundler.end());
    }

    /// Puts `bundler` in its place, unless it is no longer wanted.
    fn put(&self, spot: Spot, bundler: Box<B>) {
        let mut table = self.table();
        let doomed = matches!(table.slots.get(&spot), Some(Slot::Doomed) | None);
        if doomed || bundler.memory() > self.limits.memory_bytes {
            table.slots.remove(&spot);
            self.end(*bundler);
        } else {
            let idle = Slot::Idle(bundler, Instant::now());
            table.slots.insert(spot, idle);
        }
        drop(table);
        self.changed.notify_waiters();
    }

    fn clear(&self, spot: Spot) {
        self.table().slots.remove(&spot);
        self.changed.notify_waiters();
    }
}

impl<B> Table<B> {
    /// Remembers why there is no bundler for `spot`, and for how long.
    fn mark(&mut self, spot: Spot, key: &str, why: String, now: Timestamp) {
        let before = self.unfit.get(&spot).filter(|unfit| unfit.key == key);
        let failures = before.map_or(0, |unfit| unfit.failures);
        let wait = TRY_AGAIN.saturating_mul(1 << failures.min(16));
        let unfit = Unfit {
            key: key.to_owned(),
            why,
            failures: failures + 1,
            until: now.after(wait.min(LONGEST_WAIT)),
        };
        self.unfit.insert(spot, unfit);
    }

    /// The idle bundler that was not needed for longest.
    fn oldest(&self) -> Option<Spot> {
        self.slots
            .iter()
            .filter_map(|(spot, slot)| match slot {
                Slot::Idle(_, since) => Some((*since, *spot)),
                _ => None,
            })
            .min_by_key(|(since, _)| *since)
            .map(|(_, spot)| spot)
    }
}

/// Bytes that this machine can still give; `None` where the kernel does not
/// say.
fn memory_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
