//! The contracts of the ports, as plain functions over `&dyn` traits that
//! every adapter runs. A case's name ends in `adapter::case`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod blobs;
mod ephemeral;
