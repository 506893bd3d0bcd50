//! What only redb must do: keep everything in its file, and turn down a file
//! that it should not touch.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hivesync::clock::ManualClock;
use hivesync::domain::UserId;
use hivesync::domain::job::{JobState, Queue};
use hivesync::error::{Code, Error};
use hivesync::store::redb::RedbStore;
use hivesync::store::{Batch, Expect, JobQueue, MetaStore, Record};
use tempfile::TempDir;

use crate::subject::{LEASE, START, Subject, builds, database, job, job_id, open_redb, user};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(START))
}

fn refusal(path: &Path) -> Error {
    let error = RedbStore::open(path, clock()).err().unwrap();
    assert_eq!(error.code, Code::DependencyFailure);
    let named = error.message.contains(path.to_str().unwrap());
    assert!(named, "the file is not named: {}", error.message);
    error
}

/// A closed file with some hundred records in it.
async fn filled(folder: &TempDir) {
    let store = open_redb(folder, clock());
    let mut batch = Batch::new();
    for number in 1..=300 {
        batch = batch
            .put(
                Record::User(user(number, &format!("user-{number}"))),
                Expect::Absent,
            )
            .enqueue(job(u64::try_from(number).unwrap()));
    }
    store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let subject = Subject::redb();
    subject.put(Record::User(user(1, "ada"))).await.unwrap();
    for number in 1..=3 {
        subject.enqueue(job(number)).await;
    }
    let (claim, _) = subject.claim().await.unwrap();
    let pause = subject.queue.set_paused(Queue::Sync, true);
    pause.await.unwrap();
    let subject = subject.reopen();
    assert!(subject.store.user(UserId(1)).await.unwrap().is_some());
    let counted = subject.queue.stats(Queue::PreviewBuild).await.unwrap();
    assert_eq!((counted.queued, counted.running), (2, 1));
    assert!(subject.queue.stats(Queue::Sync).await.unwrap().paused);
    // A claim outlives the process that gave it, until its lease ends.
    subject.queue.renew(&claim, LEASE).await.unwrap();
    assert_eq!(subject.claim_id().await, Some(job_id(2)));
    let subject = subject.reopen();
    subject.queue.complete(&claim, Batch::new()).await.unwrap();
    assert_eq!(subject.job(&job_id(1)).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_waiter_knows_after_a_restart_what_is_due() {
    let subject = Subject::redb();
    subject.enqueue(job(1)).await;
    subject.claim().await.unwrap();
    let subject = subject.reopen();
    subject.clock.advance(LEASE);
    subject.queue.wait(&[Queue::PreviewBuild]).await;
    assert_eq!(subject.claim_id().await, Some(job_id(1)));
}

#[tokio::test]
async fn a_delayed_job_that_was_due_while_nobody_ran_is_run_once() {
    let subject = Subject::redb();
    let mut delayed = job(1);
    delayed.run_at = Some(START.after(LEASE));
    subject.enqueue(delayed).await;
    assert_eq!(subject.claim_id().await, None);
    let subject = subject.reopen();
    subject.clock.advance(Duration::from_hours(1));
    let subject = subject.reopen();
    subject.queue.wait(&[Queue::PreviewBuild]).await;
    let (claim, _) = subject.claim().await.unwrap();
    assert_eq!(claim.job, job_id(1));
    assert_eq!(subject.claim_id().await, None);
    subject.queue.complete(&claim, Batch::new()).await.unwrap();
    let subject = subject.reopen();
    assert_eq!(subject.claim_id().await, None);
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    let _store = open_redb(&folder, clock());
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn a_second_open_is_refused_with_an_explanation() {
    let folder = TempDir::new().unwrap();
    let store = open_redb(&folder, clock());
    let error = refusal(&database(&folder));
    let holder = format!("process {}", std::process::id());
    assert!(error.message.contains(&holder), "{}", error.message);
    assert!(error.message.contains("DATA_DIR"), "{}", error.message);
    store.ping().await.unwrap();
    drop(store);
    open_redb(&folder, clock()).ping().await.unwrap();
}

#[tokio::test]
async fn an_empty_file_is_not_a_new_database() {
    let folder = TempDir::new().unwrap();
    let path = database(&folder);
    fs::write(&path, b"").unwrap();
    let error = refusal(&path);
    assert!(error.message.contains("empty"), "{}", error.message);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[tokio::test]
async fn something_else_is_not_a_database() {
    let folder = TempDir::new().unwrap();
    let path = database(&folder);
    let text = "this is a diary\n".repeat(10_000);
    fs::write(&path, &text).unwrap();
    refusal(&path);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    const OTHER: redb::TableDefinition<'static, &str, &str> = redb::TableDefinition::new("meta");
    let folder = TempDir::new().unwrap();
    let path = database(&folder);
    let db = redb::Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(OTHER).unwrap().insert("a", "b").unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = refusal(&path);
    assert!(error.message.contains("not one of HiveSync"));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    const META: redb::TableDefinition<'static, &str, u64> = redb::TableDefinition::new("meta");
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    let path = database(&folder);
    let db = redb::Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("schema", 99).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = refusal(&path);
    assert!(error.message.contains("version is 99"), "{}", error.message);
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    let path = database(&folder);
    let whole = fs::read(&path).unwrap();
    for length in [1, 64, 512, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&path, &whole[..length]).unwrap();
        refusal(&path);
    }
    fs::write(&path, &whole).unwrap();
    open_redb(&folder, clock()).ping().await.unwrap();
}

/// Every byte of a page counts, unless nothing was ever written there: then a
/// changed one may go unnoticed, but nothing may be lost.
#[tokio::test]
async fn flipped_bits_are_refused_or_harmless() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    let path = database(&folder);
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for offset in (0..whole.len()).step_by(whole.len() / 150) {
        fs::write(&path, &whole).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[!whole[offset]], offset as u64).unwrap();
        drop(file);
        match RedbStore::open(&path, clock()) {
            Err(error) => {
                assert_eq!(error.code, Code::DependencyFailure);
                refused += 1;
            }
            Ok(store) => {
                everything_is_there(&store).await;
                harmless += 1;
            }
        }
    }
    assert!(refused > 10, "{refused} refused, {harmless} harmless");
}

async fn everything_is_there(store: &RedbStore) {
    for number in 1..=300 {
        let found = store.user(UserId(number)).await.unwrap().unwrap();
        assert_eq!(found.value, user(number, &format!("user-{number}")));
    }
    let counted = store.stats(Queue::PreviewBuild).await.unwrap();
    assert_eq!(counted.queued, 300);
    let (claim, _) = store.claim(&builds()).await.unwrap().unwrap();
    assert_eq!(claim.job, job_id(1));
}

#[tokio::test]
async fn half_a_creation_is_begun_anew() {
    let folder = TempDir::new().unwrap();
    let leftover = folder.path().join("hivesync.redb.new");
    fs::write(&leftover, b"half of something").unwrap();
    open_redb(&folder, clock()).ping().await.unwrap();
    assert!(!leftover.exists());
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("nowhere/hivesync.redb");
    let error = RedbStore::open(&path, clock()).err().unwrap();
    assert_eq!(error.code, Code::DependencyFailure);
    assert!(error.message.contains("nowhere"), "{}", error.message);
}
