//! Real builds, through the worker and its sandbox: of every kind of project
//! and with every package manager, and of projects that mean harm.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/npm.rs"]
mod npm;

mod builder;
mod endings;
mod escapes;
mod expo;
mod failures;
mod managers;
mod react_native;
mod registry;
mod restricted;
mod sandbox;
mod sharing;
mod static_site;
mod warm;
mod warm_up;
mod web;
