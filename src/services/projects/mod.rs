//! Projects, their members, and who may do what with them.
//!
//! [`access`] decides, [`manage`] makes, changes and deletes projects,
//! [`members`] shares them, [`source`] checks where their commits come from,
//! [`config`] what is said of their builds.

pub mod access;
pub mod config;
pub mod manage;
pub mod members;
pub mod source;

pub use access::{Need, open, open_as};
