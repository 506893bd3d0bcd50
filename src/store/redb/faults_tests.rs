//! A disk that fails: nothing is acknowledged that is not durable, and the
//! store works again once the disk does.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::FutureExt;
use redb::backends::FileBackend;
use redb::{BackendError, Builder, StorageBackend};
use tempfile::TempDir;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::domain::JobId;
use crate::domain::job::{JobState, NewJob, Priority, Queue};
use crate::error::Code;
use crate::store::{Batch, ClaimRequest, JobQueue, MetaStore, Sequence};

/// What the disk does wrong.
#[derive(Debug, Default)]
struct Disk {
    failing: AtomicBool,
    /// While failing, writes fail too, as on a full disk.
    full: AtomicBool,
    cannot_open: AtomicBool,
    syncs: AtomicU64,
    /// Held by a test to keep every sync waiting.
    gate: Mutex<()>,
}

impl Disk {
    fn sync(&self) -> io::Result<()> {
        drop(self.gate.lock().unwrap());
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.failing.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk has lost the write"));
        }
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    disk: Arc<Disk>,
}

type Backend<T> = Result<T, BackendError>;

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.write()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Backend<bool> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Backend<()> {
        self.file.unlock_range(start, end)
    }
}

struct Bench {
    folder: TempDir,
    disk: Arc<Disk>,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            disk: Arc::default(),
            clock: Arc::new(ManualClock::starting_at(Timestamp::from_secs(
                1_700_000_000,
            ))),
        }
    }

    fn open(&self) -> Arc<RedbStore> {
        let disk = self.disk.clone();
        let opener: Opener = Arc::new(move |path, check| {
            if disk.cannot_open.load(Ordering::SeqCst) {
                return Err(io::Error::other("the disk is away").into());
            }
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            Builder::new()
                .set_check_integrity_on_open(check)
                .create_with_backend(Faulty {
                    file: FileBackend::new(file)?,
                    disk: disk.clone(),
                })
        });
        let path = self.folder.path().join("hivesync.redb");
        Arc::new(RedbStore::open_by(&path, self.clock.clone(), opener).unwrap())
    }
}

fn job_id(number: u64) -> JobId {
    format!("job_{number:026}").parse().unwrap()
}

fn enqueue(number: u64) -> Batch {
    Batch::new().enqueue(NewJob {
        id: job_id(number),
        queue: Queue::PreviewBuild,
        kind: "preview".to_owned(),
        payload: "{}".to_owned(),
        priority: Priority::NORMAL,
        group: 1,
        dedupe_key: None,
        run_at: None,
        max_attempts: 3,
    })
}

fn request() -> ClaimRequest {
    ClaimRequest {
        queues: vec![Queue::PreviewBuild],
        worker: "worker".to_owned(),
        lease: std::time::Duration::from_secs(30),
        group_limit: 10,
    }
}

#[tokio::test]
async fn a_failing_fsync_acknowledges_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    store.commit(enqueue(1)).await.unwrap();

    bench.disk.failing.store(true, Ordering::SeqCst);
    let writes = (2..=20).map(|number| store.commit(enqueue(number)));
    for outcome in futures::future::join_all(writes).await {
        assert_eq!(outcome.unwrap_err().code, Code::DependencyFailure);
    }
    assert_eq!(
        store.claim(&request()).await.unwrap_err().code,
        Code::DependencyFailure
    );

    bench.disk.failing.store(false, Ordering::SeqCst);
    // The first one may find the file still closed, and has it opened.
    let mut opened = store.ping().await;
    for _ in 0..100 {
        if opened.is_ok() {
            break;
        }
        tokio::task::yield_now().await;
        let _ = store.allocate(Sequence::User).await;
        opened = store.ping().await;
    }
    opened.unwrap();
    for number in 2..=20 {
        let found = store.job(&job_id(number)).await.unwrap();
        assert_eq!(found, None, "{number} was refused and is there");
    }
    let (claim, _) = store.claim(&request()).await.unwrap().unwrap();
    assert_eq!(claim.job, job_id(1));
    store.commit(enqueue(2)).await.unwrap();
    store.complete(&claim, Batch::new()).await.unwrap();

    drop(store);
    let store = bench.open();
    let counted = store.stats(Queue::PreviewBuild).await.unwrap();
    assert_eq!((counted.queued, counted.running), (1, 0));
}

#[tokio::test]
async fn a_new_job_reaches_a_waiting_worker_in_the_commit_that_adds_it() {
    let bench = Bench::new();
    let store = bench.open();
    let request = request();
    // The file grows now rather than later, which is a sync of its own.
    store.commit(enqueue(9)).await.unwrap();
    store.claim(&request).await.unwrap();
    let mut waiting = store.next(&request);
    assert!(waiting.as_mut().now_or_never().is_none());
    // Behind the worker in line.
    store.allocate(Sequence::User).await.unwrap();
    let before = bench.disk.syncs.load(Ordering::SeqCst);
    store.commit(enqueue(1)).await.unwrap();
    let (claim, _) = waiting.await.unwrap();
    let syncs = bench.disk.syncs.load(Ordering::SeqCst) - before;
    assert_eq!(syncs, 2, "the two of one commit");

    drop(store);
    let store = bench.open();
    let found = store.job(&job_id(1)).await.unwrap().unwrap();
    assert_eq!((found.state, found.fence), (JobState::Running, claim.fence));
}

#[tokio::test]
async fn a_failing_fsync_gives_a_waiting_worker_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    let request = request();
    let mut waiting = store.next(&request);
    assert!(waiting.as_mut().now_or_never().is_none());
    bench.disk.failing.store(true, Ordering::SeqCst);
    store.commit(enqueue(1)).await.unwrap_err();
    assert_eq!(waiting.await.unwrap_err().code, Code::DependencyFailure);
    bench.disk.failing.store(false, Ordering::SeqCst);
    while store.commit(enqueue(2)).await.is_err() {
        tokio::task::yield_now().await;
    }
    let (claim, _) = store.next(&request).await.unwrap();
    assert_eq!((claim.job, claim.fence), (job_id(2), 1));
}

#[tokio::test]
async fn a_full_disk_is_called_full_and_loses_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    store.commit(enqueue(1)).await.unwrap();
    bench.disk.full.store(true, Ordering::SeqCst);
    let mut large = enqueue(2);
    large.enqueue[0].payload = "x".repeat(1 << 20);
    let refused = store.commit(large.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::StorageFull);
    assert!(refused.message.contains("free some space"));
    bench.disk.full.store(false, Ordering::SeqCst);
    while store.commit(large.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(store.job(&job_id(1)).await.unwrap().is_some());
    assert!(store.job(&job_id(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn while_the_file_cannot_be_opened_every_answer_says_so() {
    let bench = Bench::new();
    let store = bench.open();
    store.commit(enqueue(1)).await.unwrap();
    bench.disk.cannot_open.store(true, Ordering::SeqCst);
    bench.disk.failing.store(true, Ordering::SeqCst);
    store.commit(enqueue(2)).await.unwrap_err();
    bench.disk.failing.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        let read = store.job(&job_id(1)).await.unwrap_err();
        let write = store.commit(enqueue(3)).await.unwrap_err();
        for error in [read, write] {
            assert_eq!(error.code, Code::DependencyFailure);
            assert!(error.message.contains("opened again"), "{error}");
        }
    }
    bench.disk.cannot_open.store(false, Ordering::SeqCst);
    // Reads alone are enough to have it opened again.
    while store.job(&job_id(1)).await.is_err() {
        tokio::task::yield_now().await;
    }
    store.commit(enqueue(3)).await.unwrap();
}

#[tokio::test]
#[expect(
    clippy::await_holding_lock,
    reason = "only the writer's own thread waits for it"
)]
async fn a_group_shares_one_commit_and_is_acknowledged_after_it() {
    const CALLERS: u64 = 100;
    let bench = Bench::new();
    let store = bench.open();
    let gate = bench.disk.gate.lock().unwrap();
    let before = bench.disk.syncs.load(Ordering::SeqCst);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut callers = Vec::new();
    for number in 1..=CALLERS {
        let (store, acknowledged) = (store.clone(), acknowledged.clone());
        callers.push(tokio::spawn(async move {
            store.commit(enqueue(number)).await.unwrap();
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }));
    }
    // Every caller has handed its write over and waits; none can be durable.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(acknowledged.load(Ordering::SeqCst), 0);
    drop(gate);
    for caller in callers {
        caller.await.unwrap();
    }
    let syncs = bench.disk.syncs.load(Ordering::SeqCst) - before;
    // A first group of whoever was first, a second of all the others, two
    // syncs each; one more group for a caller that came late.
    assert!(syncs <= 6, "{syncs} syncs for {CALLERS} writes");
}

#[tokio::test]
async fn a_refusal_leaves_its_group_alone() {
    let bench = Bench::new();
    let store = bench.open();
    store.commit(enqueue(1)).await.unwrap();
    let writes = (1..=50).map(|number| store.commit(enqueue(number)));
    let outcomes = futures::future::join_all(writes).await;
    assert_eq!(outcomes[0].as_ref().unwrap_err().code, Code::Conflict);
    assert!(outcomes[1..].iter().all(Result::is_ok));
    let counted = store.stats(Queue::PreviewBuild).await.unwrap();
    assert_eq!(counted.queued, 50);
}
