//! All routes, and the layers around each of them.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use tower::ServiceBuilder;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::AppState;
use super::openapi::Document;
use super::outcome::OutcomeLayer;
use super::routes::{auth, health, members, previews, projects, setup, sources, users, web};
use super::trace::TraceLayer;
use super::{error, headers, hosts, openapi, pages};

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

/// The whole of it.
pub fn router(app: AppState) -> Router {
    let (routes, document) = collected().split_for_parts();
    let routes = routes
        .merge(openapi::document_route(&document))
        .merge(openapi::docs_routes());
    surround(routes, app)
}

/// Puts the layers around routes. From the outside in: trace, access log and
/// security headers, CORS, compression, panics and the bodies of errors, the
/// names of local dev mode, web previews by host.
///
/// All of them in one stack: each [`Router::layer`] would put another box
/// around every route, to be copied with what is in it for every request.
pub fn surround(routes: Router<AppState>, app: AppState) -> Router {
    let cors = headers::cors(&app.config.server);
    let preview_hosts = app.config.previews.host.is_some();
    let local = app.config.server.local_dev_mode;
    let layers = ServiceBuilder::new()
        .layer(TraceLayer(app.clone()))
        .option_layer(cors)
        .layer(headers::compression())
        .layer(OutcomeLayer)
        .option_layer(local.then(|| from_fn_with_state(app.clone(), hosts::only_known)))
        .option_layer(preview_hosts.then(|| from_fn_with_state(app.clone(), web::by_host)))
        // Handlers limit their own bodies: an upload is larger than a login.
        .layer(DefaultBodyLimit::disable());
    routes
        .fallback(pages::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(layers)
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::{Body, to_bytes};
    use axum::http::header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
    };
    use axum::http::{Request, Response};
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::app::App;
    use crate::clock::{SystemClock, SystemEntropy};
    use crate::config::Config;
    use crate::error::{Code, Error};
    use crate::http::error::ApiError;
    use crate::http::extract::Crowded;

    const LONG: &str = "a line that is worth compressing, a line that is worth compressing\n";

    async fn routes() -> (tempfile::TempDir, Router) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::for_tests(folder.path());
        let app = App::start(
            config,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy::new()),
        )
        .await
        .expect("an app");
        let of_type =
            |kind: &'static str| get(async move || ([(CONTENT_TYPE, kind)], LONG.repeat(50)));
        let routes = Router::new()
            .route(
                "/panic",
                get(async || -> String { panic!("a secret of the code") }),
            )
            .route(
                "/internal",
                get(async || {
                    let cause = std::io::Error::other("a secret of the disk");
                    ApiError(Error::internal("a secret of the log").caused_by(cause))
                }),
            )
            .route(
                "/limited",
                get(async || {
                    let wait = std::time::Duration::from_millis(1500);
                    ApiError(Error::rate_limited(wait, "slow down"))
                }),
            )
            .route(
                "/build-error",
                get(async || ApiError(Error::new(Code::PreviewTimeout, "a build's own"))),
            )
            .route("/events", of_type("text/event-stream"))
            .route("/zip", of_type("application/zip"))
            .route("/page", of_type("text/html; charset=utf-8"));
        (folder, surround(routes, app))
    }

    async fn ask(router: &Router, path: &str) -> Response<Body> {
        let request = Request::get(path)
            .header("host", "localhost")
            .header(ACCEPT_ENCODING, "gzip, br")
            .body(Body::empty())
            .expect("a request");
        router.clone().oneshot(request).await.expect("infallible")
    }

    #[tokio::test]
    async fn what_breaks_inside_is_told_generically() {
        let (_folder, router) = routes().await;
        for path in ["/panic", "/internal", "/build-error"] {
            let response = ask(&router, path).await;
            assert_eq!(response.status(), 500, "{path}");
            let body = to_bytes(response.into_body(), 10_000)
                .await
                .expect("a body");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(body["error"]["code"], "INTERNAL_ERROR", "{path}");
            assert!(body["error"]["details"]["trace_id"].is_string(), "{path}");
            assert!(!body.to_string().contains("a secret"), "{body}");
        }
    }

    #[tokio::test]
    async fn a_limited_caller_is_told_the_whole_seconds_to_wait() {
        let (_folder, router) = routes().await;
        let response = ask(&router, "/limited").await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[tokio::test]
    async fn a_request_too_many_is_refused_like_any_other() {
        let (_folder, router) = routes().await;
        let mut request = Request::get("/page").body(Body::empty()).expect("one");
        request.extensions_mut().insert(Crowded);
        let response = router.oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let body = to_bytes(response.into_body(), 10_000)
            .await
            .expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["error"]["code"], "RATE_LIMIT_EXCEEDED");
        assert!(body["error"]["details"]["trace_id"].is_string(), "{body}");
    }

    #[tokio::test]
    async fn streams_and_zips_are_never_compressed() {
        let (_folder, router) = routes().await;
        for (path, compressed) in [("/page", true), ("/events", false), ("/zip", false)] {
            let response = ask(&router, path).await;
            assert_eq!(
                response.headers().contains_key(CONTENT_ENCODING),
                compressed,
                "{path}"
            );
        }
    }
}
