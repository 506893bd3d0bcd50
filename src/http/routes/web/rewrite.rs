//! Leading a site's absolute addresses below its prefix.
//!
//! Bundlers write `/assets/x.js` by default, which on a shared host would ask
//! the server itself. Wherever an HTML, CSS or JavaScript file names in quotes
//! or in `url(...)` a path that is a file of the site, the prefix is put in
//! front. What a script puts together as it runs is left to `frame.js`, which
//! every page loads first.

use std::path::Path;

use crate::services::previews::web::inside;

/// The reserved place of `frame.js` below a preview's prefix.
pub(super) const FRAME_SCRIPT: &str = "__hivesync/frame.js";

/// Larger files are sent as they are.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Places in a file that are looked at as perhaps an address. Bundles have some
/// hundreds; a file that was made to keep us busy is sent as it is from there on.
const MAX_PLACES: usize = 100_000;

/// The longest address that may name a file of the site.
const MAX_ADDRESS: usize = 1024;

/// Whether files of this type are rewritten.
pub(super) fn applies_to(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    matches!(kind, "text/html" | "text/css" | "text/javascript")
}

/// `bytes` with every address of a file of the site led below `prefix`, which
/// begins and ends with a slash. `root` is the site's folder.
pub(super) fn addresses(bytes: &[u8], prefix: &str, root: &Path) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1024);
    let mut copied = 0;
    for at in candidates(bytes).take(MAX_PLACES) {
        let near = &bytes[at..bytes.len().min(at + MAX_ADDRESS)];
        let address = match near.iter().position(|b| is_end(*b)) {
            Some(length) => &near[..length],
            None if near.len() < MAX_ADDRESS => near,
            None => continue,
        };
        if names_a_file(address, root) {
            out.extend_from_slice(&bytes[copied..at]);
            out.extend_from_slice(prefix.as_bytes());
            // The prefix brings the slash.
            copied = at + 1;
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out
}

/// Where a `/` stands that may begin an address: after a quote, a bracket, an
/// equals sign, or the comma and spaces of a `srcset`.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes.windows(3).enumerate().filter_map(|(index, window)| {
        let opens = matches!(window[0], b'"' | b'\'' | b'`' | b'(' | b'=' | b',' | b' ');
        let single_slash = window[1] == b'/' && window[2] != b'/' && window[2] != b'*';
        (opens && single_slash).then_some(index + 1)
    })
}

fn is_end(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'\''
            | b'`'
            | b')'
            | b'>'
            | b','
            | b' '
            | b'\n'
            | b'\t'
            | b'\r'
            | b'\\'
            | b'?'
            | b'#'
    )
}

fn names_a_file(address: &[u8], root: &Path) -> bool {
    let Ok(text) = std::str::from_utf8(address) else {
        return false;
    };
    let Ok(decoded) = percent_decode(text) else {
        return false;
    };
    inside(&decoded).is_some_and(|name| root.join(name).is_file())
}

/// Undoes percent-encoding. Bytes that are no UTF-8 name no file of ours.
pub(super) fn percent_decode(text: &str) -> Result<String, std::string::FromUtf8Error> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        let escaped = (*byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| data_encoding::HEXUPPER_PERMISSIVE.decode(hex).ok());
        match escaped {
            Some(decoded) => {
                out.extend_from_slice(&decoded);
                rest = &tail[2..];
            }
            None => out.push(*byte),
        }
    }
    String::from_utf8(out)
}

/// Puts `frame.js` in front of everything a page loads, and takes the
/// integrity marks off, because rewritten files no longer match theirs.
pub(super) fn page(html: &[u8], prefix: &str) -> Vec<u8> {
    let script = format!("<script src=\"{prefix}{FRAME_SCRIPT}\"></script>");
    let at = head_end(html);
    let mut out = Vec::with_capacity(html.len() + script.len() + 64);
    out.extend_from_slice(&html[..at]);
    out.extend_from_slice(script.as_bytes());
    let mut rest = &html[at..];
    while let Some(found) = find(rest, b" integrity=") {
        out.extend_from_slice(&rest[..found]);
        out.extend_from_slice(b" data-integrity=");
        rest = &rest[found + b" integrity=".len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// The end of the `<head>` tag, or of `<html>` or the doctype where the head
/// is implied.
fn head_end(html: &[u8]) -> usize {
    let lower = html[..html.len().min(64 * 1024)].to_ascii_lowercase();
    for tag in [&b"<head"[..], b"<html", b"<!doctype"] {
        let mut from = 0;
        while let Some(found) = find(&lower[from..], tag) {
            let after = from + found + tag.len();
            // `<header` is no head.
            let whole = lower.get(after).is_some_and(|b| !b.is_ascii_alphanumeric());
            if whole && let Some(end) = lower[after..].iter().position(|b| *b == b'>') {
                return after + end + 1;
            }
            from = after;
        }
    }
    0
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        for file in ["assets/a.js", "assets/b c.png", "favicon.ico"] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let bytes = addresses(text.as_bytes(), "/p/x/", folder.path());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn addresses_of_files_get_the_prefix() {
        for (from, to) in [
            (
                r#"<script src="/assets/a.js">"#,
                r#"<script src="/p/x/assets/a.js">"#,
            ),
            ("<link href=/favicon.ico>", "<link href=/p/x/favicon.ico>"),
            ("url(/assets/b%20c.png)", "url(/p/x/assets/b%20c.png)"),
            ("url('/assets/a.js?v=1#x')", "url('/p/x/assets/a.js?v=1#x')"),
            ("import(`/assets/a.js`)", "import(`/p/x/assets/a.js`)"),
            (
                r#"srcset="/favicon.ico 1x, /assets/a.js 2x""#,
                r#"srcset="/p/x/favicon.ico 1x, /p/x/assets/a.js 2x""#,
            ),
        ] {
            assert_eq!(rewritten(from), to);
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            r#"<a href="/about">"#,
            r#"<a href="//example.com/assets/a.js">"#,
            r#""https://example.com/assets/a.js""#,
            "a /assets/missing.js b",
            "fetch('/api/v1/auth/me')",
            "a = b /2/ c; /* /assets */ '/../etc/passwd' '/'",
            "/",
            "",
            "é '/é' \u{fffd}",
        ] {
            assert_eq!(rewritten(text), text);
        }
    }

    /// By the number of steps: what grows with the square would not end.
    #[test]
    fn a_file_of_beginnings_without_an_end_takes_no_longer_than_others() {
        for piece in ["(/", "=/", "`/q", "\"/assets/a.jsx"] {
            let text = piece.repeat(4_000_000 / piece.len());
            assert_eq!(rewritten(&text), text, "{piece}");
        }
        let (long, places) = ("x".repeat(MAX_ADDRESS), "'/x' ".repeat(MAX_PLACES));
        let file = "'/assets/a.js'";
        assert_eq!(
            rewritten(&format!("'/{long}' {file}")),
            format!("'/{long}' '/p/x/assets/a.js'")
        );
        let text = format!("{places}{file}");
        assert_eq!(rewritten(&text), text, "it has looked long enough");
    }

    #[test]
    fn the_frame_script_comes_first() {
        let script = "<script src=\"/p/x/__hivesync/frame.js\"></script>";
        for (before, after) in [
            ("<!doctype html><html><HEAD lang=a>", "<title>t</title>"),
            ("<!doctype html><html>", "<header></header>"),
            ("<!DOCTYPE html>", "<p>"),
            ("", "<p>no head at all"),
        ] {
            let html = page(format!("{before}{after}").as_bytes(), "/p/x/");
            let html = String::from_utf8(html).unwrap();
            assert_eq!(html, format!("{before}{script}{after}"));
        }
    }

    #[test]
    fn integrity_marks_are_taken_off() {
        let html = page(br#"<head><script integrity="sha384-x" src=a>"#, "/");
        let html = String::from_utf8(html).unwrap();
        assert!(html.contains(r#" data-integrity="sha384-x""#), "{html}");
    }
}
