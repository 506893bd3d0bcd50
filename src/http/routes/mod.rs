//! The handlers, a module for each subject. Each has `routes()`, listed in
//! [`crate::http::router`].

pub mod auth;
pub mod health;
pub mod members;
pub mod previews;
pub mod projects;
pub mod setup;
pub mod sources;
pub mod users;
pub mod web;
