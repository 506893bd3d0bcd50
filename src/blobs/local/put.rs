//! Storing a bundle: aside, synced, renamed.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use ring::digest::{Context as Digest, SHA256};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::super::extent::{Extent, Extents};
use super::super::part::Part;
use super::index::{Index, NamedPart, Stretch};
use super::{INDEX, NEW, PREFIX, pack_path, remove_if_empty};
use crate::disk;

/// How many packs a bundle may share: a reader opens them all.
const MOST_SHARED: usize = 31;
/// The pack in the making, before its digest is known.
const UNNAMED: &str = "pack.part";
/// Other bundles may take a folder away between two steps, but hardly this
/// often.
const TRIES: u32 = 10;

/// Whether a new folder must be as durable as what goes into it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    Yes,
    No,
}

/// Where a bundle goes.
pub(super) struct Target {
    root: PathBuf,
    folder: PathBuf,
    aside: PathBuf,
}

impl Target {
    pub(super) fn new(root: &Path, folder: PathBuf, puts: &AtomicU64) -> Self {
        let number = puts.fetch_add(1, Ordering::Relaxed);
        Self {
            aside: root.join(PREFIX).join(NEW).join(number.to_string()),
            root: root.to_owned(),
            folder,
        }
    }

    pub(super) fn put(&self, parts: &[Part]) -> io::Result<()> {
        self.make_folder(&self.aside, Lasting::No)?;
        let stored = self
            .fill(parts)
            .and_then(|()| {
                stop_point!(BlobBefore);
                self.show()
            })
            .inspect(|()| {
                stop_point!(BlobAfter);
            });
        // Empty, or what was replaced, or half of what failed; that error is
        // the one to tell.
        let cleared = disk::remove_tree(&self.aside);
        if let Some(new) = self.aside.parent() {
            let _ = remove_if_empty(new);
        }
        if let (Err(_), Some(project)) = (&stored, self.folder.parent()) {
            let _ = remove_if_empty(project);
        }
        stored.and(cleared)
    }

    /// Packs and index, as durable as a folder that nobody sees can be.
    fn fill(&self, parts: &[Part]) -> io::Result<()> {
        let mut packs = Packs::shared(&self.aside, parts);
        let own = packs.digests.len();
        let mut pack = OwnPack::create(&self.aside.join(UNNAMED))?;
        let mut stretches = Vec::with_capacity(parts.len());
        for part in parts {
            stretches.push(match packs.place_of(part) {
                Some(shared) => Stretch {
                    pack: shared,
                    offset: part.extent.range.start,
                    length: part.extent.len(),
                },
                None => Stretch {
                    pack: own,
                    offset: pack.append(&part.extent)?,
                    length: part.extent.len(),
                },
            });
        }
        if let Some(digest) = pack.finish()? {
            fs::rename(self.aside.join(UNNAMED), pack_path(&self.aside, &digest))?;
            packs.digests.push(digest);
        } else {
            fs::remove_file(self.aside.join(UNNAMED))?;
        }
        let mut index = Index::new(packs.digests);
        let mut names = Vec::new();
        for (part, &stretch) in parts.iter().zip(&stretches) {
            index.push(stretch);
            names.extend(part.name.map(|name| NamedPart { name, stretch }));
        }
        let mut file = BufWriter::new(private_file(&self.aside.join(INDEX))?);
        index.write(&names, &mut file)?;
        file.into_inner()?.sync_all()?;
        File::open(&self.aside)?.sync_all()
    }

    /// Renames the folder to its name; in the place of what was there.
    fn show(&self) -> io::Result<()> {
        let project = self.folder.parent().unwrap_or(&self.root);
        let mut shown: io::Result<()> = Err(io::ErrorKind::NotFound.into());
        for _ in 0..TRIES {
            match &shown {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.make_folder(project, Lasting::Yes)?;
                    shown = self.rename();
                }
                _ => break,
            }
        }
        shown?;
        File::open(project)?.sync_all()
    }

    fn rename(&self) -> io::Result<()> {
        match fs::rename(&self.aside, &self.folder) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => self.exchange(),
            other => other,
        }
    }

    /// What was there ends up aside, where it is removed.
    fn exchange(&self) -> io::Result<()> {
        match renameat_with(CWD, &self.aside, CWD, &self.folder, RenameFlags::EXCHANGE) {
            // A file system that cannot do both at once. For a moment there is
            // neither.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                let old = self.aside.with_extension("old");
                fs::rename(&self.folder, &old)?;
                fs::rename(&self.aside, &self.folder)?;
                fs::rename(&old, &self.aside)
            }
            other => Ok(other?),
        }
    }

    /// Makes the folder and those above it up to the root, for us alone.
    fn make_folder(&self, folder: &Path, lasting: Lasting) -> io::Result<()> {
        let mut made = self.make_once(folder, lasting);
        for _ in 0..TRIES {
            match &made {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    made = self.make_once(folder, lasting);
                }
                _ => break,
            }
        }
        made
    }

    fn make_once(&self, folder: &Path, lasting: Lasting) -> io::Result<()> {
        let missing: Vec<_> = folder
            .ancestors()
            .take_while(|folder| *folder != self.root && !folder.exists())
            .collect();
        for folder in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(folder) {
                Ok(()) if lasting == Lasting::No => {}
                Ok(()) => File::open(folder.parent().unwrap_or(&self.root))?.sync_all()?,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// The packs of earlier bundles that this one shares, by their digests.
struct Packs {
    digests: Vec<String>,
    places: HashMap<String, usize>,
}

impl Packs {
    /// Links those packs into `folder` of which the bundle uses half or more.
    /// A link that cannot be made (the pack is gone, has as many links as it
    /// may have, or the file system knows none) costs a copy and nothing else.
    fn shared(folder: &Path, parts: &[Part]) -> Self {
        let mut used = HashMap::new();
        for part in parts {
            if let Some(kept) = &part.kept {
                used.entry(&kept.digest).or_insert((kept, 0)).1 += part.extent.len();
            }
        }
        let mut worth: Vec<_> = used
            .into_values()
            .filter(|(kept, used)| used.saturating_mul(2) >= kept.size)
            .collect();
        worth.sort_by(|(one, uses_one), (two, uses_two)| {
            (uses_two, &two.digest).cmp(&(uses_one, &one.digest))
        });
        worth.truncate(MOST_SHARED);
        let mut packs = Self {
            digests: Vec::new(),
            places: HashMap::new(),
        };
        for (kept, _) in worth {
            if fs::hard_link(&kept.path, pack_path(folder, &kept.digest)).is_ok() {
                let place = packs.digests.len();
                packs.places.insert(kept.digest.clone(), place);
                packs.digests.push(kept.digest.clone());
            }
        }
        packs
    }

    fn place_of(&self, part: &Part) -> Option<usize> {
        let kept = part.kept.as_ref()?;
        self.places.get(&kept.digest).copied()
    }
}

/// The pack of the bytes that are this bundle's own.
struct OwnPack {
    file: File,
    length: u64,
    digest: Digest,
    /// Not yet copied: neighbours are copied in one go.
    waiting: Option<Extent>,
}

impl OwnPack {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: private_file(path)?,
            length: 0,
            digest: Digest::new(&SHA256),
            waiting: None,
        })
    }

    /// Answers where in the pack the bytes will be.
    fn append(&mut self, extent: &Extent) -> io::Result<u64> {
        let offset = self.length;
        self.length += extent.len();
        match &mut self.waiting {
            Some(waiting) if waiting.leads_to(extent) => waiting.range.end = extent.range.end,
            _ => {
                let next = Extent {
                    file: Arc::clone(&extent.file),
                    range: extent.range.clone(),
                };
                if let Some(waiting) = self.waiting.replace(next) {
                    self.copy(waiting)?;
                }
            }
        }
        Ok(offset)
    }

    fn copy(&mut self, extent: Extent) -> io::Result<()> {
        let mut reader = [extent].into_iter().collect::<Extents>().reader();
        let mut piece = vec![0; 256 << 10];
        loop {
            let filled = reader.fill(&mut piece)?;
            if filled == 0 {
                return Ok(());
            }
            self.digest.update(&piece[..filled]);
            self.file.write_all(&piece[..filled])?;
        }
    }

    /// Syncs the pack and answers its digest; `None` when it is empty.
    fn finish(mut self) -> io::Result<Option<String>> {
        if let Some(waiting) = self.waiting.take() {
            self.copy(waiting)?;
        }
        if self.length == 0 {
            return Ok(None);
        }
        self.file.sync_all()?;
        Ok(Some(HEXLOWER.encode(self.digest.finish().as_ref())))
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
