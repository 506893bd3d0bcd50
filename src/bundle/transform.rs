//! What a project's bundlers keep between builds: Metro's transform cache and
//! file maps, and `node_modules/.cache`. It belongs to one project and is
//! shared by all its builds.
//!
//! A *stamp* for each platform says which toolchain and configuration the
//! cache was last filled with: only then is a build *warm*.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ring::digest::{Context as Digest, SHA256};
use serde::{Deserialize, Serialize};

use super::detect::{CONFIG_FILE, Plan};
use super::file_maps::FileMaps;
use super::sandbox::Access;
use super::stop::{Limit, Stop};
use super::tree;
use super::workbench::{Build, blocking, make_dir};
use crate::config::BuildLimits;
use crate::data_dir::DataDir;
use crate::domain::ProjectId;
use crate::domain::preview::Platform;
use crate::error::{Context, Result};

/// The folder of file maps.
const FILE_MAPS: &str = "file-maps";
/// How long a build may wait for copies of its file maps.
const KEEPING: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct TransformCache {
    dir: PathBuf,
    maps: FileMaps,
}

/// What the cache was filled with.
#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    key: String,
}

impl TransformCache {
    /// The project's cache, made where it is missing.
    pub fn open(data: &DataDir, project: ProjectId, limits: &BuildLimits) -> Result<Self> {
        let dir = data.transform_cache(project);
        for sub in ["metro", "modules", FILE_MAPS, "stamps"] {
            make_dir(&dir.join(sub))?;
        }
        Ok(Self {
            maps: FileMaps::new(dir.join(FILE_MAPS), data, limits),
            dir,
        })
    }

    /// Gives a build the cache: Metro looks for it in the temporary folder.
    pub async fn lend(&self, build: &mut Build) -> Result<()> {
        let place = build.bench.tmp.join("metro-cache");
        make_dir(&place)?;
        build
            .cell
            .graft(&self.dir.join("metro"), &place, Access::ReadWrite)
            .or_internal("lend the transform cache")?;
        let (maps, tmp, stop) = (self.maps.clone(), build.bench.tmp.clone(), build.stop());
        blocking(move || maps.lend(&tmp, &stop)).await
    }

    /// The folder that stands for the project's `node_modules/.cache`.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }

    /// Takes back what the build has left in its temporary folder, however it
    /// ended. What cannot be kept only makes the next build slower.
    pub async fn keep(&self, build: &Build) {
        let (maps, tmp) = (self.maps.clone(), build.bench.tmp.clone());
        // The build's own time may be over.
        let stop = Stop {
            limit: Limit::starting_now(KEEPING, "PREVIEW_MAX_TIMEOUT_MS"),
            ..build.stop()
        };
        if let Err(error) = blocking(move || maps.keep(&tmp, &stop)).await {
            tracing::info!(error = %error.chain(), "file maps were not kept");
        }
    }

    /// Whether the cache was filled for this platform by a build with the same
    /// `key`.
    #[must_use]
    pub fn is_warm(&self, platform: Platform, key: &str) -> bool {
        let stamp = fs::read(self.stamp(platform))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok());
        stamp.is_some_and(|stamp| stamp.key == key)
    }

    /// Notes that a build with this `key` has filled the cache for the platform.
    ///
    /// # Errors
    /// When the stamp cannot be written.
    pub fn put_stamp(&self, platform: Platform, key: &str) -> Result<()> {
        let stamp = Stamp {
            key: key.to_owned(),
        };
        let bytes = serde_json::to_vec(&stamp).or_internal("encode a cache stamp")?;
        fs::write(self.stamp(platform), bytes).or_internal("write a cache stamp")
    }

    fn stamp(&self, platform: Platform) -> PathBuf {
        self.dir.join("stamps").join(format!("{platform}.json"))
    }
}

/// [`cache_key`] of a build with these dependencies.
///
/// # Errors
/// As there.
pub async fn key_of(build: &Build, dependencies: &str) -> Result<String> {
    let (plan, dependencies) = (build.plan.clone(), dependencies.to_owned());
    let (level, stop) = (build.cell.level(), build.stop());
    blocking(move || cache_key(&plan, &dependencies, level.as_str(), &stop)).await
}

/// The key of a build's cache: what makes bundlers start over when it changes.
/// Blocking.
///
/// # Errors
/// Those of [`Stop::check`], and those of reading.
pub fn cache_key(plan: &Plan, dependencies: &str, level: &str, stop: &Stop) -> Result<String> {
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
        let opened = tree::open(&plan.tree, &file);
        if let (Some((opened, length)), Some(name)) = (opened, file.file_name()) {
            digest.update(name.as_encoded_bytes());
            tree::digest_into(&mut digest, opened, length, stop)?;
        }
    }
    Ok(data_encoding::HEXLOWER.encode(digest.finish().as_ref()))
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
