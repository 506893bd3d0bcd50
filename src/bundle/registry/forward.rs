//! Asking a registry on behalf of an install: with the credential that belongs
//! to the address, which the install never sees, and with the operator's proxy
//! and CA file.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, LOCATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode};
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use super::dial::Dialer;
use super::policy::{Policy, Standing, literal};
use super::reading;
use super::refusal::{Reason, Refusal};
use super::tally::Tally;
use crate::bundle::npmrc::Npmrc;
use crate::net::tls;

pub(super) type Body = UnsyncBoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

const CONNECT: Duration = Duration::from_secs(10);
/// A registry that says nothing for this long will not.
const SILENCE: Duration = Duration::from_mins(1);
const MAX_HOPS: usize = 5;
/// What is told to a registry in one HTTP/2 window.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What belongs to a connection and not to a message (RFC 9110, 7.6.1), and
/// what an install has no use for.
const KEPT_BACK: [HeaderName; 13] = [
    CONNECTION,
    HOST,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("alt-svc"),
    HeaderName::from_static("cookie"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
];

pub(super) struct Forwarder {
    policy: Arc<Policy>,
    dialer: Arc<Dialer>,
    tally: Arc<Tally>,
    cafile: Option<PathBuf>,
    strict_ssl: bool,
    /// Made for the first request: most installs only need tunnels.
    client: OnceLock<Client>,
}

impl Forwarder {
    pub(super) fn new(
        npmrc: &Npmrc,
        policy: &Arc<Policy>,
        dialer: &Arc<Dialer>,
        tally: &Arc<Tally>,
    ) -> Self {
        Self {
            policy: Arc::clone(policy),
            dialer: Arc::clone(dialer),
            tally: Arc::clone(tally),
            cafile: npmrc.cafile(),
            strict_ssl: npmrc.strict_ssl(),
            client: OnceLock::new(),
        }
    }

    /// The answer to a request for `url`, whose host has been judged.
    pub(super) async fn forward(
        &self,
        request: Request<Incoming>,
        url: Url,
    ) -> Result<Response<Body>, Refusal> {
        let (parts, body) = request.into_parts();
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let credentialed = self.policy.credential(&url).is_some();
        let mut headers = if credentialed {
            reading::headers(&parts.headers)
        } else {
            passed_on(&parts.headers)
        };
        // That of another body than goes on: what reads goes without one.
        headers.remove(CONTENT_LENGTH);
        let mut body = (!reads).then(|| reqwest::Body::wrap_stream(self.counted(body)));
        let mut here = url;
        for _ in 0..=MAX_HOPS {
            if let Some(credential) = self.policy.credential(&here)
                && let Some(answer) = reading::beyond(&here, credential, reads)
            {
                return Ok(answer);
            }
            let mut asking = self
                .client(&here)?
                .request(parts.method.clone(), here.clone())
                .headers(headers.clone());
            if let Some(body) = body.take() {
                asking = asking.body(body);
            }
            if !headers.contains_key(AUTHORIZATION)
                && let Some(credential) = self.policy.credential(&here)
                && let Ok(mut value) = HeaderValue::from_str(&credential.authorization)
            {
                value.set_sensitive(true);
                asking = asking.header(AUTHORIZATION, value);
            }
            let response = asking.send().await.map_err(|e| refusal(&here, &e))?;
            let next = (credentialed && response.status().is_redirection())
                .then(|| next(&here, response.headers()))
                .flatten();
            let Some(next) = next else {
                return Ok(self.pass_back(response));
            };
            // What the install itself has said is for that registry alone.
            if next.origin() != here.origin() {
                headers.remove(AUTHORIZATION);
            }
            self.judge_redirect(&next).await?;
            here = next;
        }
        Ok(said(
            StatusCode::BAD_GATEWAY,
            "the registry redirects again and again",
        ))
    }

    /// A registry may send a download anywhere in public. Where the operator has
    /// named a registry, nobody has vouched for what else listens there.
    ///
    /// Names are judged when the client looks them up; addresses are not looked
    /// up.
    async fn judge_redirect(&self, url: &Url) -> Result<(), Refusal> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let standing = self.policy.standing_of_name(host);
        if standing == Standing::Named {
            self.policy.admit(host, port)?;
        }
        if literal(host).is_some() {
            self.dialer.addresses(host, port, standing).await?;
        }
        Ok(())
    }

    fn client(&self, url: &Url) -> Result<&Client, Refusal> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.make_client().map_err(|_| Refusal {
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            reason: Reason::Certificates,
        })?;
        Ok(self.client.get_or_init(|| client))
    }

    fn make_client(&self) -> Result<Client, Box<dyn StdError + Send + Sync>> {
        tls::choose_provider();
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .dns_resolver(Judged {
                policy: Arc::clone(&self.policy),
                dialer: Arc::clone(&self.dialer),
            })
            .tls_danger_accept_invalid_certs(!self.strict_ssl)
            .no_proxy();
        if let Some((upstream, beside)) = self.policy.whole_upstream() {
            let exceptions = reqwest::NoProxy::from_string(&beside);
            builder = builder.proxy(reqwest::Proxy::all(upstream.as_str())?.no_proxy(exceptions));
        }
        if let Some(cafile) = &self.cafile {
            let bundle = std::fs::read(cafile)?;
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&bundle)?);
        }
        Ok(builder.build()?)
    }

    fn pass_back(&self, response: reqwest::Response) -> Response<Body> {
        let (parts, body) = Response::<reqwest::Body>::from(response).into_parts();
        let body = StreamBody::new(self.counted(body).map_ok(Frame::data));
        let mut answer = Response::new(body.boxed_unsync());
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = passed_on(&parts.headers);
        answer
    }

    /// The same bytes, counted.
    fn counted<B>(
        &self,
        body: B,
    ) -> impl Stream<Item = Result<Bytes, Box<dyn StdError + Send + Sync>>> + Send + 'static
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let tally = Arc::clone(&self.tally);
        body.into_data_stream()
            .map_err(Into::into)
            .and_then(move |chunk| {
                let tally = Arc::clone(&tally);
                async move {
                    tally.count(chunk.len()).await?;
                    Ok(chunk)
                }
            })
    }
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in KEPT_BACK {
        headers.remove(name);
    }
    headers
}

/// Where a redirect leads, if not from https to http.
fn next(here: &Url, headers: &HeaderMap) -> Option<Url> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let next = here.join(location).ok()?;
    let fine = next.scheme() == here.scheme() || next.scheme() == "https";
    (fine && next.has_host()).then_some(next)
}

/// The reason that stands behind a client's error: our own, if it was one.
fn refusal(url: &Url, error: &reqwest::Error) -> Refusal {
    let mut reason = Reason::Unreachable;
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            reason = refusal.reason;
        }
        cause = error.source();
    }
    Refusal {
        host: url.host_str().unwrap_or_default().to_owned(),
        port: url.port_or_known_default().unwrap_or_default(),
        reason,
    }
}

/// The names of the client's connections, looked up and judged by the dialer.
struct Judged {
    policy: Arc<Policy>,
    dialer: Arc<Dialer>,
}

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let dialer = Arc::clone(&self.dialer);
        let standing = self.policy.standing_of_name(name.as_str());
        Box::pin(async move {
            let addresses = dialer.addresses(name.as_str(), 0, standing).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// An answer of our own, for whoever looks at the install's output.
pub(super) fn said(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let text = format!("{}\n", text.into());
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}
