//! Why something was not fetched for an install, in a sentence for whoever
//! reads the build log.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nobody says that this host may be reached.
    NotListed,
    /// It may, and its name leads to such an address.
    Address(&'static str),
    Unknown,
    Unreachable,
    /// The operator's own proxy did not connect us.
    Upstream,
    /// There is nothing to check a registry's certificate with.
    Certificates,
}

#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) reason: Reason,
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// Refused by us, as opposed to a host that does not answer.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.reason, Reason::NotListed | Reason::Address(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, reason } = self;
        match reason {
            Reason::NotListed => write!(
                f,
                "the install tried to reach {host}:{port}, which is not on this server's list of \
                 package registries; the operator can add it to BUILD_REGISTRIES, or to \
                 BUILD_NPMRC if it is a registry"
            ),
            Reason::Address(kind) => write!(
                f,
                "the install tried to reach {host}:{port}, whose address is {kind}; only a \
                 registry that the operator's BUILD_NPMRC names may lie there"
            ),
            Reason::Unknown => write!(
                f,
                "the host {host} cannot be found; check its name and the server's DNS"
            ),
            Reason::Unreachable => write!(f, "{host}:{port} cannot be reached from this server"),
            Reason::Certificates => write!(
                f,
                "the certificate of {host} cannot be checked: the server has no usable root \
                 certificates; the operator must install ca-certificates, or mend the `cafile` of \
                 BUILD_NPMRC"
            ),
            Reason::Upstream => write!(
                f,
                "{host}:{port} cannot be reached through the proxy that BUILD_NPMRC names"
            ),
        }
    }
}
