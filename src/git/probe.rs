//! Finding out where a linked repository really lies, before git is sent
//! there: redirects are followed here, hop by hop, and every hop's host is
//! resolved and judged here. Git is then given the final URL and the addresses
//! that were judged, so a name that resolves differently a moment later leads
//! nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode};

use super::credential::Credential;
use super::refname;
use super::url::Remote;
use crate::error::{Code, Context, Error};
use crate::net::resolve::Resolver;
use crate::net::tls;

const MAX_HOPS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HOP_TIMEOUT: Duration = Duration::from_secs(30);
/// What git asks a smart server first (gitprotocol-http(5)).
const DISCOVERY: &str = "/info/refs";
const SERVICE: &str = "service=git-upload-pack";
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
/// Enough for the first ref and the capabilities behind it.
const ADVERTISEMENT_READ: usize = 16 << 10;

/// Why a repository could not be fetched, and whether a later try may.
#[derive(Debug)]
pub struct FetchError {
    pub error: Error,
    pub transient: bool,
}

impl FetchError {
    pub(super) fn last(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self {
            error: Error::new(Code::SourceUnavailable, message),
            transient: false,
        }
    }

    pub(super) fn passing(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self {
            error: Error::new(Code::SourceUnavailable, message),
            transient: true,
        }
    }
}

/// What we refuse, and what is broken on our side.
impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        Self {
            transient: error.code.retryable(),
            error,
        }
    }
}

/// Where the repository lies, found and judged.
pub(super) struct Target {
    pub(super) remote: Remote,
    /// Empty when the URL's host is an address itself.
    pub(super) addresses: Vec<SocketAddr>,
    /// The branch that the remote's HEAD points to.
    pub(super) head: Option<String>,
}

pub(super) struct Probe<'a> {
    pub(super) allowed_hosts: &'a [String],
    pub(super) resolver: &'a Arc<dyn Resolver>,
    pub(super) credential: Option<&'a Credential>,
}

impl Probe<'_> {
    pub(super) async fn find(&self, start: &Remote) -> Result<Target, FetchError> {
        let mut here = start.clone();
        for _ in 0..MAX_HOPS {
            let addresses = self.resolve(&here).await?;
            // Told to the host it was given for, and to no other.
            let credential = self.credential.filter(|_| here.same_origin(start));
            let response = ask(&here, &addresses, credential).await?;
            if response.status().is_redirection() {
                here = self.next(&here, &response)?;
                continue;
            }
            let login = match (self.credential, credential) {
                (None, _) => Login::None,
                (Some(_), None) => Login::Withheld,
                (Some(_), Some(_)) => Login::Shown,
            };
            check_answer(&response, &here, login)?;
            let head = advertised_head(response).await;
            return Ok(Target {
                remote: here,
                addresses,
                head,
            });
        }
        Err(FetchError::last(format!(
            "the repository's URL redirects more than {MAX_HOPS} times; give its final URL"
        )))
    }

    /// The addresses of the host, if every single one may be spoken to.
    async fn resolve(&self, remote: &Remote) -> Result<Vec<SocketAddr>, FetchError> {
        if let Some(ip) = remote.literal() {
            remote.check_address(ip)?;
            return Ok(Vec::new());
        }
        let (host, port) = (remote.host(), remote.port());
        let unknown = || {
            FetchError::passing(format!(
                "the host {host} cannot be found; check the repository's URL and the server's DNS"
            ))
        };
        let addresses = tokio::time::timeout(CONNECT_TIMEOUT, self.resolver.resolve(host, port))
            .await
            .map_err(|_| unknown())?
            .map_err(|cause| FetchError {
                error: unknown().error.caused_by(cause),
                transient: true,
            })?;
        if addresses.is_empty() {
            return Err(unknown());
        }
        for address in &addresses {
            remote.check_address(address.ip())?;
        }
        Ok(addresses)
    }

    /// Where a redirect leads. Only to another place of the same question, as
    /// git itself demands: else it is no repository that has moved.
    fn next(&self, here: &Remote, response: &Response) -> Result<Remote, FetchError> {
        let astray = || {
            FetchError::last(format!(
                "{} redirects to something that is not a repository; check the URL",
                here.host()
            ))
        };
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(astray)?;
        let mut url = question(here)?.join(location).map_err(|_| astray())?;
        if url.query() != Some(SERVICE) {
            return Err(astray());
        }
        let base = url.path().strip_suffix(DISCOVERY).ok_or_else(astray)?;
        let base = base.to_owned();
        url.set_path(&base);
        url.set_query(None);
        url.set_fragment(None);
        let next = Remote::of(url, self.allowed_hosts).map_err(|error| {
            let message = format!("{} redirects elsewhere: {}", here.host(), error.message);
            Error::invalid("source.url", message)
        })?;
        Ok(next)
    }
}

/// The URL that git will ask first.
fn question(remote: &Remote) -> Result<url::Url, FetchError> {
    let base = remote.as_str().trim_end_matches('/');
    url::Url::parse(&format!("{base}{DISCOVERY}?{SERVICE}"))
        .or_internal("make a repository's discovery URL")
        .map_err(FetchError::from)
}

async fn ask(
    remote: &Remote,
    addresses: &[SocketAddr],
    credential: Option<&Credential>,
) -> Result<Response, FetchError> {
    let mut request = client(remote, addresses)?.get(question(remote)?);
    if let Some(credential) = credential {
        let mut value = HeaderValue::from_str(&credential.basic())
            .or_internal("make an Authorization header")?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.send().await.map_err(|cause| FetchError {
        error: Error::new(
            Code::SourceUnavailable,
            format!(
                "{} cannot be reached over {}; see that it answers and that its certificate is valid",
                remote.host(),
                remote.url().scheme()
            ),
        )
        .caused_by(cause.without_url()),
        transient: true,
    })
}

/// A client for one hop: it goes to these addresses and follows nothing.
fn client(remote: &Remote, addresses: &[SocketAddr]) -> Result<Client, Error> {
    tls::choose_provider();
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .referer(false)
        // Some hosts answer git only.
        .user_agent("git/2.39 (HiveSync)")
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(HOP_TIMEOUT);
    if !addresses.is_empty() {
        builder = builder.resolve_to_addrs(remote.host(), addresses);
    }
    if remote.url().scheme() == "http" {
        // Without this a machine without root certificates could not go on.
        builder = builder.tls_certs_only(std::iter::empty());
    }
    builder.build().map_err(|cause| {
        Error::new(
            Code::SourceUnavailable,
            "no root certificates are found for https; install ca-certificates or set SSL_CERT_FILE",
        )
        .caused_by(cause)
    })
}

/// Whether a host was shown the stored credential.
#[derive(Clone, Copy)]
enum Login {
    None,
    /// There is one, for another host.
    Withheld,
    Shown,
}

fn check_answer(response: &Response, remote: &Remote, login: Login) -> Result<(), FetchError> {
    let host = remote.host();
    let status = response.status();
    match status {
        StatusCode::OK => {
            let smart = response
                .headers()
                .get(CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes() == ADVERTISEMENT.as_bytes());
            if smart {
                return Ok(());
            }
            Err(FetchError::last(format!(
                "{host} answers, but not as a git repository; check the URL, which usually ends in .git"
            )))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(FetchError::last(match login {
            Login::None => format!(
                "{host} wants a login for this repository; set source.credential to a user name and an \
                 access token that may read it"
            ),
            Login::Withheld => format!(
                "the repository's URL leads on to {host}, which was not shown the credential of another \
                 host; set the source to the final URL"
            ),
            Login::Shown => format!(
                "{host} refuses the stored credential; set source.credential anew, with an access \
                 token that may read the repository"
            ),
        })),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(FetchError::last(format!(
            "{host} has no such repository, or does not show it without a credential; check the URL"
        ))),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(FetchError::passing(format!(
                "{host} asks to come back later (status {})",
                status.as_u16()
            )))
        }
        _ if status.is_server_error() => Err(FetchError::passing(format!(
            "{host} has a fault of its own (status {}); try again later",
            status.as_u16()
        ))),
        _ => Err(FetchError::last(format!(
            "{host} answers with status {}, which no git repository does; check the URL",
            status.as_u16()
        ))),
    }
}

/// `symref=HEAD:refs/heads/…` among the capabilities (gitprotocol-pack(5));
/// absent from an empty repository. No other line can hold the text, because a
/// ref's name has no colon.
async fn advertised_head(response: Response) -> Option<String> {
    let mut start = Vec::new();
    let mut body = response.bytes_stream();
    while start.len() < ADVERTISEMENT_READ {
        let Some(Ok(chunk)) = body.next().await else {
            break;
        };
        start.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&start);
    let (_, rest) = text.split_once("symref=HEAD:refs/heads/")?;
    let branch = rest.split([' ', '\n', '\0']).next()?;
    refname::is_valid(branch).then(|| branch.to_owned())
}
