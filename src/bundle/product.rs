//! What a bundler has made: the files of the bundle under the names they get
//! in the zip, and the facts for its metadata.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::stop::Stop;
use super::tree;
use crate::disk;
use crate::error::{Code, Context, Error, Result};

/// More than any app has; an end for a build that writes files forever.
pub const MOST_FILES: usize = 100_000;

/// One file of a bundle.
#[derive(Clone, Debug)]
pub struct BundleFile {
    /// The path in the zip, with `/` between its parts.
    pub name: String,
    pub file: PathBuf,
}

/// A file that the app asks for by key while it runs.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The name of its [`BundleFile`].
    pub name: String,
    /// What Expo's manifest calls it: the MD5 of its bytes.
    pub key: String,
    /// Without a dot; empty when there is none.
    pub extension: String,
}

/// What a bundler has made.
#[derive(Clone, Debug, Default)]
pub struct Product {
    pub entries: Vec<BundleFile>,
    pub assets: Vec<Asset>,
    /// The native runtime that the JavaScript needs.
    pub runtime_version: Option<String>,
    /// Expo's public app config.
    pub expo: Option<serde_json::Value>,
    /// What the owner should know, for the log.
    pub remarks: Vec<String>,
}

/// The launch asset of a native bundle.
pub const MAIN: &str = "main.jsbundle";
/// The folder of a web bundle.
pub const DIST: &str = "dist";

impl Product {
    /// Adds one file under its name in the bundle.
    pub fn push(&mut self, name: impl Into<String>, file: PathBuf) {
        self.entries.push(BundleFile {
            name: name.into(),
            file,
        });
    }

    /// The SHA-256 of each file, by its name. Blocking.
    ///
    /// # Errors
    /// Those of [`Stop::check`], which is asked again and again: a build may have
    /// written much more than it pays to read.
    pub fn digests(&self, stop: &Stop) -> Result<BTreeMap<String, Vec<u8>>> {
        let what = "read the build's output";
        let digest = |entry: &BundleFile| {
            let file = File::open(&entry.file).or_internal(what)?;
            let digest = stop.reading(what, file, disk::sha256_of)?;
            Ok((entry.name.clone(), digest))
        };
        self.entries.iter().map(digest).collect()
    }

    /// Adds the files below `dir` as `prefix/…`. A link is followed only to a
    /// file inside `dir`; `skip` is asked for each name.
    ///
    /// # Errors
    /// `PREVIEW_BUILD_FAILED` when `dir` is not a folder inside `root`: the
    /// build may have put a link in its place, which means another folder to
    /// us than it did to the build.
    pub fn push_folder(
        &mut self,
        root: &Path,
        dir: &Path,
        prefix: &str,
        skip: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let what = "read the build's output";
        let base = tree::within(root, dir)
            .filter(|dir| dir.is_dir())
            .ok_or("it is missing, or a link to elsewhere")
            .or_code(Code::PreviewBuildFailed, "find the build's output folder")?;
        let mut pending = vec![(base.clone(), prefix.to_owned())];
        while let Some((folder, prefix)) = pending.pop() {
            for entry in fs::read_dir(&folder).or_internal(what)? {
                let entry = entry.or_internal(what)?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    self.remarks.push(format!(
                        "left out a file of {prefix} whose name is not UTF-8"
                    ));
                    continue;
                };
                if skip(&name) {
                    continue;
                }
                if !is_portable(&name) {
                    self.remarks.push(format!(
                        "left out {name:?} of {prefix}: not every system can have a file of that \
                         name"
                    ));
                    continue;
                }
                let zipped = format!("{prefix}/{name}");
                let kind = entry.file_type().or_internal(what)?;
                if kind.is_dir() {
                    pending.push((entry.path(), zipped));
                } else if kind.is_file() {
                    self.push(zipped, entry.path());
                } else {
                    match inner_file(&base, &entry.path()) {
                        Some(real) => self.push(zipped, real),
                        None => self.remarks.push(format!(
                            "left out {zipped}: it is not a file, or a link out of the folder"
                        )),
                    }
                }
                if self.entries.len() > MOST_FILES {
                    return Err(Error::new(
                        Code::PreviewBuildFailed,
                        format!(
                            "the build's output has more than {MOST_FILES} files; see that \
                             `output_dir` names the folder of the site alone"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether a file may have that name wherever a bundle is unpacked: a
/// backslash would lead out of the folder on one system, and a control
/// character means something to the terminals that show it.
#[must_use]
pub fn is_portable(name: &str) -> bool {
    !name.contains(|c: char| c == '\\' || c.is_control())
}

fn inner_file(base: &Path, link: &Path) -> Option<PathBuf> {
    let real = link.canonicalize().ok()?;
    (real.starts_with(base) && real.is_file()).then_some(real)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_only_inside_the_output() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        fs::create_dir_all(out.join("a")).unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        fs::write(out.join("a/file"), "y").unwrap();
        fs::write(out.join(".hidden"), "z").unwrap();
        fs::write(out.join("a\\..\\..\\evil.exe"), "z").unwrap();
        fs::write(out.join("a\n== upload done 0.0s"), "z").unwrap();
        symlink("a/file", out.join("inner")).unwrap();
        symlink("../secret", out.join("outer")).unwrap();
        symlink("..", out.join("up")).unwrap();
        symlink("/etc", out.join("etc")).unwrap();

        let mut product = Product::default();
        product
            .push_folder(dir.path(), &out, DIST, |name| name.starts_with('.'))
            .unwrap();
        let mut names: Vec<_> = product.entries.iter().map(|e| e.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["dist/a/file", "dist/inner"]);
        assert_eq!(product.remarks.len(), 5);
        assert!(!product.remarks.iter().any(|line| line.contains('\n')));
    }
}
