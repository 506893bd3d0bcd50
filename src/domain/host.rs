//! A host with or without a port, as people and clients write it.

use std::net::Ipv6Addr;

/// The host and, if one is said, the text of its port: `git.lan`, `git.lan:80`,
/// `[::1]`, `[::1]:80`. An IPv6 address without brackets is all host.
#[must_use]
pub fn split_port(text: &str) -> (&str, Option<&str>) {
    if text.ends_with(']') || text.parse::<Ipv6Addr>().is_ok() {
        return (text, None);
    }
    match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

/// The host without the port that a client names with it. What is no number is
/// no port: all of it must be a host that is known.
#[must_use]
pub fn without_port(text: &str) -> &str {
    match split_port(text) {
        (host, Some(port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => text,
    }
}

/// The host without the brackets that an IPv6 address has in an address.
#[must_use]
pub fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_from_an_address() {
        for (text, parts) in [
            ("git.lan", ("git.lan", None)),
            ("git.lan:80", ("git.lan", Some("80"))),
            ("git.lan:", ("git.lan", Some(""))),
            ("127.0.0.1:8080", ("127.0.0.1", Some("8080"))),
            ("::1", ("::1", None)),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some("80"))),
            ("", ("", None)),
        ] {
            assert_eq!(split_port(text), parts, "{text}");
        }
        assert_eq!(without_port("git.lan:80"), "git.lan");
        assert_eq!(
            without_port("git.lan:80.evil.example"),
            "git.lan:80.evil.example"
        );
        assert_eq!(without_port("fe80::1"), "fe80::1");
        assert_eq!(without_brackets("[::1]"), "::1");
        assert_eq!(without_brackets("[::1"), "[::1");
    }
}
