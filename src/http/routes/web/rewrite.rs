//! Leading a site's absolute addresses below its prefix.
//!
//! Bundlers write `/assets/x.js` by default, which on a shared host would ask
//! the server itself. Wherever an HTML, CSS or JavaScript file names in quotes
//! or in `url(...)` a path that is a file of the site, the prefix is put in
//! front. What a script puts together as it runs is left to `frame.js`, which
//! every page loads first.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::insertions::{Insertions, Texts, What};
use crate::services::previews::web::inside;

/// The reserved place of `frame.js` below a preview's prefix.
pub(super) const FRAME_SCRIPT: &str = "__hivesync/frame.js";

/// Changes when files are rewritten otherwise, so that browsers ask for them
/// again.
pub(super) const VERSION: &[u8] = b"2";

/// Larger files are sent as they are.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Files that name more files of the site than this are sent as they are.
const MAX_PLACES: usize = 64 * 1024;
/// So are files in which more than this may be addresses: each is looked for.
const MAX_LOOKS: usize = 128 * 1024;
/// Bytes of an address; nothing longer is looked for.
const MAX_ADDRESS: usize = 1024;

/// Whether files of this type are rewritten.
pub(super) fn applies_to(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    matches!(kind, "text/html" | "text/css" | "text/javascript")
}

/// What is put in for a reader below `prefix`, which begins and ends with a
/// slash.
pub(super) fn texts(prefix: &str) -> Texts {
    Texts {
        prefix: prefix.trim_end_matches('/').to_owned().into(),
        frame: format!("<script src=\"{prefix}{FRAME_SCRIPT}\"></script>").into(),
    }
}

/// What is to be put into a file of the site in the folder `root`: a prefix
/// before each address of one of its files, and what a [`page`] needs. `None` for
/// a file that is better sent as it is. Blocking, for as long as some 100,000
/// looks at the disk take.
pub(super) fn insertions(bytes: &[u8], root: &Path, is_page: bool) -> Option<Insertions> {
    let mut found = addresses(bytes, root)?;
    if is_page {
        found.extend(page(bytes));
        // Stable: the tag comes before whatever else stands at its place.
        found.sort_by_key(|(place, what)| (*place, *what != What::Frame));
    }
    (found.len() <= MAX_PLACES).then_some(found)
}

fn addresses(bytes: &[u8], root: &Path) -> Option<Insertions> {
    let top = names_in(root);
    let mut found = Insertions::new();
    let mut looks = 0;
    for at in candidates(bytes) {
        let rest = &bytes[at..bytes.len().min(at + MAX_ADDRESS + 1)];
        if !begins_in(&top, rest) {
            continue;
        }
        looks += 1;
        if looks > MAX_LOOKS {
            return None;
        }
        let end = rest.iter().position(|b| is_end(*b)).unwrap_or(rest.len());
        if end <= MAX_ADDRESS && names_a_file(&rest[..end], root) {
            found.push((u32::try_from(at).ok()?, What::Prefix));
        }
    }
    Some(found)
}

/// The names of what lies at the top of the site: most of what looks like an
/// address in a script begins with none of them.
fn names_in(root: &Path) -> HashSet<Vec<u8>> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_encoded_bytes())
        .collect()
}

/// Whether the first name of the address at the beginning of `rest` is among
/// those. It ends before the next slash, so that all of these looks together take
/// no longer than the file is.
fn begins_in(top: &HashSet<Vec<u8>>, rest: &[u8]) -> bool {
    let name = rest.get(1..).unwrap_or_default();
    let end = name.iter().position(|b| *b == b'/' || is_end(*b));
    let name = &name[..end.unwrap_or(name.len())];
    // What is encoded, or stays in this folder, has to be read to be known.
    top.contains(name) || name.contains(&b'%') || name == b"."
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

/// What a page needs: `frame.js` in front of everything that it loads, and the
/// integrity marks out of force, because rewritten files no longer match them.
fn page(html: &[u8]) -> Insertions {
    const MARK: &[u8] = b" integrity=";
    let at = head_end(html);
    let place = |at: usize| u32::try_from(at).ok();
    let frame = place(at).map(|at| (at, What::Frame));
    let marks = html[at..]
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        // Behind the space.
        .filter_map(|(found, _)| Some((place(at + found + 1)?, What::Data)));
    // One more than is dealt with tells that there are too many.
    frame.into_iter().chain(marks.take(MAX_PLACES)).collect()
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

    /// `bytes` with what is put in for a reader below `prefix`.
    fn put_in(bytes: &[u8], insertions: &Insertions, prefix: &str) -> String {
        let texts = texts(prefix);
        let mut whole = bytes.to_vec();
        for (place, what) in insertions.iter().rev() {
            let place = *place as usize;
            whole.splice(place..place, texts.of(*what).iter().copied());
        }
        String::from_utf8(whole).unwrap()
    }

    fn site() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in ["assets/a.js", "assets/b c.png", "favicon.ico"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn rewritten(text: &str) -> String {
        let found = insertions(text.as_bytes(), site().path(), false).unwrap();
        put_in(text.as_bytes(), &found, "/p/x/")
    }

    fn page_of(html: &str, prefix: &str) -> String {
        let found = insertions(html.as_bytes(), site().path(), true).unwrap();
        put_in(html.as_bytes(), &found, prefix)
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

    #[test]
    fn the_frame_script_comes_first() {
        let script = "<script src=\"/p/x/__hivesync/frame.js\"></script>";
        for (before, after) in [
            ("<!doctype html><html><HEAD lang=a>", "<title>t</title>"),
            ("<!doctype html><html>", "<header></header>"),
            ("<!DOCTYPE html>", "<p>"),
            ("", "<p>no head at all"),
        ] {
            let html = page_of(&format!("{before}{after}"), "/p/x/");
            assert_eq!(html, format!("{before}{script}{after}"));
        }
    }

    #[test]
    fn integrity_marks_are_taken_off() {
        let html = page_of(r#"<head><script integrity="sha384-x" src=a>"#, "/");
        assert!(html.contains(r#" data-integrity="sha384-x""#), "{html}");
    }

    #[test]
    fn what_would_cost_too_much_is_sent_as_it_is() {
        let site = site();
        let found = |text: String| insertions(text.as_bytes(), site.path(), true);
        assert!(found("'/assets/a.js'".repeat(MAX_PLACES + 1)).is_none());
        assert!(found("<a integrity=>".repeat(MAX_PLACES + 1)).is_none());
        assert!(found("'/assets/q'".repeat(MAX_LOOKS + 1)).is_none());
        // None of these is looked for.
        assert_eq!(found("'/q/1'".repeat(MAX_LOOKS + 1)).unwrap().len(), 1);
        assert_eq!(found("(/".repeat(MAX_LOOKS * 8)).unwrap().len(), 1);
        let endless = format!("'/assets/{}", "a".repeat(MAX_ADDRESS));
        assert_eq!(found(endless).unwrap().len(), 1);
    }
}
