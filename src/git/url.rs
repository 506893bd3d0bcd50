//! Which addresses a linked repository may have.
//!
//! https only; plain http only for the hosts that the operator has listed in
//! `SOURCE_ALLOWED_HOSTS`, which may also lie at private addresses. No other
//! transport of git exists here: several of them run commands or read files.

use std::net::IpAddr;

use url::{Host, Url};

use crate::domain::host::without_brackets;
use crate::error::{Error, Result};
use crate::net::address;

const MAX_LENGTH: usize = 2048;

/// A repository's address, checked and in its normal form: every spelling of a
/// host or an IP address has become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    url: Url,
    /// The operator vouches for this host.
    allowed: bool,
}

impl Remote {
    /// # Errors
    /// `INVALID_INPUT` that says what is wrong with the text and what to give
    /// instead.
    pub fn parse(text: &str, allowed_hosts: &[String]) -> Result<Self> {
        if text.len() > MAX_LENGTH || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad(
                "the repository's URL holds a space or a control character, or is too long",
            ));
        }
        if text.starts_with('-') {
            return Err(bad(
                "the repository's URL begins with a dash, as an option does",
            ));
        }
        if text.contains("::") && !text.contains("://[") {
            return Err(bad(
                "transport helpers such as `ext::` are not used; give the repository's https URL",
            ));
        }
        let url = Url::parse(text).map_err(|_| not_a_url(text))?;
        Self::of(url, allowed_hosts)
    }

    /// Also for the target of a redirect.
    pub(super) fn of(url: Url, allowed_hosts: &[String]) -> Result<Self> {
        let allowed = is_allowed(&url, allowed_hosts);
        match url.scheme() {
            "https" => {}
            "http" if allowed => {}
            "http" => {
                return Err(bad(
                    "plain http is not used; give the https URL, or list the host in \
                     SOURCE_ALLOWED_HOSTS",
                ));
            }
            "ssh" | "git+ssh" | "ssh+git" => return Err(bad(SSH)),
            "file" => return Err(bad(FILE)),
            _ => {
                return Err(bad(
                    "only repositories behind https are fetched; give the repository's https URL",
                ));
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad(
                "the URL holds a user name or password, which would end up in logs; put them into \
                 source.credential",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad(
                "leave out what follows `?` or `#` in the repository's URL",
            ));
        }
        let path = url.path().to_ascii_lowercase();
        if ["%00", "%0a", "%0d"].iter().any(|code| path.contains(code)) {
            return Err(bad(
                "the repository's URL holds an encoded control character",
            ));
        }
        let remote = Self { url, allowed };
        if let Some(ip) = remote.literal() {
            remote.check_address(ip)?;
        }
        Ok(remote)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The host as it stands in the URL; an IPv6 address in brackets.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// The address, if the host is one.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(ip) => Some(ip.into()),
            Host::Ipv6(ip) => Some(ip.into()),
            Host::Domain(_) => None,
        }
    }

    /// Scheme, host and port are the same: what may be told to one may be told
    /// to the other.
    pub(super) fn same_origin(&self, other: &Remote) -> bool {
        self.url.scheme() == other.url.scheme()
            && self.url.host() == other.url.host()
            && self.port() == other.port()
    }

    /// Whether this address may be spoken to on behalf of this URL.
    pub(super) fn check_address(&self, ip: IpAddr) -> Result<()> {
        if self.allowed {
            return Ok(());
        }
        address::check(ip).map_err(|kind| {
            bad(format!(
                "the host {} has an address that is {kind}, and repositories are fetched from public \
                 ones only; if it is meant, the operator lists it in SOURCE_ALLOWED_HOSTS",
                self.host()
            ))
        })
    }
}

const SSH: &str = "ssh is not used; give the repository's https URL, and a user name and access token \
                   in source.credential if it is private";
const FILE: &str = "files of the server are not fetched; give the repository's https URL, or use a \
                    source of kind local in local dev mode";

fn not_a_url(text: &str) -> Error {
    let scp_like = text.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty() && !host.contains('/') && !path.starts_with("//")
    });
    if text.starts_with(['/', '.', '~']) {
        bad(FILE)
    } else if scp_like {
        bad(SSH)
    } else {
        bad("not a URL; give the repository's https URL, such as https://git.example.com/a/b.git")
    }
}

fn bad(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid("source.url", why)
}

/// Entries are `host` or `host:port`, in lower case, with or without brackets
/// around an IPv6 address.
fn is_allowed(url: &Url, allowed_hosts: &[String]) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let bare = without_brackets(host);
    allowed_hosts
        .iter()
        .any(|entry| entry == host || entry == bare || *entry == format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed() -> Vec<String> {
        ["git.lan", "127.0.0.1:3000", "::1"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn https_is_taken_in_its_normal_form() {
        for (text, normal) in [
            ("https://github.com/a/b.git", "https://github.com/a/b.git"),
            ("HTTPS://GitHub.com:443/a/b", "https://github.com/a/b"),
            (
                "https://git.example.com:8443/x",
                "https://git.example.com:8443/x",
            ),
            ("https://1.1.1.1/x", "https://1.1.1.1/x"),
            ("https://[2606:4700::1]/x", "https://[2606:4700::1]/x"),
        ] {
            let remote = Remote::parse(text, &[]).expect(text);
            assert_eq!(remote.as_str(), normal);
        }
    }

    #[test]
    fn allowed_hosts_may_be_private_and_plain() {
        for text in [
            "http://git.lan/x",
            "http://git.lan:8080/x",
            "https://git.lan/x",
            "http://127.0.0.1:3000/x",
            "http://[::1]:99/x",
        ] {
            Remote::parse(text, &allowed()).expect(text);
        }
        for text in [
            "http://127.0.0.1/x",
            "https://127.0.0.1:3001/x",
            "http://git.lan.evil.com/x",
        ] {
            assert!(Remote::parse(text, &allowed()).is_err(), "{text}");
        }
    }

    #[test]
    fn every_spelling_of_a_forbidden_address_is_refused() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "0",
            "10.1",
            "169.254.169.254",
            "0xA9FEA9FE",
            "\u{2460}27.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[::]",
            "192.168.0.1",
        ] {
            let text = format!("https://{host}/a.git");
            let error = Remote::parse(&text, &[]).expect_err(&text);
            assert!(error.message.contains("address"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_plain_https(text in r"[a-z]{0,6}:{0,2}/{0,2}[a-z0-9@:.\[\]%/?#~-]{0,30}") {
            if let Ok(remote) = Remote::parse(&text, &[]) {
                prop_assert!(remote.as_str().starts_with("https://"));
                prop_assert!(!remote.as_str().contains(['@', '?', '#', ' ']) || !remote.url().path().is_empty());
                prop_assert_eq!(remote.url().username(), "");
                // Taken again, it is the same.
                prop_assert_eq!(Remote::parse(remote.as_str(), &[]).expect("normal"), remote);
            }
        }
    }
}
