//! The contracts of the ports, as plain functions over the ports that every
//! adapter runs, each in a place of its own. A case's name ends in
//! `adapter::case`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod blobs;
mod blobs_on_disk;
mod ephemeral;
mod oracle;
mod queue;
mod redb_file;
mod store;
mod subject;
