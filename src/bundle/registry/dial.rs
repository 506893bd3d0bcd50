//! Connecting to a host of the list: its name is looked up here, every address
//! is judged, and the connection goes to an address that was judged. So a name
//! that resolves differently a moment later leads nowhere else.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::policy::{Policy, Standing, literal};
use super::refusal::{Reason, Refusal};
use crate::bundle::npmrc::basic_of;
use crate::net::address::{self, DOCUMENTATION};
use crate::net::resolve::Resolver;

const CONNECT: Duration = Duration::from_secs(10);
/// What a proxy may say before it has connected us.
const MAX_HEAD: usize = 8 << 10;

/// Finds and judges addresses.
pub(super) struct Dialer {
    policy: Arc<Policy>,
    resolver: Arc<dyn Resolver>,
}

impl Dialer {
    pub(super) fn new(policy: Arc<Policy>, resolver: Arc<dyn Resolver>) -> Self {
        Self { policy, resolver }
    }

    /// The addresses of `host`, if every single one may be spoken to.
    pub(super) async fn addresses(
        &self,
        host: &str,
        port: u16,
        standing: Standing,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let refusal = |reason| Refusal {
            host: host.to_owned(),
            port,
            reason,
        };
        let addresses = match literal(host) {
            Some(ip) => vec![SocketAddr::new(ip, port)],
            None => timeout(CONNECT, self.resolver.resolve(host, port))
                .await
                .ok()
                .and_then(Result::ok)
                .filter(|addresses| !addresses.is_empty())
                .ok_or_else(|| refusal(Reason::Unknown))?,
        };
        for address in &addresses {
            let judged = match standing {
                Standing::Named => address::check_named(address.ip()),
                Standing::Listed => match address::check(address.ip()) {
                    Err(DOCUMENTATION) => Ok(()),
                    judged => judged,
                },
            };
            judged.map_err(|kind| refusal(Reason::Address(kind)))?;
        }
        Ok(addresses)
    }

    /// A connection to a host that has that standing.
    pub(super) async fn connect(
        &self,
        host: &str,
        port: u16,
        standing: Standing,
    ) -> Result<TcpStream, Refusal> {
        if let Some(upstream) = self.policy.upstream(host) {
            return self.connect_through(upstream, host, port).await;
        }
        let addresses = self.addresses(host, port, standing).await?;
        first_of(&addresses).await.ok_or_else(|| Refusal {
            host: host.to_owned(),
            port,
            reason: Reason::Unreachable,
        })
    }

    /// Through the operator's proxy, which looks the name up itself.
    async fn connect_through(
        &self,
        upstream: &Url,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, Refusal> {
        let refusal = || Refusal {
            host: host.to_owned(),
            port,
            reason: Reason::Upstream,
        };
        let (name, at) = (
            upstream.host_str().unwrap_or_default(),
            upstream.port_or_known_default().unwrap_or(80),
        );
        let addresses = self.addresses(name, at, Standing::Named).await?;
        let mut stream = first_of(&addresses).await.ok_or_else(refusal)?;
        timeout(CONNECT, shake_hands(&mut stream, upstream, host, port))
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(refusal)?;
        Ok(stream)
    }
}

async fn first_of(addresses: &[SocketAddr]) -> Option<TcpStream> {
    for address in addresses {
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
            let _ = stream.set_nodelay(true);
            return Some(stream);
        }
    }
    None
}

/// Asks a proxy for a connection (RFC 9110, 9.3.6).
async fn shake_hands(
    stream: &mut TcpStream,
    upstream: &Url,
    host: &str,
    port: u16,
) -> io::Result<()> {
    let mut question = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(authorization) = basic_of(upstream) {
        let _ = write!(question, "Proxy-Authorization: {authorization}\r\n");
    }
    question.push_str("\r\n");
    stream.write_all(question.as_bytes()).await?;
    // Byte by byte: what comes after the head is the tunnel's.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    let accepted = head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.0 200");
    if accepted {
        Ok(())
    } else {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}
