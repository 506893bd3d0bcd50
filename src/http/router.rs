//! All routes, and the layers around each of them.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::AppState;
use super::openapi::Document;
use super::routes::{auth, health, members, previews, projects, setup, sources, users, web};
use super::{error, headers, openapi, pages, trace};

/// How long a client may take for the next piece of its body.
const BODY_STALL: std::time::Duration = std::time::Duration::from_secs(30);

/// Routes below `/api/v1`.
fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .merge(setup::routes())
        .merge(auth::routes())
        .merge(users::routes())
        .merge(projects::routes())
        .merge(members::routes())
        .merge(sources::routes())
        .merge(previews::routes())
        .merge(health::routes())
}

/// Routes with an address of their own.
fn root() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .merge(health::routes())
        .merge(health::probes())
        .merge(web::routes())
        .merge(pages::routes())
}

/// Every route with its part of the OpenAPI document.
fn collected() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .nest("/api/v1", api())
        .merge(root())
}

/// The OpenAPI document: every documented route, and nothing else.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    collected().into_openapi()
}

/// The whole of it. From the outside in: trace and access log, CORS, security
/// headers, compression, panics, body stalls.
pub fn router(app: AppState) -> Router {
    let (routes, document) = collected().split_for_parts();
    let cors = headers::cors(&app.config.server);
    let routes = routes
        .merge(openapi::document_route(&document))
        .merge(openapi::docs_routes())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        // Handlers limit their own bodies: an upload is larger than a login.
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyTimeoutLayer::new(BODY_STALL))
        .layer(from_fn_with_state(app.clone(), web::by_host))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(trace::errors))
        .layer(headers::compression())
        .layer(from_fn_with_state(app.clone(), headers::security));
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes
        .layer(from_fn_with_state(app.clone(), trace::layer))
        .with_state(app)
}
