//! The services and their HTTP routes, by subject.

#[path = "../common/git_server.rs"]
mod git_server;
mod repositories;
#[path = "../common/sources.rs"]
mod sources;
