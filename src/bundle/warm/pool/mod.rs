//! The warm bundlers of this process: at most so many, none larger than
//! allowed, each given up when nobody has needed it for a while.

mod absence;
mod failures;
mod lease;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use absence::Absence;
use failures::Failures;
pub use lease::{Lease, Place};

use super::bundler::Bundler;
use crate::clock::Clock;
use crate::config::WarmLimits;
use crate::domain::ProjectId;
use crate::domain::preview::Platform;

/// How often idle bundlers are looked at. It costs next to nothing, and nobody
/// else looks at them.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a bundler that was put to rest may take to be still.
const FALL_ASLEEP: Duration = Duration::from_secs(1);

/// What a bundler is for: there is one at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spot {
    pub project: ProjectId,
    pub platform: Platform,
}

/// What a pool keeps.
pub trait Kept: Send + Sized + 'static {
    /// The configuration and the dependencies that it was started with.
    fn key(&self) -> &str;

    /// Bytes of memory that it holds.
    fn memory(&self) -> u64;

    /// Whether anything of it runs although it was put to rest.
    fn is_awake(&self) -> bool;

    /// What it says is heard by nobody from here on.
    fn hush(&self);

    /// Brings it to rest after a build that was left in the middle, within the
    /// time that the build had; what it comes to is nobody's. Says whether the
    /// next build may have it.
    fn settle(&mut self) -> impl Future<Output = bool> + Send;

    /// Ends it and removes what it has made; of that, what is there still when
    /// `leaving` is cancelled stays for the next start. The first poll is not
    /// waited for: what holds memory should go at once.
    fn end(self, leaving: &CancellationToken) -> impl Future<Output = ()> + Send;
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
    clock: Arc<dyn Clock>,
    table: Mutex<Table<B>>,
    /// Told whenever a slot changes.
    changed: Notify,
    closing: CancellationToken,
    /// Bundlers that are being started or ended.
    tasks: TaskTracker,
}

struct Table<B> {
    slots: HashMap<Spot, Slot<B>>,
    failures: Failures,
}

enum Slot<B> {
    Starting,
    Idle(Box<B>, Instant),
    Busy,
    /// Taken, starting or coming to the end of what nobody waits for, and no
    /// longer wanted.
    Doomed,
}

impl<B: Kept> Pool<B> {
    /// A pool with nothing in it yet.
    #[must_use]
    pub fn new(limits: WarmLimits, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                limits,
                clock,
                table: Mutex::new(Table {
                    slots: HashMap::new(),
                    failures: Failures::default(),
                }),
                changed: Notify::new(),
                closing: CancellationToken::new(),
                tasks: TaskTracker::new(),
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
    pub fn place(&self, spot: Spot, key: &str) -> Option<Place<B>> {
        let limits = &self.inner.limits;
        if limits.count == 0 || self.inner.closing.is_cancelled() {
            return None;
        }
        let mut table = self.inner.table();
        let now = self.inner.clock.now();
        if table.failures.hold(spot, key, now) || table.slots.contains_key(&spot) {
            return None;
        }
        let short = memory_available().is_some_and(|free| free < limits.memory_bytes);
        if short || table.slots.len() >= limits.count {
            let oldest = table.oldest()?;
            self.inner.give_up(&mut table, oldest);
            if short {
                // What it gives back is there only once it has ended.
                return None;
            }
        }
        table.slots.insert(spot, Slot::Starting);
        Some(Place::of(self, spot, key))
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
        table.failures.forget_project(project);
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
            let pool = self.clone();
            // Many processes take a while to be looked at.
            let looked = tokio::task::spawn_blocking(move || pool.look(Instant::now()));
            let _ = looked.await;
        }
    }

    fn look(&self, now: Instant) {
        let mut table = self.inner.table();
        let limits = &self.inner.limits;
        let mut over = Vec::new();
        for (spot, slot) in &table.slots {
            if let Slot::Idle(bundler, since) = slot {
                let rest = now.duration_since(*since);
                let outgrown = self
                    .inner
                    .is_over(bundler)
                    .then(|| bundler.key().to_owned());
                if outgrown.is_some()
                    || rest >= limits.idle
                    || (rest >= FALL_ASLEEP && bundler.is_awake())
                {
                    over.push((*spot, outgrown));
                }
            }
        }
        for (spot, outgrown) in over {
            tracing::debug!(project = %spot.project, platform = %spot.platform, "a warm bundler goes");
            if let Some(key) = outgrown {
                self.inner.outgrown(&mut table, spot, &key);
            }
            self.inner.give_up(&mut table, spot);
        }
    }

    /// Ends all of them, for good. Their folders, which hold a project's
    /// dependencies, stay for the next start: no stop is to wait for those.
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
        let closing = self.closing.clone();
        self.tasks.spawn(async move { bundler.end(&closing).await });
    }

    /// Puts `bundler` in its place, unless it is no longer wanted; says whether
    /// it is there.
    fn put(&self, spot: Spot, bundler: Box<B>) -> bool {
        let mut table = self.table();
        let doomed = matches!(table.slots.get(&spot), Some(Slot::Doomed) | None);
        let outgrown = self.is_over(&bundler);
        if outgrown && !doomed {
            self.outgrown(&mut table, spot, bundler.key());
        }
        if doomed || outgrown {
            table.slots.remove(&spot);
            self.end(*bundler);
        } else {
            let idle = Slot::Idle(bundler, Instant::now());
            table.slots.insert(spot, idle);
        }
        drop(table);
        self.changed.notify_waiters();
        !doomed && !outgrown
    }

    fn is_over(&self, bundler: &B) -> bool {
        bundler.memory() > self.limits.memory_bytes
    }

    /// Another one would grow as large: it is not tried at once.
    fn outgrown(&self, table: &mut Table<B>, spot: Spot, key: &str) {
        let why = format!(
            "it holds more than {} MB (WARM_BUNDLER_MEMORY_MB)",
            self.limits.memory_bytes >> 20
        );
        tracing::info!(
            project = %spot.project,
            platform = %spot.platform,
            "a warm bundler is given up: {why}"
        );
        table.failures.add(spot, key, why, self.clock.now());
    }

    fn clear(&self, spot: Spot) {
        self.table().slots.remove(&spot);
        self.changed.notify_waiters();
    }
}

impl<B> Table<B> {
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
