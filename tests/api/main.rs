//! The services and their HTTP routes, by subject.

mod repositories;
#[path = "../common/sources.rs"]
mod sources;
