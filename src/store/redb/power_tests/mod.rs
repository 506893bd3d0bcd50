//! The power goes, a sync fails or the disk is full, at any write of any
//! sequence of operations. Afterwards the store is what the memory adapter
//! is after all that was acknowledged, or one operation further: the one that
//! was told an error.

mod disk;
mod life;

use std::sync::Arc;

use tempfile::TempDir;

use self::disk::{Dice, Disk, Fault};
use self::life::{Life, Operation, Told, replay};
use super::*;
use crate::clock::ManualClock;
use crate::error::Code;
use crate::store::MetaStore;

const CASES: u64 = 120;
/// How often the same file meets a fault.
const LIVES: u32 = 5;
const OPERATIONS: u32 = 40;
/// Writes and syncs until the fault; an operation has some ten of them.
const FUSE: u64 = 250;

struct Bench {
    folder: TempDir,
    disk: Arc<Disk>,
    dice: Dice,
    /// Whether a start reads the whole file, as for a small one, or trusts it,
    /// as for a large one.
    checked: bool,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("hivesync.redb");
        // Laid out on the real disk, moved to the one that fails.
        drop(RedbStore::open(&path, life::clock()).unwrap());
        let disk = Disk::holding(std::fs::read(&path).unwrap(), Dice(seed));
        Self {
            folder,
            disk: Arc::new(disk),
            dice: Dice(seed ^ u64::MAX),
            checked: seed.is_multiple_of(2),
        }
    }

    fn open(&self, clock: Arc<ManualClock>) -> RedbStore {
        let (disk, checked) = (self.disk.clone(), self.checked);
        let opener: Opener = Arc::new(move |_, check| {
            redb::Builder::new()
                .set_check_integrity_on_open(check && checked)
                .create_with_backend(disk::Plug(disk.clone()))
        });
        let path = self.folder.path().join("hivesync.redb");
        RedbStore::open_by(&path, clock, opener).unwrap()
    }
}

/// Waits until the store has opened its file again.
async fn open_again(store: &RedbStore) {
    for _ in 0..100_000 {
        if store.ping().await.is_ok() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the store has not come back");
}

/// Answers how many faults came.
async fn case(seed: u64) -> u32 {
    let mut bench = Bench::new(seed);
    let clock = life::clock();
    let mut life = Life::new(bench.open(clock.clone()), clock);
    let mut acknowledged: Vec<Operation> = Vec::new();
    let mut faults = 0;
    for _ in 0..LIVES {
        let fault = Fault::ALL[usize::try_from(bench.dice.below(3)).unwrap()];
        bench.disk.arm(fault, bench.dice.below(FUSE));
        let mut in_doubt = None;
        for _ in 0..OPERATIONS {
            let operation = Operation::any(&mut bench.dice);
            match life.apply(&operation).await {
                Told::Answer => acknowledged.push(operation),
                Told::Trouble(code) => {
                    let expected = match fault {
                        Fault::Full => Code::StorageFull,
                        Fault::Sync | Fault::Power => Code::DependencyFailure,
                    };
                    assert_eq!(code, expected, "{operation:?}");
                    in_doubt = Some(operation);
                    break;
                }
            }
        }
        let fired = bench.disk.disarm();
        faults += u32::from(fired);
        if fired && fault == Fault::Power {
            let Life { store, clock, .. } = life;
            drop(store);
            bench.disk.power_on();
            life = Life::new(bench.open(clock.clone()), clock);
        } else {
            open_again(&life.store).await;
        }
        let found = life.snapshot().await;
        let (expected, claims) = replay(&acknowledged).await;
        life.claims = claims;
        if found == expected {
            continue;
        }
        let Some(operation) = in_doubt else {
            panic!("nothing was in doubt: {found:#?}\nis not\n{expected:#?}");
        };
        acknowledged.push(operation);
        let (expected, claims) = replay(&acknowledged).await;
        assert_eq!(found, expected, "after {:?}", acknowledged.last());
        life.claims = claims;
    }
    faults
}

/// Runs `cases` from `first`; a failure names its seed.
fn run(first: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut faults = 0;
    for seed in (first..CASES).step_by(2) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(case(seed))
        }));
        faults += outcome.unwrap_or_else(|_| panic!("seed {seed}"));
    }
    // Half of what there could be.
    assert!(faults > 30 * LIVES, "only {faults} faults came");
}

#[test]
fn a_failing_disk_loses_nothing_acknowledged_of_a_checked_file() {
    run(0);
}

#[test]
fn a_failing_disk_loses_nothing_acknowledged_of_a_trusted_file() {
    run(1);
}

/// A file that was not closed and has lost its end is told from one that was
/// cut off while it grew, whether it is read whole or trusted.
#[tokio::test]
async fn a_file_that_was_not_closed_and_is_cut_short_is_refused() {
    let bench = Bench::new(1);
    let clock = life::clock();
    let mut life = Life::new(bench.open(clock.clone()), clock);
    for number in 1..=20 {
        life.apply(&Operation::Enqueue(number, None, 20_000)).await;
    }
    let bytes = bench.disk.bytes();
    let path = bench.folder.path().join("cut.redb");
    let pages = bytes.len() / 4096;
    assert!(pages > 100, "{pages} pages");
    for left in (1..pages).step_by(7).chain([pages - 1]) {
        std::fs::write(&path, &bytes[..left * 4096]).unwrap();
        let trusting: Opener = Arc::new(|path, _| redb::Database::open(path));
        for opener in [trusting, file::plain_opener()] {
            let refused = RedbStore::open_by(&path, life::clock(), opener);
            let error = refused.err().unwrap();
            assert_eq!(error.code, Code::DependencyFailure);
            assert!(error.message.contains("end is missing"), "{error}");
        }
    }
}

/// Every bit of the header, of a file that was not closed: the damage is told,
/// or everything is there. One bit says which of two commits is the newest,
/// and nothing else does: turned over, it brings back the one before.
#[tokio::test]
async fn a_flipped_bit_of_the_header_never_opens_an_empty_database() {
    const NEWEST: (usize, u8) = (9, 0);
    let bench = Bench::new(0);
    let clock = life::clock();
    let mut life = Life::new(bench.open(clock.clone()), clock);
    let mut acknowledged = Vec::new();
    let mut dice = Dice(7);
    for _ in 0..OPERATIONS {
        let operation = Operation::any(&mut dice);
        life.apply(&operation).await;
        acknowledged.push(operation);
    }
    // The last two are sure to be commits.
    for number in [21, 22] {
        let operation = Operation::PutUser(number);
        life.apply(&operation).await;
        acknowledged.push(operation);
    }
    let (expected, _) = replay(&acknowledged).await;
    acknowledged.pop();
    let (before, _) = replay(&acknowledged).await;
    let bytes = bench.disk.bytes();
    for at in 0..320 {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let path = bench.folder.path().join("flipped.redb");
            std::fs::write(&path, flipped).unwrap();
            let clock = life::clock();
            let store = match RedbStore::open(&path, clock.clone()) {
                Ok(store) => store,
                Err(error) => {
                    assert_eq!(error.code, Code::DependencyFailure);
                    continue;
                }
            };
            let found = Life::new(store, clock).snapshot().await;
            let all = found == expected || ((at, bit) == NEWEST && found == before);
            assert!(all, "byte {at}, bit {bit}: something is missing");
        }
    }
}
