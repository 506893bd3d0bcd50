//! The folder of one job's blob, where blobs are plain files.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::BlobKey;

#[derive(Clone)]
pub(super) struct LocalFolder {
    root: PathBuf,
    blob: PathBuf,
}

impl LocalFolder {
    pub(super) fn of(root: Option<&Path>, key: &BlobKey) -> Option<Self> {
        root.map(|root| Self {
            root: root.to_owned(),
            blob: root.join(key.as_str()),
        })
    }

    /// The folders from the blob's up to the root, without the root.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        self.blob
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != self.root)
    }

    /// Makes the folders, for us alone, as durable as what goes into them.
    pub(super) fn make(&self) -> io::Result<()> {
        // The end of another blob may take the project's folder away between
        // two steps; once the job's own is there, it stays.
        let mut made = self.make_once();
        for _ in 0..10 {
            match &made {
                Err(e) if e.kind() == io::ErrorKind::NotFound => made = self.make_once(),
                _ => break,
            }
        }
        made
    }

    fn make_once(&self) -> io::Result<()> {
        let folders: Vec<_> = self.folders().collect();
        for folder in folders.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(folder) {
                Ok(()) => File::open(folder.parent().unwrap_or(&self.root))?.sync_all()?,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    pub(super) fn close_to_others(&self) -> io::Result<()> {
        fs::set_permissions(&self.blob, fs::Permissions::from_mode(0o600))
    }

    /// Takes away what a failed write has left: `object_store` forgets the
    /// part file beside the blob when the last step fails.
    pub(super) fn clear_after_failure(&self) -> io::Result<()> {
        let Some((folder, name)) = self.blob.parent().zip(self.blob.file_name()) else {
            return Ok(());
        };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let beside = entry.file_name();
            let of_the_blob = beside
                .as_encoded_bytes()
                .strip_prefix(name.as_encoded_bytes())
                .is_some_and(|rest| rest.starts_with(b"#"));
            if of_the_blob {
                fs::remove_file(entry.path())?;
            }
        }
        self.remove_if_empty()
    }

    /// The job's and the project's folder, as far as they are empty.
    fn remove_if_empty(&self) -> io::Result<()> {
        for folder in self.folders().take(2) {
            match fs::remove_dir(folder) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The same, with the parts that a killed process left beside the blob.
    pub(super) fn remove(&self) -> io::Result<()> {
        let Some(folder) = self.folders().next() else {
            return Ok(());
        };
        match fs::remove_dir_all(folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => self.remove_if_empty(),
        }
    }
}
