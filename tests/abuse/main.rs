//! What must be refused: each case with a clear error, nothing written and
//! nobody let in.

mod archives;
mod git;
#[path = "../common/git_server.rs"]
mod git_server;
#[path = "../common/sources.rs"]
mod sources;
