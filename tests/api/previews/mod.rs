//! Previews over HTTP, with the test in the worker's place.

mod bytecode;
mod downloads;
mod events;
mod jobs;
mod judged;
mod pages;
mod tokens;
mod warm_up;
mod web;
