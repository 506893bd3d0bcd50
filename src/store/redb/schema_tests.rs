//! Migrations, on steps made up for the purpose.

use std::sync::atomic::{AtomicU32, Ordering};

use redb::backends::InMemoryBackend;
use redb::{Builder, ReadableTable, TableDefinition};

use super::*;

const EXTRA: TableDefinition<'static, &str, u64> = TableDefinition::new("extra");

fn fresh() -> Database {
    let db = Builder::new()
        .create_with_backend(InMemoryBackend::new())
        .unwrap();
    create(&db).unwrap();
    db
}

fn add_extra(txn: &WriteTransaction) -> Result<(), Halt> {
    txn.open_table(EXTRA)?.insert("steps", 1)?;
    Ok(())
}

fn count_extra(txn: &WriteTransaction) -> Result<(), Halt> {
    let mut table = txn.open_table(EXTRA)?;
    let steps = table.get("steps")?.map_or(0, |steps| steps.value());
    table.insert("steps", steps + 1)?;
    Ok(())
}

fn steps(db: &Database) -> u64 {
    let txn = db.begin_read().unwrap();
    let table = txn.open_table(EXTRA).unwrap();
    table.get("steps").unwrap().unwrap().value()
}

#[test]
fn steps_are_taken_once_and_in_order() {
    let db = fresh();
    migrate_by(&db, &[]).unwrap();
    migrate_by(&db, &[add_extra]).unwrap();
    assert_eq!((read(&db).unwrap(), steps(&db)), (Some(2), 1));
    migrate_by(&db, &[add_extra, count_extra, count_extra]).unwrap();
    assert_eq!((read(&db).unwrap(), steps(&db)), (Some(4), 3));
    migrate_by(&db, &[add_extra, count_extra, count_extra]).unwrap();
    assert_eq!((read(&db).unwrap(), steps(&db)), (Some(4), 3));
}

#[test]
fn a_step_that_fails_leaves_the_version_before_it() {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    fn fail_once(txn: &WriteTransaction) -> Result<(), Halt> {
        count_extra(txn)?;
        if TRIES.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(Halt::Storage(redb::Error::PreviousIo));
        }
        Ok(())
    }
    let db = fresh();
    migrate_by(&db, &[add_extra, fail_once]).unwrap_err();
    assert_eq!((read(&db).unwrap(), steps(&db)), (Some(2), 1));
    migrate_by(&db, &[add_extra, fail_once]).unwrap();
    assert_eq!((read(&db).unwrap(), steps(&db)), (Some(3), 2));
}

#[test]
fn a_newer_version_is_refused_untouched() {
    let db = fresh();
    migrate_by(&db, &[add_extra]).unwrap();
    let refused = migrate_by(&db, &[]).unwrap_err().into_error();
    assert!(refused.message.contains("schema version is 2"));
    assert_eq!(read(&db).unwrap(), Some(2));
}
