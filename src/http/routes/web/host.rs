//! Web previews on hosts of their own, `PREVIEW_HOST=*.preview.example.com`:
//! `job-<26 characters>.preview.example.com` serves one of them at `/`, and
//! nothing of the API.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{ALLOW, COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Url;

use super::path::{decoded, locked, take_access};
use super::serve::{self, Separation, redirect};
use crate::app::App;
use crate::config::Secret;
use crate::domain::JobId;
use crate::domain::host::without_port;
use crate::error::{Code, Context, Error, Result};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::extract::{PublicUrl, request_host};
use crate::services::previews::{self, Reader, web};
use crate::services::token::{self, ACCESS_PREFIX};

/// Keeps the capability on the preview's own host, out of its scripts' reach.
const COOKIE_NAME: &str = "hivesync_access";
/// The same where there is TLS: what has this prefix is no other host's.
const SECURE_NAME: &str = "__Host-hivesync_access";

/// The middleware: takes the requests to hosts of previews, all of them.
pub async fn by_host(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let label = app.config.previews.host.as_deref().and_then(|host| {
        let asked = request_host(&app, &parts)?;
        label_below(&asked, host).map(ToOwned::to_owned)
    });
    match label {
        None => next.run(Request::from_parts(parts, body)).await,
        Some(label) => answer(&app, &mut parts, &label)
            .await
            .unwrap_or_else(|error| ApiError(error).into_response()),
    }
}

/// What stands before `.host` in `asked`, without its port.
fn label_below<'a>(asked: &'a str, host: &str) -> Option<&'a str> {
    let name = without_port(asked);
    let cut = name.len().checked_sub(host.len() + 1)?;
    let (label, rest) = (name.get(..cut)?, name.get(cut..)?);
    let below = rest.strip_prefix('.')?.eq_ignore_ascii_case(host);
    (below && !label.is_empty()).then_some(label)
}

/// `job-x` is `job_x`: a label has no underscore, and no upper case counts.
fn job_of(label: &str) -> Option<JobId> {
    JobId::from_str(&label.to_ascii_lowercase().replacen('-', "_", 1)).ok()
}

/// The preview's own origin, if previews have any.
pub(super) fn address(app: &App, base: &str, id: &JobId) -> Option<String> {
    let host = app.config.previews.host.as_deref()?;
    let base = Url::parse(base).ok()?;
    let label = id.as_str().replacen('_', "-", 1);
    let port = base.port().map_or_else(String::new, |p| format!(":{p}"));
    Some(format!("{}://{label}.{host}{port}", base.scheme()))
}

/// Where the bearer of `access` enters the preview's host.
pub(super) fn entry(origin: &str, file: &str, access: &str, query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "&" };
    format!("{origin}/{file}?access={access}{mark}{query}")
}

async fn answer(app: &AppState, parts: &mut Parts, label: &str) -> Result<Response> {
    let id = job_of(label)
        .ok_or_else(|| Error::new(Code::NotFound, "there is no preview at this host"))?;
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let error = Error::new(Code::MethodNotAllowed, "previews are only read");
        let mut response = ApiError(error).into_response();
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allow);
        return Ok(response);
    }
    let (asked, query) = take_access(parts.uri.query().unwrap_or_default());
    if let Some(access) = asked {
        let reader = Reader::Holder(access.clone());
        previews::open(app, &reader, &id).await?;
        return enter(app, parts, &access, &query).await;
    }
    let access = from_cookies(app, &parts.headers, &id).ok_or_else(locked)?;
    let site = web::site(app, &Reader::Holder(access), &id).await?;
    let file = decoded(parts.uri.path().trim_start_matches('/'))?;
    serve::serve(site, Separation::Host, file, parts).await
}

/// Swaps the capability in the address for a cookie of this host.
async fn enter(
    app: &AppState,
    parts: &mut Parts,
    access: &Secret,
    query: &str,
) -> Result<Response> {
    let base = PublicUrl::from_request_parts(parts, app)
        .await
        .map_err(|error| error.0)?
        .0;
    let (name, secure) = if base.starts_with("https:") {
        (SECURE_NAME, "; Secure")
    } else {
        (COOKIE_NAME, "")
    };
    let cookie = format!(
        "{name}={}; Path=/; HttpOnly; SameSite=Lax{secure}",
        access.expose()
    );
    // A path that begins with two slashes would name another host; to browsers
    // a backslash is one.
    let path = format!("/{}", parts.uri.path().trim_start_matches(['/', '\\']));
    let mark = if query.is_empty() { "" } else { "?" };
    let mut response = redirect(&format!("{path}{mark}{query}"))?;
    let cookie = HeaderValue::from_str(&cookie).or_internal("set a cookie")?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

/// The capability for the preview among the cookies, or any, to be refused with
/// the reason. The site on a neighbouring host may have set others for all hosts
/// of previews, which come first.
fn from_cookies(app: &App, headers: &HeaderMap, id: &JobId) -> Option<Secret> {
    let mut shown = cookies(headers);
    let secret = &app.config.secrets.preview_token;
    let own = shown
        .iter()
        .position(|access| token::opens(secret, id, access.expose()));
    (!shown.is_empty()).then(|| shown.swap_remove(own.unwrap_or(0)))
}

fn cookies(headers: &HeaderMap) -> Vec<Secret> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, value)| {
            matches!(*name, COOKIE_NAME | SECURE_NAME) && value.starts_with(ACCESS_PREFIX)
        })
        .map(|(_, value)| Secret::new(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_below_the_configured_one_are_previews() {
        let host = "preview.example.com";
        let label = |asked| label_below(asked, host);
        assert_eq!(label("job-1.preview.example.com"), Some("job-1"));
        assert_eq!(label("job-1.PREVIEW.example.com:4000"), Some("job-1"));
        for other in [
            "preview.example.com",
            ".preview.example.com",
            "example.com",
            "xpreview.example.com",
            "job-1.preview.example.com.evil.test",
            "[::1]:4000",
            "",
        ] {
            assert_eq!(label(other), None, "{other}");
        }
    }

    #[test]
    fn a_job_id_makes_the_round_trip_through_a_label() {
        let id = JobId::generate(
            &crate::clock::SystemEntropy::new(),
            crate::clock::Timestamp::default(),
        );
        let label = id.as_str().replacen('_', "-", 1);
        assert_eq!(job_of(&label), Some(id.clone()));
        assert_eq!(job_of(&label.to_ascii_uppercase()), Some(id));
        assert_eq!(job_of("www"), None);
    }

    #[test]
    fn the_cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        let value = "a=b; hivesync_access=acc_x; c=d; __Host-hivesync_access=acc_y";
        headers.insert(COOKIE, HeaderValue::from_static(value));
        let found: Vec<_> = cookies(&headers)
            .iter()
            .map(|access| access.expose().to_owned())
            .collect();
        assert_eq!(found, ["acc_x", "acc_y"]);
    }
}
