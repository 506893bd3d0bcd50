//! What HiveSync knows, as plain values: no I/O, no clock, no store.

pub mod host;
pub mod ids;
pub mod job;
pub mod path;
pub mod preview;
pub mod project;
pub mod user;

pub use ids::{JobId, ProjectId, UserId};
