//! What must be refused: each case with a clear error, nothing written and
//! nobody let in.

mod archives;
mod bodies;
#[path = "../build/builder.rs"]
mod builder;
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod crowds;
mod git;
#[path = "../common/git_server.rs"]
mod git_server;
mod hostile;
mod http2;
#[path = "../common/npm.rs"]
mod npm;
#[path = "../cli/process.rs"]
mod process;
#[path = "../common/sources.rs"]
mod sources;
