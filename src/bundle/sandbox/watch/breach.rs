//! What a build has used up more of than it may.

use crate::error::Code;

/// A limit that was exceeded, with both figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    Memory {
        used: u64,
        limit: u64,
        /// So much of `used` is only known not to be more.
        bound: u64,
    },
    Processes {
        used: u64,
        limit: u64,
    },
    Disk {
        used: u64,
        limit: u64,
        /// As of memory.
        bound: u64,
    },
    /// One file: the kernel has ended the writer.
    File {
        limit: u64,
    },
    /// Folders in folders, deeper than can be measured or cleared away.
    Nesting {
        limit: usize,
    },
    /// A folder that the server may not enter.
    Shut,
    /// A process that the server may not look into.
    Unseen,
    /// The disk is nearly full, whoever has filled it.
    DiskFull {
        free: u64,
        floor: u64,
    },
}

impl Breach {
    /// The code of the job's failure; `None` for the one of its stage.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        matches!(self, Self::DiskFull { .. }).then_some(Code::StorageFull)
    }

    /// For whoever reads the job: the limit, the figure, and the setting.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Memory { used, limit, bound } if used - bound <= *limit => format!(
                "the build may have used {} MB of memory, more than its limit of {} MB \
                 (BUILD_MEMORY_MB), and was killed: it shares memory in a way that does not show \
                 how much that is, and {} MB more of such memory are in use on this machine",
                mb(*used),
                mb(*limit),
                mb(*bound)
            ),
            Self::Memory { used, limit, .. } => format!(
                "the build used {} MB of memory, more than its limit of {} MB (BUILD_MEMORY_MB), \
                 and was killed",
                mb(*used),
                mb(*limit)
            ),
            Self::Processes { used, limit } if used <= limit => format!(
                "the build reached its limit of {limit} processes and threads (BUILD_PROCESSES): \
                 the system refused it more, and what it had started was killed"
            ),
            Self::Processes { used, limit } => format!(
                "the build ran {used} processes and threads at a time, more than its limit of \
                 {limit} (BUILD_PROCESSES), and was killed"
            ),
            Self::Disk { used, limit, bound } if used - bound <= *limit => format!(
                "the build may have written {} MB, more than its limit of {} MB (BUILD_DISK_MB), \
                 and was killed: it has deleted files that it still has in use without showing how \
                 large they are, and {} MB of the disk are gone that nothing else explains",
                mb(*used),
                mb(*limit),
                mb(*bound)
            ),
            Self::Disk { used, limit, .. } => format!(
                "the build wrote {} MB, more than its limit of {} MB (BUILD_DISK_MB), and was \
                 killed",
                mb(*used),
                mb(*limit)
            ),
            Self::File { limit } => format!(
                "the build wrote a file larger than its limit of {} MB (BUILD_FILE_MB) and was \
                 killed",
                mb(*limit)
            ),
            Self::Nesting { limit } => format!(
                "the build made folders nested more than {limit} deep and was killed: what lies \
                 so deep could not be held to its limit (BUILD_DISK_MB)"
            ),
            Self::Shut => "the build closed one of its folders to the server and was killed: what \
                 lies there could not be held to its limit (BUILD_DISK_MB)"
                .to_owned(),
            Self::Unseen => "the build ran a program that the server may not look into and was \
                 killed: what such a process holds cannot be held to its limits \
                 (BUILD_MEMORY_MB, BUILD_DISK_MB)"
                .to_owned(),
            Self::DiskFull { free, floor } => format!(
                "only {} MB are free on the server's disk, less than its reserve of {} MB \
                 (MIN_FREE_DISK_MB), so the build was killed; the operator must make room",
                mb(*free),
                mb(*floor)
            ),
        }
    }
}

/// Rounded up, so that what is over a limit also reads so.
fn mb(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_names_the_limit_the_figure_and_the_setting() {
        let text = Breach::Memory {
            used: (64 << 20) + 1,
            limit: 64 << 20,
            bound: 0,
        }
        .message();
        for part in ["65 MB", "64 MB", "BUILD_MEMORY_MB", "killed"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let text = Breach::Disk {
            used: 65 << 20,
            limit: 64 << 20,
            bound: 2 << 20,
        }
        .message();
        assert!(text.contains("may have written 65 MB"), "{text}");
        assert!(text.contains("2 MB of the disk"), "{text}");
        assert_eq!(Breach::File { limit: 1 }.code(), None);
        let full = Breach::DiskFull { free: 1, floor: 2 };
        assert_eq!(full.code(), Some(Code::StorageFull));
    }
}
