//! From a setting's text to its value. `None`: the text is not of that form;
//! the table's words tell the operator what is.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::domain::host::{split_port, without_brackets};
pub(super) use crate::domain::user::email_address as email;

use super::tiers::{BlobsTier, EphemeralTier, Profile, QueueTier, StoreTier};
use super::{LogFormat, Registration, SandboxChoice, Secret};

pub(super) fn text<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

pub(super) fn millis(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}

pub(super) fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_secs)
}

pub(super) fn hours(text: &str) -> Option<Duration> {
    let hours: u64 = text.parse().ok()?;
    hours.checked_mul(3600).map(Duration::from_secs)
}

/// Bytes, from a number of mebibytes.
pub(super) fn mebibytes(text: &str) -> Option<u64> {
    text.parse::<u64>().ok()?.checked_mul(1024 * 1024)
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.contains('\0')).then(|| PathBuf::from(text))
}

/// A control character is a slip of the paste, and cannot be kept in a file.
pub(super) fn secret(text: &str) -> Option<Secret> {
    (!text.contains(char::is_control)).then(|| Secret::new(text))
}

/// A level, or a filter with at least one `target=level`. `EnvFilter` alone
/// would take `wran` for the name of a target.
pub(super) fn log_filter(text: &str) -> Option<String> {
    let is_level = |part: &str| {
        ["error", "warn", "info", "debug", "trace", "off"].contains(&part.to_lowercase().as_str())
    };
    let well_formed = text
        .split(',')
        .all(|part| is_level(part.trim()) || part.contains('='));
    (well_formed && EnvFilter::builder().parse(text).is_ok()).then(|| text.to_owned())
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

pub(super) fn registration(text: &str) -> Option<Registration> {
    match text {
        "open" => Some(Registration::Open),
        "invite" => Some(Registration::Invite),
        "closed" => Some(Registration::Closed),
        _ => None,
    }
}

pub(super) fn sandbox(text: &str) -> Option<SandboxChoice> {
    match text {
        "auto" => Some(SandboxChoice::Auto),
        "isolated" => Some(SandboxChoice::Isolated),
        "restricted" => Some(SandboxChoice::Restricted),
        "none" => Some(SandboxChoice::None),
        _ => None,
    }
}

pub(super) fn profile(text: &str) -> Option<Profile> {
    match text {
        "embedded" => Some(Profile::Embedded),
        "standard" => Some(Profile::Standard),
        _ => None,
    }
}

pub(super) fn store(text: &str) -> Option<StoreTier> {
    match text {
        "redb" => Some(StoreTier::Redb),
        "postgres" => Some(StoreTier::Postgres),
        _ => None,
    }
}

pub(super) fn queue(text: &str) -> Option<QueueTier> {
    match text {
        "redb" => Some(QueueTier::Redb),
        "redis" => Some(QueueTier::Redis),
        _ => None,
    }
}

pub(super) fn ephemeral(text: &str) -> Option<EphemeralTier> {
    match text {
        "sled" => Some(EphemeralTier::Sled),
        "redis" => Some(EphemeralTier::Redis),
        _ => None,
    }
}

pub(super) fn blobs(text: &str) -> Option<BlobsTier> {
    match text {
        "local" => Some(BlobsTier::Local),
        "s3" => Some(BlobsTier::S3),
        _ => None,
    }
}

fn http_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain.then_some(url)
}

/// Without a trailing slash, so that paths can be appended.
pub(super) fn base_url(text: &str) -> Option<String> {
    http_url(text).map(|url| url.as_str().trim_end_matches('/').to_owned())
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Kept without the `*.`, in lower case.
pub(super) fn wildcard_host(text: &str) -> Option<String> {
    let host = text.strip_prefix("*.")?.to_ascii_lowercase();
    is_host(&host).then_some(host)
}

fn list<T>(text: &str, one: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(one)
        .collect()
}

pub(super) fn networks(text: &str) -> Option<Vec<IpNet>> {
    list(text, |item| {
        item.parse::<IpNet>()
            .ok()
            .or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from))
    })
}

pub(super) fn origins(text: &str) -> Option<Vec<String>> {
    list(text, |item| {
        let url = http_url(item)?;
        (url.path() == "/").then(|| url.origin().ascii_serialization())
    })
}

/// `host`, `host:port`, `1.2.3.4:port` or `[::1]:port`, in lower case.
pub(super) fn hosts(text: &str) -> Option<Vec<String>> {
    list(text, |item| {
        let item = item.to_ascii_lowercase();
        let (host, port) = split_port(&item);
        let inner = without_brackets(host);
        let fine = is_host(inner) || inner.parse::<IpAddr>().is_ok();
        let port_fine = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
        (fine && port_fine).then_some(item)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_loses_its_slash_and_keeps_its_prefix() {
        let kept = |text| base_url(text);
        assert_eq!(
            kept("https://h.example/").as_deref(),
            Some("https://h.example")
        );
        assert_eq!(
            kept("http://h:4000/hive/").as_deref(),
            Some("http://h:4000/hive")
        );
        for bad in [
            "h.example",
            "ftp://h",
            "https://u:p@h",
            "https://h/?q=1",
            "https://h/#x",
        ] {
            assert_eq!(kept(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_log_filter_is_a_level_or_names_its_target() {
        for good in [
            "info",
            "WARN",
            "hivesync=debug,warn",
            "hivesync::http=trace",
        ] {
            assert!(log_filter(good).is_some(), "{good}");
        }
        for bad in ["wran", "hivesync=loud", ""] {
            assert!(log_filter(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn lists_trim_their_items_and_refuse_one_bad_item() {
        assert_eq!(networks("10.0.0.0/8, 127.0.0.1").map(|n| n.len()), Some(2));
        assert_eq!(networks("10.0.0.0/8, nowhere"), None);
        assert_eq!(
            origins("https://a.example/,http://b:3000"),
            Some(vec!["https://a.example".into(), "http://b:3000".into()])
        );
        assert_eq!(origins("https://a.example/path"), None);
        assert_eq!(
            hosts("Git.lan, 127.0.0.1:8080,[::1]:80,::1"),
            Some(vec![
                "git.lan".into(),
                "127.0.0.1:8080".into(),
                "[::1]:80".into(),
                "::1".into()
            ])
        );
        for bad in [
            "http://git.lan",
            "git.lan:0",
            "git.lan:99999",
            "a b",
            "user@git.lan",
        ] {
            assert_eq!(hosts(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_preview_host_is_a_wildcard() {
        assert_eq!(
            wildcard_host("*.P.example.com").as_deref(),
            Some("p.example.com")
        );
        for bad in ["p.example.com", "*.", "*.a..b", "*.a/b", "*.*.b"] {
            assert_eq!(wildcard_host(bad), None, "{bad}");
        }
    }
}
