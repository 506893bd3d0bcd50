//! The HTTP face: a thin layer that turns requests into calls of services.
//!
//! `server` accepts connections, `router` puts the routes and what surrounds
//! each of them together, `routes` holds the handlers, `extract` and `error`
//! what they take and answer.

pub mod error;
pub mod extract;
pub mod file;
pub mod headers;
mod hosts;
pub mod openapi;
pub mod operator;
mod outcome;
pub mod pages;
pub mod router;
pub mod routes;
pub mod server;
pub mod sse;
pub mod trace;

use std::sync::Arc;

use crate::app::App;

/// What every handler is given.
pub type AppState = Arc<App>;
