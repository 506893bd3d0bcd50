//! The OpenAPI document and its page, both from our own files.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::AppState;
use super::error::{self, ApiError, ErrorBody};
use crate::error::Error;

/// What the document says apart from the routes, which bring their own part.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "HiveSync",
        description = "Previews of React Native, Expo and web projects. Lists take `limit` and `cursor`; every error has the shape of `ErrorBody`.",
    ),
    components(schemas(ErrorBody)),
    modifiers(&Credentials),
    security(("bearer" = [])),
)]
pub struct Document;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A session's JWT or an API token."))
            .build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document, with the routes that the router collected.
pub(super) fn document_route(document: &utoipa::openapi::OpenApi) -> Router<AppState> {
    // Made once: it cannot change while the process runs. A document that
    // does not serialise is a fault that every test of the server meets.
    let text: Arc<str> = document
        .to_pretty_json()
        .expect("the OpenAPI document serialises")
        .into();
    Router::new().route(
        "/api/v1/openapi.json",
        get(async move || ([(CONTENT_TYPE, "application/json")], text.to_string())),
    )
}

/// A browsable copy. Addresses are relative, so that it also works below a
/// proxy's path prefix.
pub(super) fn docs_routes() -> Router<AppState> {
    let config = utoipa_swagger_ui::Config::new(["../v1/openapi.json"])
        // Without this the page would ask swagger.io for a badge.
        .validator_url("none")
        .try_it_out_enabled(true)
        .persist_authorization(false);
    let config = Arc::new(config);
    let serve = move |uri: Uri| {
        let config = Arc::clone(&config);
        async move { docs_file(uri.path(), config) }
    };
    Router::new()
        .route("/api/docs", get(async || Redirect::permanent("docs/")))
        .route("/api/docs/", get(serve.clone()))
        .route("/api/docs/{*file}", get(serve))
}

fn docs_file(path: &str, config: Arc<utoipa_swagger_ui::Config<'static>>) -> Response {
    /// What the vendored page needs: its styles are inline, its icons are data.
    const POLICY: (HeaderName, HeaderValue) = (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        ),
    );
    let name = path.strip_prefix("/api/docs/").unwrap_or_default();
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => (
            [POLICY],
            [(CONTENT_TYPE, file.content_type)],
            file.bytes.into_owned(),
        )
            .into_response(),
        Ok(None) => error::nothing_here().into_response(),
        Err(cause) => {
            let message = format!("could not read the vendored page: {cause}");
            ApiError(Error::internal(message)).into_response()
        }
    }
}
