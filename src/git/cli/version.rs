//! Which git there is.

use super::Git;
use crate::error::{Code, Error, Result};

/// The git that is there: major and minor version.
///
/// # Errors
/// `DEPENDENCY_FAILURE` without one.
pub(in crate::git) async fn version() -> Result<(u32, u32)> {
    let output = Git::outside()
        .arg("version")
        .run(b"")
        .await
        .map_err(|f| f.into_error("tell its version"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_version(&said).ok_or_else(|| {
        Error::new(
            Code::DependencyFailure,
            "git does not tell its version; install git 2.39 or newer",
        )
        .caused_by(said)
    })
}

/// `git version 2.39.5 (Apple Git-154)`.
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("git version ")?.split('.');
    Some((
        numbers.next()?.parse().ok()?,
        numbers.next()?.trim().parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_git_says_them() {
        assert_eq!(parse_version("git version 2.39.5\n"), Some((2, 39)));
        assert_eq!(
            parse_version("git version 2.47.3 (Apple Git-154)"),
            Some((2, 47))
        );
        assert_eq!(parse_version("git version 2.50\n"), Some((2, 50)));
        assert_eq!(parse_version("hg 6"), None);
    }
}
