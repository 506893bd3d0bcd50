//! Routes: web previews, each walled off from this server's own origin.
//!
//! With `PREVIEW_HOST=*.example.com` a preview has a host of its own
//! ([`host`]), and so an origin, storage and root path of its own. Without,
//! it lies below `/p/{job_id}~{access token}/` ([`path`]) in a sandbox that
//! gives it an opaque origin: such a document can send neither cookies nor a
//! referrer, so the capability stands in the path, where relative addresses
//! keep it, and [`rewrite`] leads absolute ones there too.

pub mod host;
mod insertions;
mod known;
mod navigation;
mod path;
mod rewrite;
mod serve;

pub use host::by_host;

use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;

use crate::http::AppState;

/// Not in the OpenAPI document: what lies here is for browsers, not an API.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .route("/p/{preview}", get(path::add_slash))
        .route("/p/{preview}/", get(path::serve))
        .route("/p/{preview}/{*file}", get(path::serve))
}
