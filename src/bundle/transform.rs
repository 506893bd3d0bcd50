//! What a project's bundlers keep between builds: Metro's transform cache and
//! file maps, and `node_modules/.cache`. It belongs to one project and is
//! shared by all its builds.
//!
//! A *stamp* for each platform says which toolchain and configuration the
//! cache was last filled with: only then is a build *warm*, and held to the
//! short limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context as Digest, SHA256};
use serde::{Deserialize, Serialize};

use super::detect::{CONFIG_FILE, Plan};
use super::sandbox::{Access, Cell};
use super::tree;
use super::workbench::{Workbench, make_dir};
use crate::domain::preview::Platform;
use crate::domain::project::ProjectKind;
use crate::error::{Context, Result};

/// File maps of one project: one for each bundler and configuration.
const FILE_MAPS: usize = 8;
/// A file map of a large project has some tens of megabytes.
const LARGEST_FILE_MAP: u64 = 128 << 20;

#[derive(Clone, Debug)]
pub struct TransformCache {
    dir: PathBuf,
}

/// What the cache was filled with, and how long that took.
#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    key: String,
    bundle_ms: u64,
}

impl TransformCache {
    /// The cache below `dir`, made where it is missing.
    pub fn open(dir: &Path) -> Result<Self> {
        for sub in ["metro", "modules", "file-maps", "stamps"] {
            make_dir(&dir.join(sub))?;
        }
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Gives a build the cache: Metro looks for it in the temporary folder.
    pub fn lend(&self, bench: &Workbench, cell: &mut Cell) -> Result<()> {
        let place = bench.tmp.join("metro-cache");
        make_dir(&place)?;
        cell.graft(&self.dir.join("metro"), &place, Access::ReadWrite)
            .or_internal("lend the transform cache")?;
        for map in file_maps(&self.dir.join("file-maps")) {
            if let Some(name) = map.file_name() {
                fs::copy(&map, bench.tmp.join(name)).or_internal("lend a file map")?;
            }
        }
        Ok(())
    }

    /// The folder that stands for the project's `node_modules/.cache`.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }

    /// Takes back what the build has left in its temporary folder.
    pub fn keep(&self, bench: &Workbench) -> Result<()> {
        let kept = self.dir.join("file-maps");
        for map in file_maps(&bench.tmp) {
            let Some(name) = map.file_name() else {
                continue;
            };
            // Aside and renamed: another build of the project may be reading.
            let aside =
                tempfile::NamedTempFile::new_in(&self.dir).or_internal("keep a file map")?;
            fs::copy(&map, aside.path()).or_internal("keep a file map")?;
            aside
                .persist(kept.join(name))
                .or_internal("keep a file map")?;
        }
        let mut all = file_maps(&kept);
        all.sort_by_key(|map| {
            let modified = map.metadata().and_then(|meta| meta.modified());
            std::cmp::Reverse(modified.ok())
        });
        for old in all.iter().skip(FILE_MAPS) {
            let _ = fs::remove_file(old);
        }
        Ok(())
    }

    /// Whether the cache was filled for this platform by a build with the same
    /// `key`. The build script of a web project keeps no cache that we could
    /// know of: it counts once it has shown to fit `limit` with room to spare.
    #[must_use]
    pub fn is_warm(
        &self,
        platform: Platform,
        kind: ProjectKind,
        key: &str,
        limit: Duration,
    ) -> bool {
        let stamp = fs::read(self.stamp(platform))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok());
        stamp.is_some_and(|stamp| {
            let fits = Duration::from_millis(stamp.bundle_ms.saturating_mul(2)) <= limit;
            stamp.key == key && (kind != ProjectKind::Web || fits)
        })
    }

    pub fn put_stamp(&self, platform: Platform, key: &str, took: Duration) -> Result<()> {
        let stamp = Stamp {
            key: key.to_owned(),
            bundle_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        let bytes = serde_json::to_vec(&stamp).or_internal("encode a cache stamp")?;
        fs::write(self.stamp(platform), bytes).or_internal("write a cache stamp")
    }

    /// The next build is cold, whatever the cache holds. After a warm build
    /// ran out of time: its successor gets the long limit.
    pub fn forget_stamp(&self, platform: Platform) {
        let _ = fs::remove_file(self.stamp(platform));
    }

    fn stamp(&self, platform: Platform) -> PathBuf {
        self.dir.join("stamps").join(format!("{platform}.json"))
    }
}

/// The key of a build's cache: what makes bundlers start over when it changes.
#[must_use]
pub fn cache_key(plan: &Plan, dependencies: &str, level: &str) -> String {
    let mut digest = Digest::new(&SHA256);
    for part in [dependencies, level, plan.kind.as_str()] {
        digest.update(part.as_bytes());
        digest.update(&[0]);
    }
    let mut files: Vec<PathBuf> = [&plan.tree, &plan.root]
        .into_iter()
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten())
        .filter(|entry| entry.file_name().to_str().is_some_and(configures))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.dedup();
    for file in files {
        if let (Some(bytes), Some(name)) = (tree::read(&plan.tree, &file), file.file_name()) {
            digest.update(name.as_encoded_bytes());
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(&bytes);
        }
    }
    data_encoding::HEXLOWER.encode(digest.finish().as_ref())
}

/// Whether a file of this name configures bundlers, in whatever folder it
/// lies: they look for some of them next to each source.
#[must_use]
pub fn configures(name: &str) -> bool {
    [
        "babel.config.",
        ".babelrc",
        "metro.config.",
        "postcss.config.",
        "react-native.config.",
        "app.config.",
        ".browserslistrc",
        ".env",
        "tsconfig.",
        "jsconfig.",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
        || ["app.json", "package.json", CONFIG_FILE].contains(&name)
}

/// Plain files only: the folder was a build's to write.
fn file_maps(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let named = name.to_str().is_some_and(|name| {
                name.starts_with("metro-file-map-") || name.starts_with("haste-map-")
            });
            named
                && fs::symlink_metadata(entry.path())
                    .is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST_FILE_MAP)
        })
        .map(|entry| entry.path())
        .collect()
}
