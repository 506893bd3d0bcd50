//! What of a project's blobs a new one of their kind may share.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use data_encoding::HEXLOWER;

use super::super::extent::{Extent, Extents};
use super::super::part::{KeptFile, Part, PartName, Shelf};
use super::index::{Index, Stretch};
use super::{INDEX, kind_of, names, pack_path};
use crate::blobs::BlobKind;
use crate::disk;

/// How many blobs are looked at, the newest first. Of bundles: a project's
/// platforms and branches, with room to spare. Bytecode has one part, and what
/// is not found is compiled again: there all are worth a look.
const fn looked_at(kind: BlobKind) -> usize {
    match kind {
        BlobKind::Bundle => 16,
        BlobKind::Bytecode => usize::MAX,
    }
}

/// An end for bundles of very many files.
const MOST_PARTS: usize = 200_000;

pub(super) struct LocalShelf {
    packs: Vec<Pack>,
    /// Where a part lies: which pack, and where in it.
    parts: HashMap<PartName, (usize, Stretch)>,
}

struct Pack {
    kept: Arc<KeptFile>,
    /// `None` when it is gone or damaged. Found out when it is first needed.
    file: OnceLock<Option<Arc<File>>>,
}

impl Pack {
    fn at(folder: &Path, digest: &str) -> io::Result<Self> {
        let path = pack_path(folder, digest);
        let size = fs::metadata(&path)?.len();
        let digest = digest.to_owned();
        Ok(Self {
            kept: Arc::new(KeptFile { path, digest, size }),
            file: OnceLock::new(),
        })
    }
}

impl LocalShelf {
    /// What cannot be read is left out: the bundle is then stored whole.
    pub(super) fn of(project: &Path, kind: BlobKind) -> Self {
        let mut shelf = Self {
            packs: Vec::new(),
            parts: HashMap::new(),
        };
        let mut by_digest = HashMap::new();
        for folder in newest(project, kind).unwrap_or_default() {
            if shelf.parts.len() < MOST_PARTS
                && let Err(error) = shelf.add(&folder, &mut by_digest)
            {
                tracing::debug!(folder = %folder.display(), %error, "no parts of a bundle");
            }
        }
        shelf
    }

    fn add(&mut self, folder: &Path, by_digest: &mut HashMap<String, usize>) -> io::Result<()> {
        let (index, names) = Index::read_with_names(File::open(folder.join(INDEX))?)?;
        let mut packs = Vec::with_capacity(index.packs.len());
        for digest in index.packs {
            if let Some(known) = by_digest.get(&digest) {
                packs.push(*known);
                continue;
            }
            self.packs.push(Pack::at(folder, &digest)?);
            packs.push(self.packs.len() - 1);
            by_digest.insert(digest, self.packs.len() - 1);
        }
        for part in names {
            let Some(&pack) = packs.get(part.stretch.pack) else {
                continue;
            };
            let inside = part.stretch.range().end <= self.packs[pack].kept.size;
            if inside && self.parts.len() < MOST_PARTS {
                self.parts.entry(part.name).or_insert((pack, part.stretch));
            }
        }
        Ok(())
    }
}

impl Shelf for LocalShelf {
    fn find(&self, name: &PartName) -> Option<Part> {
        let (pack, stretch) = self.parts.get(name)?;
        let pack = self.packs.get(*pack)?;
        let file = pack.file.get_or_init(|| checked(&pack.kept)).as_ref()?;
        let extent = Extent {
            file: Arc::clone(file),
            range: stretch.range(),
        };
        Some(Part {
            name: Some(*name),
            extent,
            kept: Some(Arc::clone(&pack.kept)),
        })
    }
}

/// The pack, if its bytes are still what they are called by: a fault of the
/// disk must not be handed on from bundle to bundle.
fn checked(kept: &KeptFile) -> Option<Arc<File>> {
    let file = File::open(&kept.path).ok()?;
    let extents = Extents::of_file(file).ok()?;
    let extent = extents.as_slice().first()?.clone();
    let digest = disk::sha256_of(extents.reader()).ok()?;
    if HEXLOWER.encode(&digest) == kept.digest {
        return Some(extent.file);
    }
    tracing::error!(
        pack = %kept.path.display(),
        "a stored bundle's bytes have changed on the disk; new bundles do without them"
    );
    None
}

/// The folders of the newest blobs of that kind, newest first.
fn newest(project: &Path, kind: BlobKind) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<(SystemTime, PathBuf)> = names(project)?
        .into_iter()
        .filter(|name| kind_of(name) == kind)
        .filter_map(|name| {
            let folder = project.join(name);
            let modified = fs::metadata(folder.join(INDEX)).ok()?.modified().ok()?;
            Some((modified, folder))
        })
        .collect();
    found.sort_by(|one, two| two.cmp(one));
    found.truncate(looked_at(kind));
    Ok(found.into_iter().map(|(_, folder)| folder).collect())
}
