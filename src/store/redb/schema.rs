//! The version of the tables, and the steps from one to the next.

use redb::{Database, ReadableDatabase, TableError, WriteTransaction};

use super::errors::Halt;
use super::{file, tables};
use crate::error::{Code, Error};

/// One step up. Runs in the transaction that also records the new version, so
/// that a step is done whole or not at all.
pub(super) type Migration = fn(&WriteTransaction) -> Result<(), Halt>;

/// From version `n + 1` to `n + 2`, by index. Steps are added, never changed:
/// somewhere a file waits for each of them.
const MIGRATIONS: &[Migration] = &[];

const SCHEMA: &str = "schema";

/// The version that this code reads and writes.
fn current(migrations: &[Migration]) -> u64 {
    1 + migrations.len() as u64
}

/// Lays out an empty file.
pub(super) fn create(db: &Database) -> Result<(), Halt> {
    let mut txn = db.begin_write()?;
    file::make_safe(&mut txn);
    tables::create_all(&txn)?;
    record(&txn, current(MIGRATIONS))?;
    txn.commit()?;
    Ok(())
}

/// Brings a file up to the current version.
pub(super) fn migrate(db: &Database) -> Result<(), Halt> {
    migrate_by(db, MIGRATIONS)
}

fn migrate_by(db: &Database, migrations: &[Migration]) -> Result<(), Halt> {
    let newest = current(migrations);
    let mut version = read(db)?.ok_or_else(foreign)?;
    if version == 0 {
        return Err(foreign().into());
    }
    if version > newest {
        return Err(newer(version, newest).into());
    }
    for step in migrations
        .iter()
        .skip(usize::try_from(version - 1).unwrap_or(usize::MAX))
    {
        let mut txn = db.begin_write()?;
        file::make_safe(&mut txn);
        step(&txn)?;
        version += 1;
        record(&txn, version)?;
        txn.commit()?;
        tracing::info!(version, "the database has a new schema version");
    }
    Ok(())
}

fn read(db: &Database) -> Result<Option<u64>, Halt> {
    let txn = db.begin_read()?;
    match txn.open_table(tables::META) {
        Ok(table) => Ok(table.get(SCHEMA)?.map(|version| version.value())),
        Err(TableError::Storage(error)) => Err(error.into()),
        // Whatever else this table is, it is not ours.
        Err(_) => Ok(None),
    }
}

fn record(txn: &WriteTransaction, version: u64) -> Result<(), Halt> {
    let mut table = txn.open_table(tables::META)?;
    table.insert(SCHEMA, version)?;
    Ok(())
}

fn foreign() -> Error {
    Error::new(
        Code::DependencyFailure,
        "it is a redb file, but not one of HiveSync",
    )
}

fn newer(version: u64, newest: u64) -> Error {
    Error::new(
        Code::DependencyFailure,
        format!(
            "its schema version is {version}, and this HiveSync knows versions up to {newest}; \
             run the newer HiveSync that wrote it, or restore a backup from before"
        ),
    )
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
