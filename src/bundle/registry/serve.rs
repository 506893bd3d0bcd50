//! The proxy itself: one HTTP connection from an install (RFC 9110, 9.3.6 and
//! RFC 9112, 3.2).
//!
//! `CONNECT` is a tunnel that nobody looks into, except to registries with
//! credentials. Requests with a whole address, for registries that speak http,
//! are forwarded.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::forward::{Body, empty, said};
use super::gate::Shared;
use super::listener::{Listener, Stream};
use super::policy::Standing;
use super::refusal::Refusal;
use super::tunnel;

/// A request's head.
const MAX_HEAD: usize = 32 << 10;
/// The first byte of a TLS handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;
/// Before the next try when the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves the gate until it is closed.
pub(super) async fn all(shared: Arc<Shared>, listener: Listener) {
    let free = Arc::new(Semaphore::new(shared.limits.connections));
    let accepting = async {
        while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
            match listener.accept().await {
                Ok(stream) => {
                    let connection = Connection::new(&shared, permit);
                    tokio::spawn(connection.serve(stream));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shared.closed.cancelled() => {}
    }
}

/// A connection, and the tunnel that it may become.
#[derive(Clone)]
struct Connection {
    shared: Arc<Shared>,
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The other end of a tunnel.
#[derive(Clone)]
struct Destination {
    host: String,
    port: u16,
}

impl Connection {
    fn new(shared: &Arc<Shared>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            shared: Arc::clone(shared),
            _permit: Arc::new(permit),
        }
    }

    async fn serve(self, stream: Box<dyn Stream>) {
        let closed = self.shared.closed.clone();
        let idle = self.shared.limits.idle;
        let service = service_fn(move |request| {
            let connection = self.clone();
            async move { Ok::<_, Infallible>(connection.answer(request).await) }
        });
        let serving = http(idle)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::select! {
            _ = serving => {}
            () = closed.cancelled() => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let shown = request.headers().get(PROXY_AUTHORIZATION);
        if !shown.is_some_and(|value| self.shared.lets_in(value.as_bytes())) {
            let mut answer = said(
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
                "this proxy serves one install only, by the address that it was given",
            );
            let realm = HeaderValue::from_static("Basic realm=\"HiveSync\"");
            answer.headers_mut().insert(PROXY_AUTHENTICATE, realm);
            return answer;
        }
        let answer = if request.method() == Method::CONNECT {
            self.connect(request).await
        } else {
            self.fetch(request).await
        };
        match answer {
            Ok(answer) => answer,
            Err(refusal) => {
                self.shared.tally.tell(&refusal).await;
                let status = if refusal.is_ours() {
                    StatusCode::FORBIDDEN
                } else {
                    StatusCode::BAD_GATEWAY
                };
                said(status, refusal.to_string())
            }
        }
    }

    fn standing(&self, destination: &Destination) -> Result<Standing, Refusal> {
        let Destination { host, port } = destination;
        self.shared.policy.admit(host, *port)
    }

    async fn connect(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let destination = request.uri().authority().and_then(|authority| {
            Some(Destination {
                host: authority.host().to_ascii_lowercase(),
                port: authority.port_u16()?,
            })
        });
        let Some(destination) = destination else {
            return Ok(said(
                StatusCode::BAD_REQUEST,
                "CONNECT wants a host and a port",
            ));
        };
        let standing = self.standing(&destination)?;
        let upgrade = hyper::upgrade::on(&mut request);
        let policy = &self.shared.policy;
        let seen = ["https", "http"]
            .iter()
            .any(|scheme| policy.has_credentials_at(scheme, &destination.host, destination.port));
        if seen {
            tokio::spawn(self.clone().stand_in(upgrade, destination));
        } else {
            let dialer = &self.shared.dialer;
            let far = dialer
                .connect(&destination.host, destination.port, standing)
                .await?;
            tokio::spawn(self.clone().tunnel(upgrade, far));
        }
        Ok(Response::new(empty()))
    }

    async fn tunnel(self, upgrade: OnUpgrade, far: impl AsyncRead + AsyncWrite) {
        let Ok(near) = upgrade.await else { return };
        let joined = tunnel::join(
            TokioIo::new(near),
            far,
            &self.shared.tally,
            self.shared.limits.idle,
        );
        tokio::select! {
            () = joined => {}
            () = self.shared.closed.cancelled() => {}
        }
    }

    /// Speaks in the name of a registry that has credentials: over TLS where
    /// the install does, and plainly where it does not.
    async fn stand_in(self, upgrade: OnUpgrade, destination: Destination) {
        let closed = self.shared.closed.clone();
        let speaking = async {
            let mut near = BufReader::new(TokioIo::new(upgrade.await.ok()?));
            let first = near.fill_buf().await.ok()?.first().copied()?;
            if first == HANDSHAKE {
                let authority = self.shared.authority.as_ref()?;
                let config = authority.stand_in(&destination.host).ok()?;
                let near = TlsAcceptor::from(config).accept(near).await.ok()?;
                self.speak(near, "https", destination).await;
            } else {
                self.speak(near, "http", destination).await;
            }
            Some(())
        };
        tokio::select! {
            _ = speaking => {}
            () = closed.cancelled() => {}
        }
    }

    async fn speak(
        &self,
        near: impl AsyncRead + AsyncWrite + Unpin,
        scheme: &'static str,
        destination: Destination,
    ) {
        let service = service_fn(|request: Request<Incoming>| {
            let path = request.uri().path_and_query().map(ToString::to_string);
            let url = format!(
                "{scheme}://{}:{}{}",
                destination.host,
                destination.port,
                path.unwrap_or_default()
            );
            async move { Ok::<_, Infallible>(self.forward(request, &url).await) }
        });
        let serving = http(self.shared.limits.idle).serve_connection(TokioIo::new(near), service);
        let _ = pin!(serving).await;
    }

    async fn forward(&self, request: Request<Incoming>, url: &str) -> Response<Body> {
        let Ok(url) = Url::parse(url) else {
            return said(StatusCode::BAD_REQUEST, "this is no address");
        };
        match self.shared.forwarder.forward(request, url).await {
            Ok(answer) => answer,
            Err(refusal) => {
                self.shared.tally.tell(&refusal).await;
                said(StatusCode::BAD_GATEWAY, refusal.to_string())
            }
        }
    }

    /// A request with a whole address.
    async fn fetch(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let url = Url::parse(&request.uri().to_string()).ok();
        let destination = url.as_ref().and_then(|url| {
            Some(Destination {
                host: url.host_str()?.to_owned(),
                port: url.port_or_known_default()?,
            })
        });
        let (Some(url), Some(destination)) = (url, destination) else {
            return Ok(said(
                StatusCode::BAD_REQUEST,
                "this is a proxy: ask it for a whole address",
            ));
        };
        self.standing(&destination)?;
        self.shared.forwarder.forward(request, url).await
    }
}

fn http(idle: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(MAX_HEAD)
        .max_headers(100);
    builder
}
