//! Packs a project folder for upload: a `.tar.gz` of what git would track.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::WalkBuilder;

use crate::error::{Code, Context, Error, Result};

/// What was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    pub files: u64,
    /// Bytes before compression.
    pub bytes: u64,
}

/// Writes the files below `folder` to `archive`. Left out are what
/// `.gitignore` and `.hivesyncignore` name, `.git`, `node_modules`, and
/// everything that is not a file or a symbolic link.
pub fn pack(folder: &Path, archive: &mut File) -> Result<Packed> {
    let folder = open_folder(folder)?;
    let mut packed = Packed { files: 0, bytes: 0 };
    let gzip = GzEncoder::new(BufWriter::new(archive), Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    tar.follow_symlinks(false);
    append_root(&mut tar).or_internal("begin the archive")?;
    let walk = WalkBuilder::new(&folder)
        .hidden(false)
        .require_git(false)
        .git_global(false)
        .add_custom_ignore_filename(".hivesyncignore")
        .filter_entry(|e| !matches!(e.file_name().to_str(), Some(".git" | "node_modules")))
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk {
        let entry = entry.or_internal("read the folder")?;
        let is_file = entry.file_type().is_some_and(|t| t.is_file());
        if !is_file && !entry.path_is_symlink() {
            continue;
        }
        // `strip_prefix` cannot fail: the walk starts at `folder`.
        let name = entry.path().strip_prefix(&folder).unwrap_or(entry.path());
        let what = format!("pack {}", name.display());
        tar.append_path_with_name(entry.path(), name)
            .or_internal(&what)?;
        packed.files += 1;
        packed.bytes += entry.metadata().map_or(0, |m| m.len());
    }
    if packed.files == 0 {
        return Err(Error::new(
            Code::InvalidProjectStructure,
            format!(
                "{} has no files to upload; what .gitignore names is left out",
                folder.display()
            ),
        ));
    }
    tar.into_inner()
        .and_then(GzEncoder::finish)
        .and_then(|mut w| w.flush())
        .or_internal("finish the archive")?;
    Ok(packed)
}

/// The folder's full path.
pub(super) fn open_folder(path: &Path) -> Result<PathBuf> {
    let refused =
        |why: String| Error::invalid("path", format!("cannot open {}: {why}", path.display()));
    let full = path.canonicalize().map_err(|e| refused(e.to_string()))?;
    if full.is_dir() {
        Ok(full)
    } else {
        Err(refused("it is a file; name the project's folder".into()))
    }
}

/// An entry for the folder itself: it tells the server that a single folder in
/// it is part of the project, and not a wrapping to take off.
fn append_root<W: Write>(tar: &mut tar::Builder<W>) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    // `Header::set_path` refuses a path that names the root.
    header.as_old_mut().name[..2].copy_from_slice(b"./");
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    header.set_cksum();
    tar.append(&header, std::io::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;

    #[test]
    fn leaves_out_what_git_ignores() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("node_modules/a")).unwrap();
        std::fs::create_dir_all(root.join("src")).unwrap();
        for (name, text) in [
            ("node_modules/a/index.js", "x"),
            (".gitignore", "*.secret\n"),
            ("key.secret", "x"),
            ("src/App.js", "app"),
            (".env.example", "A=1"),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();

        let mut archive = tempfile::tempfile().unwrap();
        let packed = pack(root, &mut archive).unwrap();
        archive.rewind().unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        let names: Vec<_> = tar
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            ["./", ".env.example", ".gitignore", "link", "src/App.js"]
        );
        assert_eq!(packed.files, 4);
    }

    #[test]
    fn an_empty_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = pack(folder.path(), &mut tempfile::tempfile().unwrap()).unwrap_err();
        assert_eq!(error.code, Code::InvalidProjectStructure);
    }
}
