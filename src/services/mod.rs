//! The business rules: plain functions of `(&App, &Actor, command)`, shared by
//! HTTP, the command line and jobs.

pub mod auth;
pub mod health;
pub mod operator;
pub mod previews;
pub mod projects;
pub mod seal;
pub mod sources;
pub mod token;
