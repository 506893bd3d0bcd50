//! The stream that `git fast-import` reads: one commit, files inline.
//!
//! Its format: git-fast-import(1). Contents are counted, never quoted, so no
//! byte in them is taken for a command; paths are quoted as C strings.

use std::fmt::Write as _;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::ChildStdin;

use super::{Commit, damaged};
use crate::error::{Code, Error, Result};
use crate::git::cli::{Git, Session};
use crate::git::paths;

pub(super) struct Stream {
    git: Session,
    input: BufWriter<ChildStdin>,
}

impl Stream {
    pub(super) fn open(repo: &Path, git_ref: &str, commit: &Commit) -> Result<Self> {
        // The ref may still be there from an import that was cut off: `--force`
        // lets it move to a commit that does not continue it.
        let mut git = Git::at(repo)
            .durable()
            .with_files()
            .args(["fast-import", "--quiet", "--done", "--force"])
            .arg("--date-format=raw")
            .feed_blocking()?;
        let input = BufWriter::with_capacity(256 << 10, git.take_input()?);
        let mut stream = Self { git, input };
        let mut head = format!(
            "feature done\ncommit {git_ref}\ncommitter HiveSync <hivesync@localhost> {} +0000\n\
             data {}\n{}\n",
            commit.at.as_secs().max(0),
            commit.message.len(),
            commit.message,
        );
        if let Some(parent) = &commit.parent {
            let _ = writeln!(head, "from {parent}");
        }
        head.push_str("deleteall\n");
        stream.put(head.as_bytes())?;
        Ok(stream)
    }

    /// Takes exactly `size` bytes from `content`, which must end there.
    pub(super) fn file(
        &mut self,
        path: &str,
        executable: bool,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        let mode = if executable { "100755" } else { "100644" };
        self.put(format!("M {mode} inline {}\ndata {size}\n", quoted(path)).as_bytes())?;
        let mut buffer = [0_u8; 16 << 10];
        let mut left = size;
        loop {
            // At the end one more read: it checks the checksum, and that the
            // entry holds no more than it said.
            let got = content.read(&mut buffer).map_err(damaged)?;
            let bytes = buffer.get(..got).unwrap_or_default();
            if got as u64 > left || (got == 0 && left > 0) {
                return Err(Error::invalid(
                    "archive",
                    format!(
                        "{} has another size than the archive says; nothing was stored",
                        paths::shown(path)
                    ),
                ));
            }
            if got == 0 {
                break;
            }
            left -= got as u64;
            self.put(bytes)?;
        }
        self.put(b"\n")
    }

    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let command = format!(
            "M 120000 inline {}\ndata {}\n{target}\n",
            quoted(path),
            target.len()
        );
        self.put(command.as_bytes())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.put(b"done\n")?;
        let flushed = self.input.flush();
        let Self { git, input } = self;
        // Closes the pipe without flushing again.
        drop(input.into_parts());
        git.finish()?;
        flushed.map_err(broken)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.input.write_all(bytes).map_err(broken)
    }
}

/// Git has stopped reading, so it has failed: nearly always for want of space.
fn broken(cause: std::io::Error) -> Error {
    Error::new(
        Code::StorageFull,
        "git stopped while the files were being stored; check the free space of the data folder",
    )
    .caused_by(cause)
}

fn quoted(path: &str) -> String {
    let mut text = String::with_capacity(path.len() + 2);
    text.push('"');
    for c in path.chars() {
        // Control characters were refused before.
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}
