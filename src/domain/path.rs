//! Relative paths as text, with `/` between their parts: the one answer to
//! whether a name that somebody wrote stays below the folder it is meant for.
//!
//! What else a place asks of a path (no backslash, no `.git`, a length) it
//! asks in addition.

/// Whether `path` names something below a folder and is spelled in the only
/// way: no empty part, so neither absolute nor empty, no `.`, no `..`.
#[must_use]
pub fn is_plain(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// `path` in its plain spelling; empty for the folder itself. `None` when it is
/// absolute or has a `..`, even one that would stay below.
#[must_use]
pub fn plain(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_stays_below() {
        for good in ["a", "a/b.js", "..a/b..", "ü/%2e%2e", ".config", "a\\b"] {
            assert!(is_plain(good), "{good}");
            assert_eq!(plain(good).as_deref(), Some(good));
        }
        for bad in [
            "", "/", "/a", "a/", "a//b", ".", "./a", "..", "../a", "a/../b", "a/..", "a\0",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn other_spellings_become_the_plain_one() {
        for (raw, expected) in [("./a//b/", "a/b"), ("", ""), ("././", ""), ("a/.", "a")] {
            assert_eq!(plain(raw).as_deref(), Some(expected), "{raw}");
        }
        for bad in ["/etc", "//a", "..", "a/..", "a/../b", "a\0b"] {
            assert_eq!(plain(bad), None, "{bad}");
        }
    }
}
