//! Real builds, through the worker and its sandbox: of every kind of project
//! and with every package manager, and of projects that mean harm.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/npm.rs"]
mod npm;
#[path = "../cli/process.rs"]
mod process;
#[allow(dead_code, reason = "the tests of the command line use the rest")]
#[path = "../cli/client.rs"]
mod session;
#[path = "../common/unprivileged.rs"]
mod unprivileged;

mod builder;
mod bytecode;
mod diverted;
mod endings;
mod escapes;
mod expo;
mod failures;
mod managers;
mod ordinary;
mod poison;
mod react_native;
mod registry;
mod removal;
mod restricted;
mod sandbox;
mod sharing;
mod static_site;
mod tree;
mod warm;
mod warm_hostile;
mod warm_inputs;
mod warm_levels;
mod warm_limits;
mod warm_up;
mod warm_web;
mod web;
