//! The process dies, or its machine, at the worst moments.

mod client;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/git_server.rs"]
mod git_server;
mod late;
mod ledger;
mod orphans;
mod points;
#[path = "../common/previews.rs"]
mod previews;
#[path = "../cli/process.rs"]
mod process;
mod rounds;
mod scenes;
mod server;
#[allow(dead_code, reason = "the tests of the command line use the rest")]
#[path = "../cli/client.rs"]
mod session;
#[path = "../common/sources.rs"]
mod sources;
