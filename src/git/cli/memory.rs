//! How much memory git may ask for at a time. It holds commits, trees and tags
//! whole, some calls several times over, and a repository of a few megabytes
//! can have a commit of gigabytes.

/// Git's own limit of one allocation.
pub(super) const LIMIT: &str = "GIT_ALLOC_LIMIT";

/// Of calls on commits, trees and tags.
pub(super) const OBJECTS: Megabytes = Megabytes(16);
/// Of calls that hold files, too: git streams large ones only where they have
/// not come as differences from others.
pub(super) const FILES: Megabytes = Megabytes(256);
/// And of those that take whole histories in, with a list of what is in them.
pub(super) const HISTORY: Megabytes = Megabytes(512);

/// Bytes that this list has for each object, roughly.
const LISTED: u64 = 70;

#[derive(Clone, Copy)]
pub(super) struct Megabytes(u64);

impl Megabytes {
    /// As git reads it.
    pub(super) fn value(self) -> String {
        format!("{}m", self.0)
    }
}

/// Whether git's words tell that an object does not fit the memory it may have.
pub(in crate::git) fn too_large(said: &str) -> bool {
    said.contains("attempting to allocate")
}

/// What a history has that is too large to be taken in.
pub(in crate::git) fn more_than_a_history_may_have() -> String {
    let Megabytes(most) = HISTORY;
    format!(
        "a commit, a folder or a file of more than {most} MB, or more than {} million objects",
        (most << 20) / LISTED / 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_git_is_told() {
        assert_eq!(HISTORY.value(), "512m");
        let told = more_than_a_history_may_have();
        assert!(told.contains("more than 512 MB"), "{told}");
        assert!(told.contains("more than 7 million objects"), "{told}");
    }
}
