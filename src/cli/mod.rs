//! The command line.

pub mod client;
pub mod config;
pub mod credentials;
pub mod follow;
pub mod login;
pub mod pack;
pub mod preview;
pub mod qr;
