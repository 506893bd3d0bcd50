//! The process: its command line, its connections, its start and its end.

mod admin;
mod bare;
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod health;
mod process;
mod requests;
mod stopping;
mod systemd;
mod verbs;
