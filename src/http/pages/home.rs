//! The start page: what this server is, and how to go on.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Frame, render};
use crate::config::Registration;
use crate::http::AppState;
use crate::http::error::ApiResult;

/// What somebody without an account does next.
enum Next {
    SetUp,
    Register,
    Invited,
    Closed,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    frame: &'a Frame,
    server: &'a str,
    next: Next,
}

pub(super) async fn show(State(app): State<AppState>, frame: Frame) -> ApiResult<Response> {
    let next = if app.store.has_admin().await? {
        match app.config.accounts.registration {
            Registration::Open => Next::Register,
            Registration::Invite => Next::Invited,
            Registration::Closed => Next::Closed,
        }
    } else {
        Next::SetUp
    };
    let page = Home {
        frame: &frame,
        server: &frame.server,
        next,
    };
    Ok(render(StatusCode::OK, &page))
}
