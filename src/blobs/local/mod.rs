//! The adapter that keeps bundles on this machine's disk, each byte once.
//!
//! ```text
//! previews/<project>/<job>/bundle.index     which bytes of which packs it is
//!                          <sha256>.pack    bytes, named by their digest
//! previews/<project>/<job>.hbc/…            the same of its bytecode
//! previews/.new/…                           blobs being put, and no more than that
//! ```
//!
//! A put writes the bytes that no earlier bundle has into *one* pack of its own
//! and gives its folder **hard links** to the packs that it shares. So the file
//! system counts the references: a pack's bytes go with the last folder that
//! names them, in whatever order bundles come and go, and after a crash at any
//! moment. Nothing is ever scanned, locked or collected.
//!
//! One pack for a bundle instead of one file for a part, because then a put is
//! two files to sync, however many parts it has, and a bundle is read in a
//! few long stretches.
//!
//! A bundle shares a pack only if it uses at least half of it, and copies the
//! bytes otherwise; so what lies on the disk is at most twice what is in use,
//! however a project changes over time ([`put`]). Where the file system has no
//! hard links, or no more for that file, the bytes are copied too.
//!
//! A folder is made aside, synced, and renamed to its name. Folders with a
//! `bundle.zip`, as earlier versions wrote them, are read as well.

mod index;
mod opened;
mod put;
mod shelf;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use self::index::Index;
use self::opened::Opened;
use super::extent::{Extent, Extents, Reader};
use super::part::{Part, Shelf};
use super::{BlobInfo, BlobKey, BlobKind, Blobs};
use crate::clock::Timestamp;
use crate::disk;
use crate::domain::ProjectId;
use crate::error::{Code, Context, Error, Result};

/// Every key starts with it.
const PREFIX: &str = "previews";
/// Where bundles are made, below [`PREFIX`]. No project is called so.
const NEW: &str = ".new";
/// A bundle is there if its folder has this file.
const INDEX: &str = "bundle.index";
/// A whole bundle, as earlier versions kept it.
const PLAIN: &str = BlobKind::Bundle.file_name();
/// Ends the name of a folder with bytecode. No job is called so.
const BYTECODE: &str = ".hbc";
/// One read of a blob on its way out.
const PIECE: usize = 256 * 1024;
/// A blob may be replaced between the reads of its index and of its packs, but
/// hardly this often.
const TRIES: u32 = 5;

pub struct LocalBlobs {
    root: PathBuf,
    /// Tells puts under way apart.
    puts: Arc<AtomicU64>,
    opened: Arc<Opened>,
}

impl LocalBlobs {
    /// Bundles below `root`, an existing folder that no other process uses.
    /// What an interrupted put has left there is removed.
    ///
    /// # Errors
    /// `DEPENDENCY_FAILURE` when the folder cannot be used.
    pub fn open(root: &Path) -> Result<Self> {
        disk::remove_tree(&root.join(PREFIX).join(NEW)).or_code(
            Code::DependencyFailure,
            "remove bundles that were being stored",
        )?;
        Ok(Self {
            root: root.to_owned(),
            puts: Arc::default(),
            opened: Arc::default(),
        })
    }

    /// The folder of one blob.
    fn folder(&self, key: &BlobKey) -> PathBuf {
        let blob = self.root.join(key.as_str());
        let folder = blob.parent().map_or(blob.clone(), Path::to_owned);
        if blob.ends_with(BlobKind::Bytecode.file_name()) {
            folder.with_extension(&BYTECODE[1..])
        } else {
            folder
        }
    }

    /// Does what changes a blob. Nobody is given the old one when it is over,
    /// even if it failed halfway, or the caller has gone.
    async fn change(
        &self,
        verb: &str,
        key: &BlobKey,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let (opened, changed) = (Arc::clone(&self.opened), key.clone());
        off_thread(verb, key, move || {
            let done = work();
            opened.forget(&changed);
            done
        })
        .await
    }
}

#[async_trait]
impl Blobs for LocalBlobs {
    async fn put(&self, key: &BlobKey, parts: &[Part]) -> Result<()> {
        let target = put::Target::new(&self.root, self.folder(key), &self.puts);
        let parts = parts.to_vec();
        self.change("store", key, move || target.put(&parts)).await
    }

    async fn shelf(&self, project: ProjectId, kind: BlobKind) -> Result<Arc<dyn Shelf>> {
        let folder = self.root.join(PREFIX).join(project.to_string());
        let parts = tokio::task::spawn_blocking(move || shelf::LocalShelf::of(&folder, kind))
            .await
            .or_internal("look through a project's bundles")?;
        Ok(Arc::new(parts))
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobInfo>> {
        let (folder, name) = (self.folder(key), key.to_string());
        off_thread("look up", key, move || info(&folder, name)).await
    }

    async fn read(
        &self,
        key: &BlobKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let extents = self.on_disk(key).await?.unwrap_or_default();
        let what = format!("read {key}");
        let reader = extents.slice(range).reader();
        Ok(stream::try_unfold(reader, move |reader| {
            let what = what.clone();
            async move {
                let read = tokio::task::spawn_blocking(move || next_piece(reader))
                    .await
                    .or_internal(&what)?;
                read.or_code(Code::DependencyFailure, &what)
            }
        })
        .boxed())
    }

    async fn on_disk(&self, key: &BlobKey) -> Result<Option<Arc<Extents>>> {
        if let Some(extents) = self.opened.find(key) {
            return Ok(Some(extents));
        }
        let (folder, name) = (self.folder(key), key.clone());
        let opened = Arc::clone(&self.opened);
        let open = move || opened.open(&name, || open(&folder));
        match off_thread("open", key, open).await? {
            Some(extents) => Ok(Some(extents)),
            None => Err(Error::new(
                Code::NotFound,
                format!("there is no blob {key}"),
            )),
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        let folder = self.folder(key);
        self.change("delete", key, move || delete(&folder)).await
    }

    async fn list(&self) -> Result<Vec<BlobInfo>> {
        let previews = self.root.join(PREFIX);
        tokio::task::spawn_blocking(move || list(&previews))
            .await
            .or_internal("list the bundles")?
            .or_code(Code::DependencyFailure, "list the bundles")
    }

    fn name(&self) -> &'static str {
        "local"
    }
}

/// Does what may block where it may.
async fn off_thread<T: Send + 'static>(
    verb: &str,
    key: &BlobKey,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let what = format!("{verb} {key}");
    tokio::task::spawn_blocking(work)
        .await
        .or_internal(&what)?
        .map_err(|e| {
            let code = disk::code_of(&e, Code::DependencyFailure);
            Error::new(code, format!("could not {what}")).caused_by(e)
        })
}

/// The blob of `folder`; `None` when there is none.
fn open(folder: &Path) -> io::Result<Option<Extents>> {
    let mut tries = 0;
    loop {
        tries += 1;
        let index = match File::open(folder.join(INDEX)) {
            Ok(file) => Index::read(file)?,
            Err(e) if is_absent(&e) => return open_plain(&folder.join(PLAIN)),
            Err(e) => return Err(e),
        };
        match open_packs(folder, &index) {
            Err(e) if is_absent(&e) && tries < TRIES => {}
            opened => return opened.map(Some),
        }
    }
}

fn open_plain(path: &Path) -> io::Result<Option<Extents>> {
    match File::open(path) {
        Ok(file) => Extents::of_file(file).map(Some),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

fn open_packs(folder: &Path, index: &Index) -> io::Result<Extents> {
    let mut packs = Vec::with_capacity(index.packs.len());
    for digest in &index.packs {
        packs.push(Arc::new(File::open(pack_path(folder, digest))?));
    }
    index
        .stretches
        .iter()
        .map(|stretch| {
            let file = packs.get(stretch.pack).ok_or_else(index::damaged)?;
            Ok(Extent {
                file: Arc::clone(file),
                range: stretch.range(),
            })
        })
        .collect()
}

fn pack_path(folder: &Path, digest: &str) -> PathBuf {
    folder.join(format!("{digest}.pack"))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The next bytes and where to go on; `None` at the end.
fn next_piece(mut reader: Reader) -> io::Result<Option<(Bytes, Reader)>> {
    let mut piece = vec![0; PIECE];
    let filled = reader.fill(&mut piece)?;
    piece.truncate(filled);
    Ok((filled > 0).then(|| (Bytes::from(piece), reader)))
}

fn info(folder: &Path, key: String) -> io::Result<Option<BlobInfo>> {
    let (size, meta) = match File::open(folder.join(INDEX)) {
        Ok(file) => (Index::read(file.try_clone()?)?.size, file.metadata()?),
        Err(e) if is_absent(&e) => match fs::metadata(folder.join(PLAIN)) {
            Ok(meta) if meta.is_file() => (meta.len(), meta),
            Ok(_) => return Ok(None),
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(e),
        },
        Err(e) => return Err(e),
    };
    let modified = meta.modified()?.duration_since(UNIX_EPOCH);
    let millis = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    Ok(Some(BlobInfo {
        key,
        size,
        modified: Timestamp::from_millis(millis),
    }))
}

/// The index goes first: without it the rest is no blob.
fn delete(folder: &Path) -> io::Result<()> {
    for name in [INDEX, PLAIN] {
        match fs::remove_file(folder.join(name)) {
            Err(e) if !is_absent(&e) => return Err(e),
            _ => {}
        }
    }
    disk::remove_tree(folder)?;
    remove_if_empty(folder.parent().unwrap_or(folder))
}

fn remove_if_empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty || is_absent(&e) => Ok(()),
        other => other,
    }
}

fn list(previews: &Path) -> io::Result<Vec<BlobInfo>> {
    let mut found = Vec::new();
    for project in names(previews)? {
        if project == NEW {
            continue;
        }
        for name in names(&previews.join(&project))? {
            let folder = previews.join(&project).join(&name);
            let file = kind_of(&name).file_name();
            let job = name.strip_suffix(BYTECODE).unwrap_or(&name);
            let key = format!("{PREFIX}/{project}/{job}/{file}");
            found.extend(info(&folder, key)?);
        }
    }
    Ok(found)
}

/// What lies in a project's folder of that name.
fn kind_of(folder: &str) -> BlobKind {
    if folder.ends_with(BYTECODE) {
        BlobKind::Bytecode
    } else {
        BlobKind::Bundle
    }
}

/// The folders in `folder`; none if it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}
