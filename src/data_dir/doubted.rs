//! Web bundles that were unpacked before the machine was started again. They are
//! written without being synced, so after a loss of power a file may be there
//! without its content: they are set aside, and unpacked anew when asked for.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::DataDir;
use crate::error::{Code, Context, Error, Result};

/// The beginning of the names of what is set aside, beside the web bundles.
const DOUBTED: &str = "web.doubted";

impl DataDir {
    /// Sets the unpacked web bundles aside if the machine, whose start goes by the
    /// name `boot`, was started again since they were last believed. Removes
    /// nothing: there may be very many, and a start is waited for.
    ///
    /// Only for the process that has the database open: they are another's to
    /// serve from otherwise.
    ///
    /// # Errors
    /// `DEPENDENCY_FAILURE` when they cannot be moved.
    pub fn doubt_caches(&self, boot: &str) -> Result<()> {
        let cache = self.root.join("cache");
        let seen = cache.join("boot");
        if fs::read(&seen).is_ok_and(|last| last == boot.as_bytes()) {
            return Ok(());
        }
        let what = "set the unpacked web bundles aside";
        if self.web_cache().exists() {
            // What earlier starts have set aside may still be there.
            let mut names = (0_u32..).map(|number| cache.join(format!("{DOUBTED}.{number}")));
            let aside = names.find(|name| !name.exists());
            let aside = aside.ok_or_else(|| Error::internal("too much is set aside"))?;
            fs::rename(self.web_cache(), aside).or_code(Code::DependencyFailure, what)?;
        }
        let mut file = fs::OpenOptions::new();
        file.write(true).create(true).truncate(true).mode(0o600);
        file.open(&seen)
            .and_then(|mut file| file.write_all(boot.as_bytes()))
            .or_code(Code::DependencyFailure, what)
    }

    /// What [`DataDir::doubt_caches`] has set aside, to be removed.
    #[must_use]
    pub fn doubted(&self) -> Vec<PathBuf> {
        fs::read_dir(self.root.join("cache"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                name.to_str().is_some_and(|name| name.starts_with(DOUBTED))
            })
            .map(|entry| entry.path())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_sites_are_believed_until_the_machine_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        data.doubt_caches("one").unwrap();
        let site = data.web_cache().join("site");
        for (boot, stays) in [
            ("one", true),
            ("two", false),
            ("two", true),
            ("three", false),
        ] {
            fs::create_dir_all(&site).unwrap();
            data.doubt_caches(boot).unwrap();
            assert_eq!(site.exists(), stays, "{boot}");
        }
        let doubted = data.doubted();
        assert_eq!(doubted.len(), 2, "a start removes none: {doubted:?}");
        assert!(doubted.iter().all(|one| one.join("site").exists()));
    }
}
