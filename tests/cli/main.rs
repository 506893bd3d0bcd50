//! The process: its command line, its connections, its start and its end.

mod admin;
mod bare;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod crash;
#[path = "../common/git_server.rs"]
mod git_server;
mod health;
mod outlive;
mod preview;
mod process;
mod projects;
mod refs;
mod requests;
mod stopping;
mod systemd;
mod unmaking;
mod verbs;
mod waiting;
