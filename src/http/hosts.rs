//! By which names a server in local dev mode is reached.
//!
//! There everybody on the machine may register and show the server a folder. A
//! website that the developer looks at is kept out by the browser, unless its
//! name leads to this machine a moment later: then the browser takes both for
//! one site. What it cannot change is the name, which it sends along.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Url;

use super::AppState;
use super::error::ApiError;
use super::extract::request_host;
use crate::app::App;
use crate::domain::host::{without_brackets, without_port};
use crate::error::{Code, Error};

/// The middleware.
pub(super) async fn only_known(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let passes = match request_host(&app, &parts) {
        Some(host) => is_known(&app, &host),
        // What is no name of a host is none of ours.
        None => !parts.headers.contains_key(HOST) && parts.uri.authority().is_none(),
    };
    if passes {
        return next.run(Request::from_parts(parts, body)).await;
    }
    ApiError(Error::new(
        Code::Forbidden,
        "in local dev mode the server answers to localhost, to addresses and to names of the local \
         network, so that no website gets in by a name of its own; to use another name, set \
         BASE_URL to it",
    ))
    .into_response()
}

fn is_known(app: &App, host: &str) -> bool {
    let name = without_port(host).to_ascii_lowercase();
    let base = app.config.server.base_url.as_deref();
    let base = base.and_then(|base| Url::parse(base).ok());
    let is_base = base.is_some_and(|base| base.host_str() == Some(&*name));
    let previews = app.config.previews.host.as_deref();
    is_base || is_local(&name) || previews.is_some_and(|host| is_below(&name, host))
}

/// Whether nobody can give out this name on the internet.
fn is_local(name: &str) -> bool {
    let is_address = without_brackets(name).parse::<IpAddr>().is_ok();
    // Of one word: the machine's name. `.local` is multicast DNS (RFC 6762).
    is_address
        || !name.contains('.')
        || ["localhost", "local"].iter().any(|top| is_below(name, top))
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent)
        .is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_can_register_are_local() {
        let local = |host| is_local(without_port(host));
        for host in [
            "localhost:4000",
            "127.0.0.1:4000",
            "192.168.1.7",
            "[::1]:4000",
            "fe80::1",
            "app.localhost",
            "adas-mac.local:4000",
            "devbox",
        ] {
            assert!(local(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4000",
            "127.0.0.1.evil.example",
            "localhost:4000.evil.example",
            "[127.0.0.1",
            "localhost.evil.example",
            "evillocal.example",
            "com.",
        ] {
            assert!(!local(host), "{host}");
        }
    }
}
