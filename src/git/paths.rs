//! Which paths may stand in a tree, and where a symbolic link may point.
//!
//! The rules are git's own (`verify_path` and fsck), taken together for every
//! file system that a clone may meet: what is `.git` on one of them is refused
//! on all.

use crate::domain::path::{is_plain, plain};
use crate::error::{Error, Result};

/// Bytes of a whole path; a build's folder stands before it.
const MAX_PATH: usize = 2048;
/// Bytes of one name, as every Linux file system has it.
const MAX_NAME: usize = 255;
/// Deeper trees are made to hurt whoever walks them.
const MAX_DEPTH: usize = 100;
const MAX_TARGET: usize = 1024;

/// The path as git keeps it (`a/b/c`), from an archive's spelling of it
/// (`./a//b/c`, and a folder's trailing slash). `None` for the root itself.
///
/// # Errors
/// `INVALID_INPUT` when it is absolute, leads outside or cannot be a path.
pub fn normalise(raw: &str) -> Result<Option<String>> {
    let refuse = |why: &str| {
        Err(Error::invalid(
            "archive",
            format!(
                "the archive holds {}, {why}; nothing was stored",
                shown(raw)
            ),
        ))
    };
    if raw.starts_with('/') {
        return refuse("an absolute path");
    }
    if raw.contains('\\') {
        return refuse("a path with a backslash; pack it with a tool that writes forward slashes");
    }
    if raw.chars().any(char::is_control) {
        return refuse("a path with a control character");
    }
    let Some(path) = plain(raw) else {
        return refuse("a path that leads outside of it");
    };
    if path.is_empty() {
        return Ok(None);
    }
    if path.split('/').next().is_some_and(is_drive) {
        return refuse("an absolute path");
    }
    let deep = path.split('/').count() > MAX_DEPTH;
    if deep || path.len() > MAX_PATH || path.split('/').any(|part| part.len() > MAX_NAME) {
        return refuse("a path that is too long or too deep");
    }
    Ok(Some(path))
}

/// `C:`, where Windows begins an absolute path.
fn is_drive(name: &str) -> bool {
    matches!(name.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

/// Whether a name means `.git` on any file system: in any case, with the
/// characters that HFS+ ignores, or as NTFS abbreviates and extends it.
#[must_use]
pub fn is_dot_git(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(|c| {
            !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{206a}'..='\u{206f}' | '\u{feff}')
        })
        .flat_map(char::to_lowercase)
        .collect();
    let stem = plain.split(':').next().unwrap_or_default();
    let stem = stem.trim_end_matches(['.', ' ']);
    stem == ".git"
        || stem
            .strip_prefix("git~")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a link at `path` to `target` stays inside the tree, whatever other
/// links of the same kind lie on the way.
///
/// It may first climb, not past the root, and then only descend. What it
/// climbs are true folders, and every link met while descending obeys the same
/// rule, so no chain of links gets out. `a/../b` is refused: its `a` could be
/// a link, and `..` then leads elsewhere than it seems.
#[must_use]
pub fn link_stays_inside(path: &str, target: &str) -> bool {
    if target.is_empty()
        || target.len() > MAX_TARGET
        || target.starts_with('/')
        || target.contains('\\')
        || target.chars().any(char::is_control)
    {
        return false;
    }
    let mut depth = path.split('/').count() - 1;
    let mut descending = false;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if descending || depth == 0 => return false,
            ".." => depth -= 1,
            name if is_dot_git(name) => return false,
            _ => descending = true,
        }
    }
    true
}

/// A path that a caller asks for: `""` is the root.
///
/// # Errors
/// `INVALID_INPUT` when it could mean anything but a path inside the tree.
pub fn requested(raw: &str) -> Result<String> {
    let path = raw
        .strip_suffix('/')
        .filter(|path| !path.is_empty())
        .unwrap_or(raw);
    let well_formed = path.is_empty()
        || (path.len() <= MAX_PATH && !path.chars().any(char::is_control) && is_plain(path));
    if well_formed {
        Ok(path.to_owned())
    } else {
        Err(Error::invalid(
            "path",
            "not a path inside the repository; give it relative to its root, without `.` and `..`",
        ))
    }
}

/// A name from an archive, fit for a message.
pub(super) fn shown(raw: &str) -> String {
    const SHOWN: usize = 120;
    let mut text: String = raw.escape_debug().take(SHOWN).collect();
    if text.len() < raw.len() {
        text.push('…');
    }
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_spellings_of_archives_become_one() {
        for raw in ["a/b", "./a/b", "a//b", "a/./b", "a/b/"] {
            assert_eq!(normalise(raw).expect(raw).as_deref(), Some("a/b"));
        }
        for raw in ["", ".", "./", "././"] {
            assert_eq!(normalise(raw).expect(raw), None);
        }
    }

    #[test]
    fn what_leads_outside_is_refused() {
        for raw in [
            "../a",
            "a/../../b",
            "a/..",
            "/etc/passwd",
            "//a",
            "..\\a",
            "a\\..\\b",
            "C:/a",
            "c:",
            "a\0b",
            "a\nb",
            "a\rb",
        ] {
            assert!(normalise(raw).is_err(), "{raw:?}");
        }
        assert!(normalise(&"a/".repeat(101)).is_err());
        assert!(normalise(&"a".repeat(256)).is_err());
    }

    #[test]
    fn every_spelling_of_dot_git_is_known() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            ".git.",
            ".git ",
            ".git . .",
            "git~1",
            "GIT~1",
            "git~12",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".git:stream",
            ".git::$INDEX_ALLOCATION",
        ] {
            assert!(is_dot_git(name), "{name:?}");
        }
        for name in [".gitignore", ".github", "git", "git~", "x.git", ".gitx"] {
            assert!(!is_dot_git(name), "{name:?}");
        }
    }

    #[test]
    fn links_may_climb_and_then_descend() {
        assert!(link_stays_inside("a", "b/c"));
        assert!(link_stays_inside("x/a", "../b"));
        assert!(link_stays_inside("x/y/a", "../../b"));
        assert!(link_stays_inside("x/a", "./../b/./c"));
        for (path, target) in [
            ("a", ".."),
            ("a", "../b"),
            ("x/a", "../../b"),
            ("a", "/etc/passwd"),
            ("a", "b/../c"),
            ("a", ""),
            ("a", "b\\c"),
            ("a", ".git/config"),
            ("x/a", "../.GIT/hooks"),
        ] {
            assert!(!link_stays_inside(path, target), "{path} -> {target}");
        }
    }

    #[test]
    fn requested_paths_are_plain() {
        assert_eq!(requested("").expect("root"), "");
        assert_eq!(requested("a/b/").expect("folder"), "a/b");
        for raw in ["/", "/a", "a//b", "../a", "a/..", "./a", "a\nb", "a\0"] {
            assert!(requested(raw).is_err(), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn a_normalised_path_is_inside_and_stays_as_it_is(raw in r"[a-zA-Z.:/\\ ~]{0,40}") {
            if let Ok(Some(path)) = normalise(&raw) {
                prop_assert!(!path.starts_with('/'));
                prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
                prop_assert_eq!(normalise(&path).expect("normalised"), Some(path.clone()));
                prop_assert_eq!(requested(&path).expect("requested"), path);
            }
        }

        /// The oracle walks the links as a kernel does: each folder on the way
        /// may itself be any link that the rule lets pass.
        #[test]
        fn no_chain_of_links_gets_out(
            links in prop::collection::vec(("[ab](/[ab]){0,2}", r"(\.\./){0,3}([abl](/[abl]){0,2}|\.\.)?"), 1..6),
        ) {
            let allowed: Vec<_> = links.into_iter()
                .map(|(path, target)| (format!("{path}/l"), target))
                .filter(|(path, target)| link_stays_inside(path, target))
                .collect();
            for (path, _) in &allowed {
                prop_assert!(walk(&allowed, path), "{path} leaves through {allowed:?}");
            }
        }
    }

    /// Follows `path` from the root; false as soon as it is above it.
    fn walk(links: &[(String, String)], path: &str) -> bool {
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut here: Vec<String> = Vec::new();
        let mut hops = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => {}
                ".." => {
                    if here.pop().is_none() {
                        return false;
                    }
                }
                name => {
                    here.push(name.to_owned());
                    let at = here.join("/");
                    if let Some((_, target)) = links.iter().find(|(p, _)| *p == at) {
                        hops += 1;
                        if hops > 40 {
                            return true; // ELOOP
                        }
                        here.pop();
                        todo.extend(target.split('/').rev().map(str::to_owned));
                    }
                }
            }
        }
        true
    }
}
