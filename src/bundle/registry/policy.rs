//! What an install may reach: a list of hosts, and who vouches for each; the
//! credentials that belong to some of them; the operator's own proxy.

use std::net::{IpAddr, Ipv6Addr};

use url::Url;

use super::refusal::{Reason, Refusal};
use crate::bundle::npmrc::{Credential, Npmrc};
use crate::domain::host::{split_port, without_brackets};
use crate::error::Result;

/// The public registries of npm packages, whose tarballs lie at the same
/// hosts. Yarn's is another name of npm's; lockfiles have either.
const PUBLIC: [&str; 3] = ["registry.npmjs.org", "registry.yarnpkg.com", "npm.jsr.io"];

/// Who says that a host may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The built-in list, or `BUILD_REGISTRIES`: at public addresses only.
    Listed,
    /// The operator's `BUILD_NPMRC` has the address of a registry there, which
    /// may lie in the operator's own network.
    Named,
}

pub(super) struct Policy {
    listed: Vec<(String, u16)>,
    named: Vec<Url>,
    credentials: Vec<Credential>,
    upstream: Option<Url>,
    no_proxy: Vec<String>,
}

impl Policy {
    /// # Errors
    /// `MISSING_DEPENDENCIES` when the operator's file cannot be used.
    pub(super) fn new(npmrc: &Npmrc, extra: &[String]) -> Result<Self> {
        let public = PUBLIC.map(|host| (host.to_owned(), 443));
        Ok(Self {
            listed: public
                .into_iter()
                .chain(extra.iter().map(|text| host_and_port(text)))
                .collect(),
            named: npmrc.registries()?,
            credentials: npmrc.credentials()?,
            upstream: npmrc.upstream()?,
            no_proxy: npmrc.no_proxy(),
        })
    }

    /// `None`: nobody says so. `host` is in lower case, an IPv6 address in
    /// brackets.
    pub(super) fn standing(&self, host: &str, port: u16) -> Option<Standing> {
        let named = self.named.iter().any(|url| is_at(url, host, port))
            || self
                .credentials
                .iter()
                .any(|credential| credential.is_at("https", host, port));
        if named {
            return Some(Standing::Named);
        }
        let listed = self
            .listed
            .iter()
            .any(|(known, at)| known == host && *at == port);
        listed.then_some(Standing::Listed)
    }

    /// As [`Policy::standing`], where nobody's word is a refusal.
    pub(super) fn admit(&self, host: &str, port: u16) -> Result<Standing, Refusal> {
        self.standing(host, port).ok_or_else(|| Refusal {
            host: host.to_owned(),
            port,
            reason: Reason::NotListed,
        })
    }

    /// How the addresses of `host` are judged, whatever the port.
    pub(super) fn standing_of_name(&self, host: &str) -> Standing {
        let named = self.named.iter().chain(&self.upstream);
        let named = named.filter_map(Url::host_str).any(|name| name == host)
            || self
                .credentials
                .iter()
                .any(|credential| host_and_port(&credential.host).0 == host);
        if named {
            Standing::Named
        } else {
            Standing::Listed
        }
    }

    /// Whether requests to this place must be seen, because some of them get a
    /// credential.
    pub(super) fn has_credentials_at(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.credentials
            .iter()
            .any(|credential| self.applies(credential, scheme, host, port))
    }

    pub(super) fn has_credentials(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// The credential for a URL: that of the longest path, as npm chooses.
    pub(super) fn credential(&self, url: &Url) -> Option<&Credential> {
        let host = url.host_str()?;
        let port = url.port_or_known_default()?;
        self.credentials
            .iter()
            .filter(|credential| self.applies(credential, url.scheme(), host, port))
            .filter(|credential| format!("{}/", url.path()).starts_with(&credential.path))
            .max_by_key(|credential| credential.path.len())
    }

    /// A credential is said in the clear only where the operator has named a
    /// registry with an http address.
    fn applies(&self, credential: &Credential, scheme: &str, host: &str, port: u16) -> bool {
        let clear = || {
            self.named
                .iter()
                .any(|url| url.scheme() == "http" && is_at(url, host, port))
        };
        credential.is_at(scheme, host, port) && (scheme == "https" || clear())
    }

    /// The operator's proxy, for hosts that are to be asked through it.
    pub(super) fn upstream(&self, host: &str) -> Option<&Url> {
        let beside = self.no_proxy.iter().any(|name| {
            host.strip_suffix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        self.upstream.as_ref().filter(|_| !beside)
    }

    /// The whole of it, for a client that asks for itself.
    pub(super) fn whole_upstream(&self) -> Option<(&Url, String)> {
        let url = self.upstream.as_ref()?;
        Some((url, self.no_proxy.join(",")))
    }
}

fn is_at(url: &Url, host: &str, port: u16) -> bool {
    url.host_str() == Some(host) && url.port_or_known_default() == Some(port)
}

/// `host:port` in its parts; 443 where there is no port.
fn host_and_port(text: &str) -> (String, u16) {
    let (host, port) = split_port(text);
    let port = port.and_then(|port| port.parse().ok()).unwrap_or(443);
    let host = match host.parse::<Ipv6Addr>() {
        // As addresses have it.
        Ok(_) => format!("[{host}]"),
        Err(_) => host.to_owned(),
    };
    (host, port)
}

/// The address that `host` is, when it is one and no name.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    without_brackets(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        let extra = ["nodejs.org".to_owned(), "mirror.example:8443".to_owned()];
        Policy::new(&Npmrc::of(text), &extra).unwrap()
    }

    #[test]
    fn the_public_registries_and_the_operators_are_reached_and_nothing_else() {
        let policy = policy(
            "registry=http://npm.lan:4873/\n@a:registry=https://a.example/x/\n\
             //b.example/:_authToken=t\n",
        );
        for (host, port, standing) in [
            ("registry.npmjs.org", 443, Some(Standing::Listed)),
            ("registry.yarnpkg.com", 443, Some(Standing::Listed)),
            ("nodejs.org", 443, Some(Standing::Listed)),
            ("mirror.example", 8443, Some(Standing::Listed)),
            ("npm.lan", 4873, Some(Standing::Named)),
            ("a.example", 443, Some(Standing::Named)),
            ("b.example", 443, Some(Standing::Named)),
            ("registry.npmjs.org", 80, None),
            ("mirror.example", 443, None),
            ("npm.lan", 443, None),
            ("npm.lan", 22, None),
            ("localhost", 443, None),
            ("127.0.0.1", 4873, None),
            ("evil-registry.npmjs.org", 443, None),
            ("registry.npmjs.org.", 443, None),
        ] {
            assert_eq!(policy.standing(host, port), standing, "{host}:{port}");
        }
        assert_eq!(policy.standing_of_name("npm.lan"), Standing::Named);
        assert_eq!(policy.standing_of_name("nodejs.org"), Standing::Listed);
    }

    #[test]
    fn a_credential_is_said_only_below_its_own_address() {
        let policy = policy(
            "registry=http://npm.lan:4873/\n//npm.lan:4873/:_authToken=lan\n\
             //git.example/api/v4/packages/npm/:_authToken=git\n\
             //git.example/api/v4/packages/npm/inner/:_authToken=inner\n",
        );
        let said = |url: &str| {
            let credential = policy.credential(&Url::parse(url).unwrap())?;
            credential.authorization.strip_prefix("Bearer ")
        };
        for (url, token) in [
            ("http://npm.lan:4873/ms", Some("lan")),
            (
                "https://git.example/api/v4/packages/npm/@a%2fb",
                Some("git"),
            ),
            ("https://git.example/api/v4/packages/npm", Some("git")),
            (
                "https://git.example/api/v4/packages/npm/inner/x",
                Some("inner"),
            ),
            ("https://git.example/api/v4/packages/npmx", None),
            ("https://git.example/api/v4/packages/npm/../user", None),
            ("https://git.example/api/v4/packages/npm/%2e%2e/user", None),
            ("https://git.example/api/v4/user", None),
            ("http://git.example/api/v4/packages/npm/x", None),
            ("https://git.example:8443/api/v4/packages/npm/x", None),
            ("https://npm.lan/ms", None),
            ("https://other.example/", None),
        ] {
            assert_eq!(said(url), token, "{url}");
        }
        assert!(policy.has_credentials_at("http", "npm.lan", 4873));
        assert!(!policy.has_credentials_at("http", "git.example", 80));
    }

    #[test]
    fn hosts_beside_the_operators_proxy_are_asked_directly() {
        let policy = policy("proxy=http://p.example:3128\nnoproxy=.lan,b.example\n");
        assert!(policy.upstream("registry.npmjs.org").is_some());
        assert!(policy.upstream("xlan").is_some());
        for host in ["npm.lan", "lan", "b.example"] {
            assert!(policy.upstream(host).is_none(), "{host}");
        }
    }
}
