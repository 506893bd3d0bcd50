//! Projects, their members, and who may do what with them.
//!
//! [`access`] decides, [`manage`] makes and changes projects, [`members`]
//! shares them, [`source`] checks where their commits come from.

pub mod access;

pub use access::{Need, open, open_as};
