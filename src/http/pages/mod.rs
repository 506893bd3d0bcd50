//! The pages that a person opens in a browser: their frame, their addresses.
//!
//! A page is an askama template that extends `base.html` and holds a
//! [`Frame`]; [`render`] sends it. Templates and static files lie under
//! `assets/` and are compiled into the binary.

pub mod account;
pub mod assets;
pub mod home;
pub mod preview;

use askama::Template;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;

use crate::error::{Code, Error};
use crate::http::AppState;
use crate::http::error::{ApiError, nothing_here, status_of};
use crate::http::extract::PublicUrl;

/// Only our own files, no inline scripts or styles, no frames either way.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// Pages outside `/api/v1`. They are no part of the API and so absent from the
/// OpenAPI document.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .route("/", get(home::show))
        .route("/setup", get(account::show_setup).post(account::set_up))
        .route(
            "/register",
            get(account::show_register).post(account::register),
        )
        // A form is small; the router lets handlers set the limit.
        .layer(DefaultBodyLimit::max(64 * 1024))
        .route("/t/{token}", get(preview::show))
        .route("/assets/{name}", get(assets::serve))
}

/// What every page needs of its request.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The public path below which the server is reached, such as `/hive`;
    /// mostly empty. Every link within the site begins with it.
    pub prefix: String,
    /// The server's public address, without a trailing slash.
    pub server: String,
}

impl Frame {
    #[must_use]
    pub fn new(server: String) -> Self {
        let prefix = url::Url::parse(&server)
            .map(|url| url.path().trim_end_matches('/').to_owned())
            .unwrap_or_default();
        Self { prefix, server }
    }

    /// The address of a static file, which changes with its contents.
    #[must_use]
    pub fn asset(&self, name: &str) -> String {
        format!("{}{}", self.prefix, assets::address(name))
    }

    #[must_use]
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

impl FromRequestParts<AppState> for Frame {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let PublicUrl(server) = PublicUrl::from_request_parts(parts, app).await?;
        Ok(Self::new(server))
    }
}

/// A page as an answer, under [`POLICY`] and never cached: pages show what
/// changes, and their addresses may hold tokens.
pub fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (
            status,
            [
                (
                    CONTENT_TYPE,
                    HeaderValue::from_static("text/html; charset=utf-8"),
                ),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            ],
            html,
        )
            .into_response(),
        Err(cause) => {
            ApiError(Error::internal("could not render a page").caused_by(cause)).into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: &'a Frame,
    title: &'a str,
    message: &'a str,
    /// What to do then, in a sentence.
    advice: &'a str,
    code: &'a str,
}

/// Answers for addresses that no route has: a page for a person with a
/// browser, JSON for everybody else and everywhere below `/api`.
pub async fn not_found(frame: Frame, uri: Uri, headers: HeaderMap) -> Response {
    let wants_page = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"));
    if !wants_page || uri.path().starts_with("/api/") {
        return nothing_here().into_response();
    }
    let message = "There is nothing at this address; was the link copied whole?";
    failure(&frame, Error::new(Code::NotFound, message))
}

/// A failure as a page. What is a fault of ours stays with the API's answer,
/// which tells a trace id and nothing else.
#[must_use]
pub fn failure(frame: &Frame, error: Error) -> Response {
    let status = status_of(error.code);
    if !status.is_client_error() {
        return ApiError(error).into_response();
    }
    let title = match error.code {
        Code::InvalidOrExpiredToken => "This link does not work",
        Code::Forbidden | Code::ProjectAccessDenied => "This is not for you",
        Code::PreviewExpired => "This preview is gone",
        Code::RateLimitExceeded => "Too many tries",
        _ if status == StatusCode::NOT_FOUND => "Nothing here",
        _ => "That did not work",
    };
    render(
        status,
        &ErrorPage {
            frame,
            title,
            message: &error.message,
            advice: match error.details.get("reason") {
                // Of a preview's link; a setup link says for itself how to get one.
                Some(reason) if reason == "expired" => {
                    "Links open for some minutes only. Whoever has sent it gets a new one, to what \
                     is built already, by asking again: hivesync preview"
                }
                _ => "",
            },
            code: error.code.as_str(),
        },
    )
}
