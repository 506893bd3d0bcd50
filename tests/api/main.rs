//! The services and their HTTP routes, by subject.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/git_server.rs"]
mod git_server;
#[path = "../common/previews.rs"]
mod previews_world;
#[path = "../common/sources.rs"]
mod sources;

mod access;
mod accounts;
mod disk;
mod errors_table;
mod members;
mod pages;
mod previews;
mod project_sources;
mod projects;
mod purge;
mod repositories;
mod sessions;
mod setup;
mod source_settings;
mod tokens;
mod world;
