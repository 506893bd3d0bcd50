//! Attributes of a tree, and that they take no part in writing it out.
//!
//! `ident` and `working-tree-encoding` make many bytes of few, past every limit
//! that was held to the commit, and the second has the C library's converters
//! read a stranger's bytes. What is built is the commit's own bytes, as an upload
//! has brought them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::Git;
use crate::error::{Context, Result};

/// Names the tree that attributes are read from. Git knows it since 2.41 and then
/// does not even look into the files; an older one goes by [`CLOSED`].
const SOURCE: &str = "GIT_ATTR_SOURCE";
/// Git knows it without having it.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// The repository's own attributes stand before all that a tree says
/// (gitattributes(5)), macros included. An encoding can only be unspecified: git
/// takes a refused one for an error.
const CLOSED: &str = "* -text -crlf !eol -ident -filter !working-tree-encoding\n";

impl Git {
    /// A call on `repo` that writes the files of the index at `index` below
    /// `into`, as they are in the commit.
    pub(in crate::git) fn writing_out(repo: &Path, index: &Path, into: &Path) -> Result<Self> {
        close(repo)?;
        Ok(Self::at(repo)
            .with_files()
            .env(SOURCE, EMPTY_TREE)
            .env("GIT_INDEX_FILE", index)
            .env("GIT_WORK_TREE", into))
    }
}

/// Writes [`CLOSED`] into the bare repository `repo`, unless it is there.
pub(in crate::git) fn close(repo: &Path) -> Result<()> {
    let place = repo.join("info/attributes");
    if fs::read(&place).is_ok_and(|known| known == CLOSED.as_bytes()) {
        return Ok(());
    }
    replace(&repo.join("info"), &place).or_internal("write a repository's attributes")
}

/// Whole or not at all: others may be checking out.
fn replace(folder: &Path, place: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut aside = tempfile::NamedTempFile::new_in(folder)?;
    aside.write_all(CLOSED.as_bytes())?;
    aside.persist(place).map(drop)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A git that does not know [`SOURCE`] has nothing else to go by.
    #[tokio::test]
    async fn a_trees_attributes_are_closed_without_a_source_to_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (repo, tree) = (folder.path().join("repo"), folder.path().join("tree"));
        fs::create_dir(&tree).expect("made");
        let all = "[attr]grow ident working-tree-encoding=UTF-32\n\
                   b/* grow text eol=crlf filter=x\nc crlf\n";
        fs::write(tree.join(".gitattributes"), all).expect("written");
        let init = ["init", "--quiet", "--bare", "--template=", "--"];
        let made = Git::outside().args(init).arg(&repo).run(b"").await;
        assert!(made.is_ok());
        close(&repo).expect("closed");
        close(&repo).expect("closed again");
        let said = Git::at(&repo)
            .env("GIT_WORK_TREE", &tree)
            .args(["check-attr", "-z", "--stdin"])
            .args(["text", "crlf", "eol", "ident", "filter"])
            .arg("working-tree-encoding")
            .run(b"b/deep\0c\0")
            .await
            .unwrap_or_else(|_| panic!("git tells"));
        let said = String::from_utf8(said.stdout).expect("text");
        let values: Vec<&str> = said.split_terminator('\0').skip(2).step_by(3).collect();
        let closed = [
            "unset",
            "unset",
            "unspecified",
            "unset",
            "unset",
            "unspecified",
        ];
        assert_eq!(values, [closed, closed].concat());
    }
}
