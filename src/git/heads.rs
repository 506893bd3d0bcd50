//! Where branches point, read from the repository's files: a preview that is
//! there already is answered without starting a program.
//!
//! Our repositories keep refs as files (git's `files` backend, see
//! gitrepository-layout(5) and git-pack-refs(1)): a branch is a file below
//! `refs/heads/`, or else a line of `packed-refs`. Git replaces both whole, so
//! what is read is one state or the next. A branch always points to a commit;
//! tags do not, and are git's to look up.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::refname;

/// The newest commit of the branch. `None` when these files do not tell, and
/// git has to be asked.
pub(super) fn head_in_files(repo: &Path, branch: &str) -> Option<String> {
    if !refname::is_valid(branch) {
        return None;
    }
    let full = format!("refs/heads/{branch}");
    // The file first: packing writes the line before it removes the file.
    match std::fs::read_to_string(repo.join(&full)) {
        Ok(text) => commit_id(text.trim_end()),
        Err(e) if is_absent(&e) => packed(&repo.join("packed-refs"), &full),
        Err(_) => None,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
    )
}

fn packed(file: &Path, full: &str) -> Option<String> {
    for line in BufReader::new(File::open(file).ok()?).lines() {
        let line = line.ok()?;
        if let Some((id, name)) = line.split_once(' ')
            && name == full
        {
            return commit_id(id);
        }
    }
    None
}

/// Not another ref's name, as a symbolic one has it.
fn commit_id(text: &str) -> Option<String> {
    let whole = matches!(text.len(), 40 | 64);
    (whole && refname::is_commit_id(text)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_found_where_git_keeps_it() {
        let repo = tempfile::tempdir().unwrap();
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        let heads = repo.path().join("refs/heads");
        std::fs::create_dir_all(heads.join("x")).unwrap();
        std::fs::write(heads.join("main"), format!("{a}\n")).unwrap();
        std::fs::write(heads.join("link"), "ref: refs/heads/main\n").unwrap();
        let packed = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{b} refs/heads/main\n\
             {c} refs/heads/x/y\n{b} refs/tags/v1\n^{c}\n"
        );
        std::fs::write(repo.path().join("packed-refs"), packed).unwrap();
        let head = |name| head_in_files(repo.path(), name);
        assert_eq!(head("main"), Some(a), "the file is newer");
        assert_eq!(head("x/y"), Some(c));
        for unknown in ["x", "v1", "link", "main/x", "../heads/main", "none", ""] {
            assert_eq!(head(unknown), None, "{unknown}");
        }
    }
}
