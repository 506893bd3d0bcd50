//! The gate of one install: it opens before the install command and closes
//! after it, and nothing goes through that is under way then.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::authority::Authority;
use super::dial::Dialer;
use super::forward::Forwarder;
use super::listener::{Listener, Place};
use super::policy::Policy;
use super::tally::Tally;
use super::{Registries, serve};
use crate::bundle::log::BuildLog;
use crate::bundle::npmrc::{Npmrc, basic};
use crate::bundle::sandbox::WayOut;
use crate::error::{Context, Result};

/// What one install may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At a time; the next ones wait. Package managers open up to a hundred.
    pub connections: usize,
    /// Bytes, in both directions together.
    pub bytes: u64,
    /// How long a connection may lie still.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            bytes: 8 << 30,
            idle: Duration::from_mins(2),
        }
    }
}

/// An open gate; dropping it closes it, and ends every connection through it.
pub struct Gate {
    entrance: WayOut,
    pass: String,
    certificate: Option<String>,
    _open: DropGuard,
}

/// What the connections of one gate share.
pub(super) struct Shared {
    pub(super) policy: Arc<Policy>,
    pub(super) dialer: Arc<Dialer>,
    pub(super) forwarder: Forwarder,
    pub(super) authority: Option<Authority>,
    pub(super) tally: Arc<Tally>,
    pub(super) limits: Limits,
    pub(super) closed: CancellationToken,
    /// The digest of the one value of `Proxy-Authorization` that is let in.
    pass: [u8; 32],
}

impl Shared {
    pub(super) fn lets_in(&self, authorization: &[u8]) -> bool {
        digest(&SHA256, authorization).as_ref() == self.pass
    }
}

const USER: &str = "build";

impl Gate {
    /// # Errors
    /// `MISSING_DEPENDENCIES` when the operator's file cannot be used;
    /// `INTERNAL_ERROR`.
    pub async fn open(
        registries: &Registries,
        npmrc: &Npmrc,
        place: Place<'_>,
        log: &BuildLog,
    ) -> Result<Self> {
        let policy = Arc::new(Policy::new(npmrc, &registries.extra)?);
        let dialer = Arc::new(Dialer::new(
            Arc::clone(&policy),
            Arc::clone(&registries.resolver),
        ));
        let tally = Arc::new(Tally::new(log.clone(), registries.limits.bytes));
        let authority = if policy.has_credentials() {
            Some(Authority::new()?)
        } else {
            None
        };
        let pass = HEXLOWER.encode(&registries.random.bytes::<16>());
        let authorization = basic(USER, &pass);
        let certificate = authority.as_ref().map(|ca| ca.pem().to_owned());
        let closed = CancellationToken::new();
        let shared = Arc::new(Shared {
            forwarder: Forwarder::new(npmrc, &policy, &dialer, &tally),
            policy,
            dialer,
            authority,
            tally,
            limits: registries.limits,
            closed: closed.clone(),
            pass: digest(&SHA256, authorization.as_bytes())
                .as_ref()
                .try_into()
                .or_internal("digest the gate's pass")?,
        });
        let (listener, entrance) = Listener::open(place)
            .await
            .or_internal("open the registry proxy")?;
        tokio::spawn(serve::all(shared, listener));
        Ok(Self {
            entrance,
            pass,
            certificate,
            _open: closed.drop_guard(),
        })
    }

    /// Where the gate stands.
    #[must_use]
    pub fn entrance(&self) -> &WayOut {
        &self.entrance
    }

    /// The proxy's address for the package managers, when it is reached at that
    /// port of loopback. It holds the pass, which is worth nothing after the
    /// install.
    #[must_use]
    pub fn url(&self, port: u16) -> String {
        format!("http://{USER}:{}@127.0.0.1:{port}", self.pass)
    }

    /// The certificate, in PEM, that the install must believe: the proxy stands
    /// in for registries with credentials. `None` where there are none.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }
}
