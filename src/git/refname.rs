//! What may be called a ref. Checked before the text comes near an argument
//! or a file name; the rules are those of `git check-ref-format`, narrowed.

use crate::error::{Error, Result};

/// Longer names meet file system limits.
const MAX_LENGTH: usize = 200;

/// Whether `name` can be a branch or tag, without `refs/heads/`.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_LENGTH
        && name != "@"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.chars().any(|c| {
            c.is_control()
                || c.is_whitespace()
                || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
        })
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && !std::path::Path::new(part)
                    .extension()
                    .is_some_and(|e| e.eq_ignore_ascii_case("lock"))
        })
}

/// # Errors
/// `INVALID_INPUT` naming `field`.
pub fn check(field: &str, name: &str) -> Result<()> {
    if is_valid(name) {
        Ok(())
    } else {
        Err(Error::invalid(
            field,
            "not a ref: give a branch, a tag, a commit id of 7 to 64 hexadecimal digits, or `latest`",
        ))
    }
}

/// # Errors
/// `INVALID_INPUT` naming `field`.
pub fn check_branch(field: &str, name: &str) -> Result<()> {
    if is_valid(name) {
        Ok(())
    } else {
        Err(Error::invalid(
            field,
            "not a name that a branch can have; give it as git shows it, such as main",
        ))
    }
}

/// Whether `text` can be (the start of) a commit id.
#[must_use]
pub fn is_commit_id(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// For calls that take what [`super::Repos::resolve`] has answered.
pub(super) fn require_commit_id(commit: &str) -> Result<()> {
    if is_commit_id(commit) {
        Ok(())
    } else {
        Err(Error::internal("not a commit id; resolve the ref first"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_git_takes() {
        for name in ["main", "feature/x-1", "v1.0", "a@b", "ünïcode", "0123abc"] {
            assert!(is_valid(name), "{name}");
        }
    }

    #[test]
    fn refuses_what_could_be_read_as_something_else() {
        for name in [
            "",
            "@",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a\nb",
            "a\0b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a@{1}",
            "HEAD^{tree}",
        ] {
            assert!(!is_valid(name), "{name:?}");
        }
        assert!(!is_valid(&"a".repeat(201)));
    }

    #[test]
    fn commit_ids_are_hexadecimal() {
        assert!(is_commit_id("0123abc"));
        assert!(!is_commit_id("0123ab"));
        assert!(!is_commit_id("0123abg"));
    }
}
