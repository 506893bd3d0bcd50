//! How much of a build's output the server takes or packs.
//!
//! A build is held to its limits by what it takes of the disk, of which a file of
//! holes takes nothing until it is copied. So before the server copies anything it
//! goes by how long files say they are.

use crate::config::BuildLimits;
use crate::data_dir::DataDir;
use crate::error::{Code, Error, Result};

/// Bytes of a whole bundle, whatever a build may write.
const LARGEST: u64 = 2 << 30;

#[derive(Clone, Debug)]
pub struct Bounds {
    data: DataDir,
    limits: BuildLimits,
}

impl Bounds {
    #[must_use]
    pub fn new(data: &DataDir, limits: &BuildLimits) -> Self {
        Self {
            data: data.clone(),
            limits: *limits,
        }
    }

    /// Those of files that came with the commit as they are: no build wrote them.
    #[must_use]
    pub fn of_sources(self) -> Self {
        let limits = BuildLimits {
            file_bytes: u64::MAX,
            disk_bytes: u64::MAX,
            ..self.limits
        };
        Self { limits, ..self }
    }

    /// Judges an output by its largest file and by all of them.
    ///
    /// # Errors
    /// `PREVIEW_BUILD_FAILED` when it is too large, `STORAGE_FULL` when the disk has
    /// no room for a copy.
    pub fn judge(&self, largest: u64, together: u64) -> Result<()> {
        if largest > self.limits.file_bytes {
            return Err(too_large(
                "has a file of",
                largest,
                self.limits.file_bytes,
                " (BUILD_FILE_MB)",
            ));
        }
        let (limit, variable) = if self.limits.disk_bytes < LARGEST {
            (self.limits.disk_bytes, " (BUILD_DISK_MB)")
        } else {
            (LARGEST, "")
        };
        if together > limit {
            return Err(too_large("is", together, limit, variable));
        }
        self.data
            .require_free(self.limits.free_bytes.saturating_add(together))
    }
}

fn too_large(is: &str, bytes: u64, limit: u64, variable: &str) -> Error {
    Error::new(
        Code::PreviewBuildFailed,
        format!(
            "the build's output {is} {} MiB, and no more than {} MiB go into a bundle{variable}; \
             leave out of it what the app does not load",
            bytes.div_ceil(1 << 20),
            limit >> 20
        ),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// On a data folder in `dir`.
    pub(in crate::bundle) fn bounds(dir: &std::path::Path, file: u64, disk: u64) -> Bounds {
        let data = DataDir::open(&dir.join("data")).unwrap();
        let limits = BuildLimits {
            memory_bytes: 0,
            processes: 0,
            disk_bytes: disk,
            file_bytes: file,
            log_bytes: 0,
            free_bytes: 0,
        };
        Bounds::new(&data, &limits)
    }

    #[test]
    fn a_refusal_names_the_limit_that_can_be_raised() {
        let dir = tempfile::tempdir().unwrap();
        let mut bounds = bounds(dir.path(), 1 << 20, 3 << 20);
        bounds.judge(1 << 20, 3 << 20).unwrap();
        for (largest, together, told) in [
            ((1 << 20) + 1, 2 << 20, "2 MiB, and no more than 1 MiB"),
            (1 << 20, 4 << 20, "(BUILD_DISK_MB)"),
        ] {
            let error = bounds.judge(largest, together).unwrap_err();
            assert_eq!(error.code, Code::PreviewBuildFailed);
            assert!(error.message.contains(told), "{}", error.message);
        }
        bounds.limits.free_bytes = u64::MAX;
        let error = bounds.judge(0, 0).unwrap_err();
        assert_eq!(error.code, Code::StorageFull);
        let sources = bounds.of_sources().judge(LARGEST + 1, LARGEST + 1);
        let message = sources.unwrap_err().message;
        assert!(
            message.contains("2048 MiB go into a bundle; leave"),
            "{message}"
        );
    }
}
