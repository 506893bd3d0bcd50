//! What an install may ask of a registry in the operator's name: to read packages,
//! in the words that package managers have for it, and nothing else.
//!
//! Servers differ in what they make of a path: some cut segments at `;`, some at a
//! NUL, some decode twice, or take odd bytes for dots and slashes. So nothing here
//! tells bad paths from good ones: what is not written as a package's is refused.

use hyper::Response;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, PRAGMA, RANGE, USER_AGENT,
};
use percent_encoding::percent_decode_str;
use url::Url;

use super::forward::{Body, said};
use crate::bundle::npmrc::Credential;

/// What reading takes. Others may change the method or the path for a server
/// behind the registry, or are believed only of its own proxy.
const HEADERS: [HeaderName; 11] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    AUTHORIZATION,
    CACHE_CONTROL,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    PRAGMA,
    RANGE,
    USER_AGENT,
];

/// What names and versions are made of, beside letters and digits; some old names
/// have the rarer ones.
const SIGNS: &[u8] = b"-._~!*'()@+";

/// How the files of packages end.
const TARBALLS: [&str; 2] = [".tgz", ".tar.gz"];

/// The answer to a request that goes beyond reading packages; `None`: it does not.
pub(super) fn beyond(url: &Url, credential: &Credential, reads: bool) -> Option<Response<Body>> {
    if !reads {
        return Some(said(
            StatusCode::METHOD_NOT_ALLOWED,
            "an install may only read from a registry that has the operator's credential",
        ));
    }
    let below = url.path().get(credential.path.len()..).unwrap_or_default();
    (!is_of_a_package(below)).then(|| {
        said(
            StatusCode::FORBIDDEN,
            "an install may only read packages from a registry that has the operator's credential",
        )
    })
}

/// Those of a request that go on to such a registry.
pub(super) fn headers(all: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for name in HEADERS {
        for value in all.get_all(&name) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}

/// Whether a path below a registry is a package's, or that of a package's file.
/// What is a registry's own begins with `-`, in a scope as well; and only before
/// a file's name does `-` stand in a package's. Servers skip empty segments.
fn is_of_a_package(below: &str) -> bool {
    let segments: Vec<&str> = below.split('/').filter(|s| !s.is_empty()).collect();
    let is_file = segments
        .last()
        .is_some_and(|last| TARBALLS.iter().any(|end| last.ends_with(end)));
    segments.iter().enumerate().all(|(at, segment)| {
        let dash = *segment == "-";
        is_plain(segment) && (!dash || (at > 0 && is_file))
    })
}

/// Whether a segment is a name, a version or a file's name; or a scope and a name,
/// which are one segment to npm: `@corp%2fsauce`.
fn is_plain(segment: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(segment).collect();
    let Ok(decoded) = std::str::from_utf8(&decoded) else {
        return false;
    };
    // However it is written, it is written once.
    let spelt_out = segment.contains('%');
    match decoded.split_once('/') {
        Some((scope, name)) => {
            scope.len() > 1
                && scope.starts_with('@')
                && is_word(scope)
                && is_word(name)
                && name != "-"
        }
        None => is_word(decoded) && !(spelt_out && decoded == "-"),
    }
}

fn is_word(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || SIGNS.contains(&byte);
    text.bytes().all(known) && text.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_their_files_are_read() {
        for path in [
            "",
            "ms",
            "/ms",
            "ms/",
            "-ms",
            "ms/latest",
            "JSONStream/1.0.0-rc.1+build",
            "@corp%2fsauce",
            "@corp%2Fsauce/1.0.0",
            "%40corp%2fsauce",
            "@corp/sauce/-/sauce-1.0.0.tgz",
            "@corp/sauce/-/@corp/sauce-1.0.0.tgz",
            "@corp%2fsauce/-/1.0.0/sauce-1.0.0.tgz",
            "download/@corp/sauce/1.0.0/0a1b2c",
            "artifactory/api/npm/npm/ms/-/ms-2.1.3.tgz",
            "~/11/@jsr/std__path/1.0.0.tgz",
        ] {
            assert!(is_of_a_package(path), "{path:?}");
        }
    }

    #[test]
    fn nothing_else_is_however_it_is_written() {
        for path in [
            "-/whoami",
            "/-/whoami",
            "//-/whoami",
            "./-/whoami",
            "%2f-/whoami",
            "%2e/-/whoami",
            "%2F%2E%2F%2Dwhoami/../-",
            "%5c-/whoami",
            "%2d/whoami",
            "%252d/whoami",
            "ms/../-/whoami",
            "ms%2f..%2f-/whoami",
            // A credential of the whole host, and a registry below it.
            "npm/-/whoami",
            "npm/-/npm/v1/tokens",
            "npm/%2d/x.tgz",
            "-/x.tgz",
            // Servers that cut segments.
            "x/..;/..;/api/security/apiKey",
            "-;a/whoami",
            "x/..;a=b/-/whoami",
            "x;y",
            "x/..%00/y",
            "x/..%20/y",
            "x/..%09/y",
            "-%20/whoami",
            // Bytes that are not what they look like.
            "x/%c0%ae%c0%ae/y",
            "x/..%ef%bc%8fy",
            "%EF%BC%8D/whoami",
            "x/%ff/y",
            "x/%zz",
            "x\\..\\y",
            // Slashes that are none to some.
            "x%2fy",
            "@%2fx",
            "@a%2f..",
            "@a%2f-/whoami",
            "@a%2fb%2fc",
            "x/%2e%2e%2fy",
        ] {
            assert!(!is_of_a_package(path), "{path:?}");
        }
    }

    #[test]
    fn what_changes_a_request_does_not_go_along() {
        let mut all = HeaderMap::new();
        for name in ["accept", "user-agent", "range"] {
            all.insert(HeaderName::from_static(name), "x".parse().expect("a value"));
        }
        let wanted = all.clone();
        for name in [
            "x-http-method-override",
            "x-original-url",
            "x-rewrite-url",
            "x-forwarded-prefix",
            "content-length",
            "connection",
            "cookie",
            "forwarded",
        ] {
            all.insert(HeaderName::from_static(name), "x".parse().expect("a value"));
        }
        assert_eq!(headers(&all), wanted);
    }
}
