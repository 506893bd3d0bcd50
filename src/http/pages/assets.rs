//! Static files, from inside the binary.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use rust_embed::RustEmbed;

use crate::error::{Code, Error};
use crate::http::error::ApiError;
use crate::http::extract::Path;

#[derive(RustEmbed)]
#[folder = "assets/static"]
struct Files;

/// The path of a file with a mark of its contents, so that it can be kept for
/// good.
pub(super) fn address(name: &str) -> String {
    // A file that is not there answers 404, which a page's test notices.
    let mark = Files::get(name).map_or_else(String::new, |file| mark(&file));
    format!("/assets/{name}?v={mark}")
}

fn mark(file: &rust_embed::EmbeddedFile) -> String {
    HEXLOWER.encode(&file.metadata.sha256_hash()[..8])
}

pub(super) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = Files::get(&name) else {
        let error = Error::new(Code::NotFound, "there is no such file");
        return ApiError(error).into_response();
    };
    let tag = format!("\"{}\"", mark(&file));
    let known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|v| v == tag.as_str());
    let kind = mime_guess::from_path(&name).first_or_octet_stream();
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, kind.as_ref())], shared(file.data)).into_response()
    };
    let out = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(ETAG, tag);
    }
    out.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    response
}

/// The binary's own bytes; a debug build reads them from the disk.
fn shared(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    }
}
