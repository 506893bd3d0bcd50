//! Where a request comes from and by what address it reached us. What a proxy
//! says is believed only from `TRUSTED_PROXIES`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use ipnet::IpNet;

use crate::app::App;
use crate::domain::host::without_brackets;
use crate::error::Result;
use crate::http::AppState;
use crate::http::error::ApiError;

/// The other end of the connection, put into each request by the server;
/// `None` on the Unix socket.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub Option<SocketAddr>);

/// Put into a request by the server when its address has too many under way:
/// it is refused like any other, and not served.
#[derive(Clone, Copy, Debug)]
pub struct Crowded;

impl Peer {
    fn of(parts: &Parts) -> Option<IpAddr> {
        let peer = parts.extensions.get::<Peer>().and_then(|p| p.0)?;
        Some(peer.ip().to_canonical())
    }
}

/// The client's address, for rate limits: the last address of
/// `X-Forwarded-For` that is not a trusted proxy, if the peer is one.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddr(pub IpAddr);

impl FromRequestParts<AppState> for ClientAddr {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let peer = Peer::of(parts).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let trusted = &app.config.server.trusted_proxies;
        Ok(Self(client(peer, &parts.headers, trusted)))
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let hops = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    let mut client = peer;
    // From the nearest hop outwards, as far as the chain is trusted.
    for hop in hops.collect::<Vec<_>>().into_iter().rev() {
        let Some(address) = hop_address(hop.trim()) else {
            break;
        };
        client = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    client
}

/// An address, with or without a port, as proxies write it.
fn hop_address(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|a| a.ip()))
        .or_else(|_| without_brackets(text).parse::<IpAddr>());
    address.ok().map(|a| a.to_canonical())
}

/// The base of links to this server, without a trailing slash: `BASE_URL`,
/// else what the request says (through a trusted proxy, what that says), else
/// the address the server listens at.
#[derive(Clone, Debug)]
pub struct PublicUrl(pub String);

impl FromRequestParts<AppState> for PublicUrl {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        Ok(Self(public_url(app, parts)))
    }
}

/// See [`PublicUrl`].
#[must_use]
pub fn public_url(app: &App, parts: &Parts) -> String {
    if let Some(base) = &app.config.server.base_url {
        return base.clone();
    }
    let proxied =
        Peer::of(parts).is_some_and(|peer| is_trusted(peer, &app.config.server.trusted_proxies));
    from_request(parts, proxied).unwrap_or_else(|| app.listening_url())
}

/// `base` as a phone in the same network can reach it: an address of this
/// machine alone is replaced by the one of its default route.
#[must_use]
pub fn phone_url(app: &App, base: &str) -> String {
    let everywhere = app.config.server.bind.is_unspecified();
    let Ok(mut url) = url::Url::parse(base) else {
        return base.to_owned();
    };
    let only_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if !(everywhere && only_here && app.config.server.base_url.is_none()) {
        return base.to_owned();
    }
    match default_route() {
        Some(address) if url.set_ip_host(address).is_ok() => {
            url.as_str().trim_end_matches('/').to_owned()
        }
        _ => base.to_owned(),
    }
}

/// This machine's address towards the world. Connecting a UDP socket asks the
/// routing table and sends nothing.
fn default_route() -> Option<IpAddr> {
    // TEST-NET-1 (RFC 5737): never somebody's network.
    const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

/// The host that the client asked for, perhaps with a port.
#[must_use]
pub fn request_host(app: &App, parts: &Parts) -> Option<String> {
    let proxied =
        Peer::of(parts).is_some_and(|peer| is_trusted(peer, &app.config.server.trusted_proxies));
    host_of(parts, proxied).map(ToOwned::to_owned)
}

/// The first value of a header that only a proxy may set.
fn forwarded<'a>(parts: &'a Parts, proxied: bool, name: &str) -> Option<&'a str> {
    let value = parts.headers.get(name)?.to_str().ok()?;
    proxied.then(|| value.split(',').next().unwrap_or_default().trim())
}

fn host_of(parts: &Parts, proxied: bool) -> Option<&str> {
    forwarded(parts, proxied, "x-forwarded-host")
        .or_else(|| {
            parts
                .uri
                .authority()
                .map(axum::http::uri::Authority::as_str)
        })
        .or_else(|| parts.headers.get(header::HOST)?.to_str().ok())
        .filter(|host| is_authority(host))
}

fn from_request(parts: &Parts, proxied: bool) -> Option<String> {
    let scheme = match forwarded(parts, proxied, "x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let host = host_of(parts, proxied)?;
    let prefix = forwarded(parts, proxied, "x-forwarded-prefix")
        .map(|p| p.trim_end_matches('/'))
        .filter(|p| is_prefix(p))
        .unwrap_or_default();
    Some(format!("{scheme}://{host}{prefix}"))
}

/// A host and perhaps a port, and nothing that would change a link's meaning.
fn is_authority(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
        })
}

fn is_prefix(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn parts(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn only_a_trusted_peer_tells_the_client() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a network")];
        let headers = parts(&[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.9")]).headers;
        assert_eq!(client(ip("10.0.0.1"), &headers, &trusted), ip("1.2.3.4"));
        assert_eq!(client(ip("9.9.9.9"), &headers, &trusted), ip("9.9.9.9"));
        let junk = parts(&[("x-forwarded-for", "1.2.3.4, junk")]).headers;
        assert_eq!(client(ip("10.0.0.1"), &junk, &trusted), ip("10.0.0.1"));
    }

    #[test]
    fn links_follow_the_proxy_only_when_trusted() {
        let request = parts(&[
            ("host", "inner:4000"),
            ("x-forwarded-host", "preview.example.com"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/hive/"),
        ]);
        assert_eq!(
            from_request(&request, true).as_deref(),
            Some("https://preview.example.com/hive")
        );
        assert_eq!(
            from_request(&request, false).as_deref(),
            Some("http://inner:4000")
        );
        for host in ["evil/path", "a@b", "x\"y", ""] {
            assert_eq!(
                from_request(&parts(&[("host", host)]), false),
                None,
                "{host}"
            );
        }
    }
}
