//! Sending a site's files to a browser.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use ring::digest::{Context as Digest, SHA256};

use super::insertions::Rewritten;
use super::known;
use super::navigation::{Target, find, is_navigation};
use super::rewrite;
use crate::error::{Code, Context, Error, Result};
use crate::http::file;
use crate::services::previews::web::Site;

/// What a preview may do on a host that it shares with this server:
/// everything but be of its origin, and with it everything that needs cookies
/// or storage.
const SANDBOX: &str = "sandbox allow-scripts allow-forms allow-modals allow-popups \
     allow-downloads allow-pointer-lock allow-orientation-lock allow-presentation";
/// On a host of its own it may do what any site may.
const OWN_HOST: &str = "frame-ancestors *";

/// How a site is separated from this server.
#[derive(Clone, Debug)]
pub(super) enum Separation {
    /// By a sandbox, below this path, which begins and ends with a slash.
    Sandbox {
        prefix: String,
    },
    Host,
}

/// The answer for `path`, decoded and without its leading slash.
pub(super) async fn serve(
    site: Site,
    separation: Separation,
    path: String,
    parts: &Parts,
) -> Result<Response> {
    if matches!(separation, Separation::Sandbox { .. }) && path == rewrite::FRAME_SCRIPT {
        return Ok(frame_script());
    }
    let navigates = is_navigation(&parts.headers, &parts.uri);
    let (root, address) = (site.root.clone(), path.clone());
    let found = tokio::task::spawn_blocking(move || look_up(&root, &address, navigates))
        .await
        .or_internal("look for a file of a web preview")??;
    let Found::File(file) = found else {
        return if let Found::NeedsSlash = found {
            with_slash(parts)
        } else {
            Err(Error::new(Code::NotFound, "this preview has no such file"))
        };
    };
    let file = represent(&site, &separation, file).await?;
    let (method, etag, length) = (&parts.method, file.etag, file.length);
    let selection = file::select(method, &parts.headers, &etag, length);
    let content = file.content;
    let body = |range| content.body(range);
    let mut response = file::respond(method, selection, &etag, length, body).await?;
    if !response.status().is_client_error() {
        dress(&mut response, &path, &file.kind);
    }
    wall_off(&mut response, &separation);
    Ok(response)
}

enum Found {
    File(Opened),
    NeedsSlash,
    Nothing,
}

/// A file of the site.
struct Opened {
    path: PathBuf,
    file: File,
    /// Bytes.
    length: u64,
}

/// A file as it is sent.
struct Representation {
    content: Content,
    /// Bytes.
    length: u64,
    etag: String,
    kind: String,
}

enum Content {
    File(File),
    Rewritten(Rewritten),
}

impl Content {
    async fn body(self, range: Range<u64>) -> Result<Body> {
        match self {
            Content::File(file) => Ok(file::stream(file, range)),
            Content::Rewritten(rewritten) => rewritten.body(range).await,
        }
    }
}

fn look_up(root: &Path, path: &str, navigates: bool) -> Result<Found> {
    let what = "read a file of a web preview";
    match find(root, path, navigates) {
        Target::File(path) => {
            let file = File::open(&path).or_internal(what)?;
            let length = file.metadata().or_internal(what)?.len();
            Ok(Found::File(Opened { path, file, length }))
        }
        Target::NeedsSlash => Ok(Found::NeedsSlash),
        Target::Nothing => Ok(Found::Nothing),
    }
}

async fn represent(site: &Site, separation: &Separation, opened: Opened) -> Result<Representation> {
    let Opened { path, file, length } = opened;
    let kind = content_type(&path);
    // A bundle never changes, so its digest tells the versions of a file apart.
    let bundle = HEXLOWER.decode(site.sha256.as_bytes()).unwrap_or_default();
    if let Separation::Sandbox { prefix } = separation
        && rewrite::applies_to(&kind)
        && length <= rewrite::MAX_BYTES
        && let is_page = kind.starts_with("text/html")
        && let Some(insertions) = known::insertions(&site.root, &path, is_page).await?
    {
        let mut version = Digest::new(&SHA256);
        for part in [rewrite::VERSION, &bundle, prefix.as_bytes()] {
            version.update(part);
        }
        let rewritten = Rewritten {
            file: Arc::new(file),
            length,
            insertions,
            texts: Arc::new(rewrite::texts(prefix)),
        };
        return Ok(Representation {
            length: rewritten.size(),
            content: Content::Rewritten(rewritten),
            etag: etag(version.finish().as_ref()),
            kind,
        });
    }
    Ok(Representation {
        length,
        etag: etag(&bundle),
        content: Content::File(file),
        kind,
    })
}

fn etag(digest: &[u8]) -> String {
    format!("\"{}\"", HEXLOWER.encode(&digest[..digest.len().min(16)]))
}

fn content_type(path: &Path) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    match kind.essence_str() {
        "application/javascript" => "text/javascript; charset=utf-8".to_owned(),
        text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        other => other.to_owned(),
    }
}

/// What the file is and how long it may be kept.
fn dress(response: &mut Response, path: &str, kind: &str) {
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
    let keep = if !kind.starts_with("text/html") && has_digest(path) {
        "private, max-age=31536000, immutable"
    } else {
        "private, no-cache"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
}

/// Whether bundlers have put a digest into the file's name, such as
/// `index-DiwrgTda.js` or `entry-0f3c…e1.js`: 8 or more characters after the
/// last `-` or `.` of the stem, not all of them letters of one case.
fn has_digest(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let Some((_, mark)) = stem.rsplit_once(['-', '.']) else {
        return false;
    };
    let plain = mark.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let digit = mark.bytes().any(|b| b.is_ascii_digit());
    let mixed = mark.bytes().any(|b| b.is_ascii_uppercase())
        && mark.bytes().any(|b| b.is_ascii_lowercase());
    mark.len() >= 8 && plain && (digit || mixed)
}

/// Keeps what the file does away from this server's origin.
fn wall_off(response: &mut Response, separation: &Separation) {
    let headers = response.headers_mut();
    let policy = match separation {
        Separation::Sandbox { .. } => {
            // Its documents ask with `Origin: null` for modules and fonts;
            // whoever holds the capability may read the answer.
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            SANDBOX
        }
        Separation::Host => OWN_HOST,
    };
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

fn frame_script() -> Response {
    let script = include_str!("../../../../assets/web/frame.js");
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "private, no-cache"),
        (CONTENT_SECURITY_POLICY, SANDBOX),
    ];
    (headers, script).into_response()
}

fn with_slash(parts: &Parts) -> Result<Response> {
    // Relative, so that it holds below any prefix that a proxy has taken off.
    let last = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let query = parts
        .uri
        .query()
        .map_or_else(String::new, |q| format!("?{q}"));
    redirect(&format!("./{last}/{query}"))
}

/// A redirect whose address no cache keeps and no other site is told.
pub(super) fn redirect(to: &str) -> Result<Response> {
    let to = HeaderValue::from_str(to).or_internal("redirect a browser")?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, to);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_digest_are_known() {
        for name in [
            "assets/index-DiwrgTda.js",
            "static/js/main.0f3c9a1b.js",
            "_expo/static/js/web/entry-9e107d9d372bb6826bd81d3542a419d6.js",
            "a-b_c4D5e6F.css",
        ] {
            assert!(has_digest(name), "{name}");
        }
        for name in [
            "index.html",
            "app.js",
            "my-component.js",
            "logo-background.png",
            "",
            "a/",
        ] {
            assert!(!has_digest(name), "{name}");
        }
    }
}
