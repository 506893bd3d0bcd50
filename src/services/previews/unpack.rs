//! Unpacking a web bundle. A file that an earlier site of the project has as
//! well is shared with it by a hard link, so that ten previews of one site take
//! little more room than one; each may go without harm to the others.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::web::inside;
use crate::blobs::Extents;
use crate::blobs::extent::Reader;
use crate::data_dir::DataDir;
use crate::disk;
use crate::error::{Code, Error, Result};

/// Where a web bundle keeps its site; see [`crate::bundle::product::DIST`].
const SITE: &str = "dist/";

/// What is to be unpacked, and where.
pub(super) struct Unpacking {
    /// A new folder, in which the site is made.
    pub(super) aside: PathBuf,
    /// Where it is shown when it is whole.
    pub(super) root: PathBuf,
    /// Earlier sites of the project; some may not be there.
    pub(super) relatives: Vec<PathBuf>,
    /// Bytes that a site may have.
    pub(super) limit: u64,
    pub(super) data: DataDir,
    /// Bytes that must stay free on the disk.
    pub(super) reserve: u64,
}

impl Unpacking {
    /// Blocking.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE`, `STORAGE_FULL`.
    pub(super) fn run(&self, zip: Extents) -> Result<()> {
        let unpacked = self.unpack(zip);
        let Err(error) = unpacked else {
            return Ok(());
        };
        // What is left of a failed try is of no use to anybody.
        let _ = disk::remove_tree(&self.aside);
        // Somebody else was faster: theirs is as good.
        if self.root.is_dir() {
            Ok(())
        } else {
            Err(error)
        }
    }

    fn unpack(&self, zip: Extents) -> Result<()> {
        let mut archive = ZipArchive::new(BufReader::new(zip.reader())).map_err(failed)?;
        let size = site_size(&mut archive).map_err(failed)?;
        if size > self.limit {
            return Err(too_large(size, self.limit));
        }
        self.data.require_free(self.reserve.saturating_add(size))?;
        unpack_site(&mut archive, &self.aside, &self.relatives, size)
            .and_then(|()| fs::rename(&self.aside, &self.root))
            .map_err(failed)
    }
}

fn failed(error: impl Into<io::Error>) -> Error {
    let error = error.into();
    let code = disk::code_of(&error, Code::InternalError);
    Error::new(code, "could not unpack a web bundle").caused_by(error)
}

fn too_large(size: u64, limit: u64) -> Error {
    Error::new(
        Code::PayloadTooLarge,
        format!(
            "this site has {} MB, and no more than {} MB are shown in a browser; download the \
             bundle, or let the operator raise BUILD_DISK_MB",
            size >> 20,
            limit >> 20
        ),
    )
    .with("limit", limit)
}

type Archive = ZipArchive<BufReader<Reader>>;

/// The bytes of the files that [`unpack_site`] writes, as the archive says.
fn site_size(archive: &mut Archive) -> io::Result<u64> {
    let mut size = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        if entry.is_file() && entry.name()?.starts_with(SITE) {
            size = size.saturating_add(entry.size());
        }
    }
    Ok(size)
}

/// Writes the regular files below `dist/` into the new folder `into`: at most
/// `limit` bytes, whatever the archive says of them.
fn unpack_site(
    archive: &mut Archive,
    into: &Path,
    relatives: &[PathBuf],
    limit: u64,
) -> io::Result<()> {
    fs::create_dir(into)?;
    let mut left = limit;
    // Files may be alike to their last byte but one, in each of the relatives.
    let mut patience = limit.saturating_mul(2);
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        // Folders are made for their files; links are never followed because
        // they are never made.
        if !entry.is_file() || entry.is_symlink() {
            continue;
        }
        let Some(name) = entry.name()?.strip_prefix(SITE).and_then(inside) else {
            continue;
        };
        let size = entry.size();
        drop(entry);
        let path = into.join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut sharing = Sharing {
            relatives,
            patience: &mut patience,
        };
        if size <= left && sharing.share(archive, index, size, &name, &path)? {
            left -= size;
            continue;
        }
        let entry = archive.by_index(index)?;
        let mut file = File::create_new(&path)?;
        // One byte more than allowed tells that there is more.
        left = match io::copy(&mut entry.take(left.saturating_add(1)), &mut file)? {
            written if written > left => {
                return Err(io::Error::other(
                    "a web bundle unpacks to more than it says",
                ));
            }
            written => left - written,
        };
    }
    Ok(())
}

/// Earlier sites, and how many bytes of theirs may still be read.
struct Sharing<'a> {
    relatives: &'a [PathBuf],
    patience: &'a mut u64,
}

impl Sharing<'_> {
    /// Links `path` to the file of that name in another site, if its bytes are
    /// those of the entry. A file system without links only costs the room.
    fn share(
        &mut self,
        archive: &mut Archive,
        index: usize,
        size: u64,
        name: &Path,
        path: &Path,
    ) -> io::Result<bool> {
        for relative in self.relatives {
            let other = relative.join(name);
            let alike = fs::symlink_metadata(&other).is_ok_and(|m| m.is_file() && m.len() == size);
            if alike
                && size <= *self.patience
                && let Ok(file) = File::open(&other)
                && same(archive.by_index(index)?, file, self.patience)?
                && fs::hard_link(&other, path).is_ok()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Takes what it reads off `patience`.
fn same(mut one: impl Read, mut two: impl Read, patience: &mut u64) -> io::Result<bool> {
    let (mut here, mut there) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = fill(&mut one, &mut here)?;
        *patience = patience.saturating_sub(read as u64);
        if fill(&mut two, &mut there)? != read || here[..read] != there[..read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Fewer bytes than there is room for only at the end.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip_of(files: &[(&str, &str)]) -> Archive {
        let mut zip = ZipWriter::new(tempfile::tempfile().unwrap());
        for (name, content) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.add_symlink("dist/link", "/etc/passwd", SimpleFileOptions::default())
            .unwrap();
        let zip = Extents::of_file(zip.finish().unwrap()).unwrap();
        ZipArchive::new(BufReader::new(zip.reader())).unwrap()
    }

    #[test]
    fn only_the_site_is_unpacked_and_only_regular_files() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("site");
        let mut zip = zip_of(&[
            ("dist/index.html", "<p>"),
            ("dist/assets/a.js", "1"),
            ("dist/../../escape", "no"),
            ("build.log", "no"),
            ("distant/x", "x"),
        ]);
        unpack_site(&mut zip, &into, &[], 1000).unwrap();
        let mut found = Vec::new();
        let mut folders = vec![into.clone()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&into).unwrap().to_owned());
                }
            }
        }
        found.sort();
        assert_eq!(found, [Path::new("assets/a.js"), Path::new("index.html")]);
        assert!(!folder.path().join("escape").exists());
    }

    #[test]
    fn a_bundle_over_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut zip = zip_of(&[("dist/a", "12345"), ("dist/b", "67890"), ("c", "1")]);
        assert_eq!(site_size(&mut zip).unwrap(), 10);
        assert!(unpack_site(&mut zip, &folder.path().join("x"), &[], 9).is_err());
    }

    #[test]
    fn comparing_ends_when_it_has_read_twice_the_site() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let sites: Vec<PathBuf> = ["one", "two", "three"]
            .map(|name| folder.path().join(name))
            .into();
        for (site, text) in sites.iter().zip(["1aaa", "2aaa", "xaaa"]) {
            unpack_site(&mut zip_of(&[("dist/a", text)]), site, &[], 4).unwrap();
        }
        let links = |site: &Path| fs::metadata(site.join("a")).unwrap().nlink();
        let wanted = || zip_of(&[("dist/a", "xaaa")]);
        let new = folder.path().join("new");
        unpack_site(&mut wanted(), &new, &sites, 4).unwrap();
        assert_eq!(links(&new), 1);
        let patient = folder.path().join("patient");
        unpack_site(&mut wanted(), &patient, &sites, 6).unwrap();
        assert_eq!(links(&patient), 2);
    }

    #[test]
    fn equal_files_of_earlier_sites_are_shared() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        let first = [
            ("dist/same.js", "1"),
            ("dist/edited.js", "one"),
            ("dist/x/y", ""),
        ];
        unpack_site(&mut zip_of(&first), &old, &[], 1000).unwrap();
        let second = [
            ("dist/same.js", "1"),
            ("dist/edited.js", "two"),
            ("dist/x/y", "longer"),
        ];
        let relatives = [folder.path().join("never looked at"), old.clone()];
        unpack_site(&mut zip_of(&second), &new, &relatives, 1000).unwrap();

        let node = |site: &Path, name: &str| fs::metadata(site.join(name)).unwrap().ino();
        assert_eq!(node(&old, "same.js"), node(&new, "same.js"));
        assert_ne!(node(&old, "edited.js"), node(&new, "edited.js"));
        fs::remove_dir_all(&old).unwrap();
        for (name, content) in [("same.js", "1"), ("edited.js", "two"), ("x/y", "longer")] {
            assert_eq!(fs::read_to_string(new.join(name)).unwrap(), content);
        }
    }
}
