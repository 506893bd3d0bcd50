//! The OpenAPI document and its page, both from our own files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::AppState;
use super::error::{self, ApiError, ErrorBody};
use crate::error::{Context, Error, Result};

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
    // Whoever asks shares it.
    let text = Bytes::from(
        document
            .to_pretty_json()
            .expect("the OpenAPI document serialises"),
    );
    Router::new().route(
        "/api/v1/openapi.json",
        get(async move || ([(CONTENT_TYPE, "application/json")], text)),
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
    let files = Arc::new(DocsFiles {
        config: Arc::new(config),
        read: Mutex::default(),
    });
    let serve = move |uri: Uri| {
        let files = Arc::clone(&files);
        async move { docs_file(uri.path(), &files) }
    };
    Router::new()
        .route("/api/docs", get(async || Redirect::permanent("docs/")))
        .route("/api/docs/", get(serve.clone()))
        .route("/api/docs/{*file}", get(serve))
}

/// The page's files. They come out of the binary as copies, one of them of
/// more than a megabyte: each is made once and shared by all who ask for it.
struct DocsFiles {
    config: Arc<utoipa_swagger_ui::Config<'static>>,
    read: Mutex<HashMap<String, DocsFile>>,
}

#[derive(Clone)]
struct DocsFile {
    kind: HeaderValue,
    bytes: Bytes,
}

impl DocsFiles {
    /// The file called `name`, if there is one.
    fn get(&self, name: &str) -> Result<Option<DocsFile>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = read.get(name) {
            return Ok(Some(file.clone()));
        }
        let found = utoipa_swagger_ui::serve(name, Arc::clone(&self.config)).map_err(|cause| {
            Error::internal(format!("could not read the vendored page: {cause}"))
        })?;
        let Some(found) = found else { return Ok(None) };
        let file = DocsFile {
            kind: HeaderValue::from_str(&found.content_type)
                .or_internal("name the type of a vendored file")?,
            bytes: found.bytes.into_owned().into(),
        };
        read.insert(name.to_owned(), file.clone());
        Ok(Some(file))
    }
}

fn docs_file(path: &str, files: &DocsFiles) -> Response {
    /// What the vendored page needs: its styles are inline, its icons are data.
    const POLICY: (HeaderName, HeaderValue) = (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        ),
    );
    const KEEP: (HeaderName, HeaderValue) = (
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    let name = path.strip_prefix("/api/docs/").unwrap_or_default();
    match files.get(name) {
        Ok(Some(file)) => ([POLICY, KEEP, (CONTENT_TYPE, file.kind)], file.bytes).into_response(),
        Ok(None) => error::nothing_here().into_response(),
        Err(error) => ApiError(error).into_response(),
    }
}
