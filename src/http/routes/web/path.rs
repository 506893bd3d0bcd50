//! `/p/{job_id}/…`: web previews on the server's own host.

use std::str::FromStr;

use axum::extract::{OriginalUri, State};
use axum::http::request::Parts;
use axum::response::Response;
use url::form_urlencoded;

use super::host;
use super::rewrite::percent_decode;
use super::serve::{self, Separation, redirect};
use crate::config::Secret;
use crate::domain::JobId;
use crate::error::{Code, Context, Error, Result};
use crate::http::AppState;
use crate::http::error::ApiResult;
use crate::http::extract::{PublicUrl, job};
use crate::http::pages::Frame;
use crate::services::previews::{self, Reader, web};

/// Between the job's id and the capability in a preview's first segment.
const MARK: char = '~';

/// A segment and what lies below it, as they stand in an address.
struct Address<'a> {
    segment: &'a str,
    id: JobId,
    access: Option<Secret>,
    /// Without its leading slash, still encoded.
    file: &'a str,
}

impl<'a> Address<'a> {
    fn parse(path: &'a str) -> Result<Self> {
        let below = path.strip_prefix("/p/").unwrap_or_default();
        let (segment, file) = below.split_once('/').unwrap_or((below, ""));
        let (id, access) = match segment.split_once(MARK) {
            Some((id, access)) => (id, Some(Secret::new(access))),
            None => (segment, None),
        };
        Ok(Self {
            segment,
            id: JobId::from_str(id).map_err(|_| previews::not_found(id))?,
            access,
            file,
        })
    }

    /// The address below which the bearer of `access` may stay.
    fn with_access(&self, prefix: &str, access: &str, query: &str) -> String {
        let (id, file) = (&self.id, self.file);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{prefix}/p/{id}{MARK}{access}/{file}{mark}{query}")
    }
}

/// `/p/x` → `/p/x/`, so that relative addresses lie below it.
pub(super) async fn add_slash(OriginalUri(uri): OriginalUri) -> ApiResult<Response> {
    let segment = uri.path().rsplit('/').next().unwrap_or_default();
    let query = uri.query().map_or_else(String::new, |q| format!("?{q}"));
    Ok(redirect(&format!("./{segment}/{query}"))?)
}

pub(super) async fn serve(
    State(app): State<AppState>,
    PublicUrl(base): PublicUrl,
    mut parts: Parts,
) -> ApiResult<Response> {
    let uri = parts.uri.clone();
    let address = Address::parse(uri.path())?;
    let prefix = Frame::new(base.clone()).prefix;
    let (asked, query) = take_access(uri.query().unwrap_or_default());
    if let Some(access) = asked.as_ref().or(address.access.as_ref()) {
        let reader = Reader::Holder(access.clone());
        // Refused here, before an address is made of what may be anything.
        previews::open(&app, &reader, &address.id).await?;
        if let Some(own) = host::address(&app, &base, &address.id) {
            let to = host::entry(&own, address.file, access.expose(), &query);
            return Ok(redirect(&to)?);
        }
        if asked.is_some() {
            let to = address.with_access(&prefix, access.expose(), &query);
            return Ok(redirect(&to)?);
        }
    }
    let reader = match address.access {
        Some(access) => Reader::Holder(access),
        None => job::reader(&mut parts, &app).await?,
    };
    let site = web::site(&app, &reader, &address.id).await?;
    let separation = Separation::Sandbox {
        prefix: format!("{prefix}/p/{}/", address.segment),
    };
    let file = decoded(address.file)?;
    Ok(serve::serve(site, separation, file, &parts).await?)
}

/// The path within the site.
pub(super) fn decoded(file: &str) -> Result<String> {
    percent_decode(file).or_code(Code::BadRequest, "read the address: it is not UTF-8")
}

/// Takes `access` out of a query, so that it does not stay in the address.
pub(super) fn take_access(query: &str) -> (Option<Secret>, String) {
    let mut access = None;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "access" {
            access = Some(Secret::new(value));
        } else {
            rest.append_pair(&name, &value);
        }
    }
    match access {
        Some(access) => (Some(access), rest.finish()),
        None => (None, query.to_owned()),
    }
}

/// Somebody asks for a preview without showing anything.
pub(super) fn locked() -> Error {
    Error::new(
        Code::Unauthenticated,
        "this preview opens with its access token; follow the link of the preview's page",
    )
}
