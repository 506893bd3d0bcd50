//! Metro's file maps: lists of a project's files that a bundler leaves in its
//! temporary folder and looks for there the next time. They are kept between
//! builds, as copies: Metro writes them in place.
//!
//! The folder was a build's to write, so what lies there is taken for no more than
//! it is: plain files, the newest few of them, and within bounds that go by how
//! long a file says it is. One of holes takes no room until it is copied.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};

use super::stop::Stop;
use crate::config::BuildLimits;
use crate::data_dir::DataDir;
use crate::error::{Context, Result};

/// Of one project: one for each bundler and configuration.
const MOST: usize = 8;
/// That of a large project has some tens of megabytes.
const LARGEST: u64 = 128 << 20;
/// Bytes of a project's together.
const TOGETHER: u64 = 256 << 20;

/// Where a project's are kept, and what they may take.
#[derive(Clone, Debug)]
pub(super) struct FileMaps {
    kept: PathBuf,
    data: DataDir,
    /// Bytes of the disk that stay free.
    reserve: u64,
    /// Bytes of all of them.
    together: u64,
}

struct FileMap {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl FileMaps {
    pub(super) fn new(kept: PathBuf, data: &DataDir, limits: &BuildLimits) -> Self {
        Self {
            kept,
            data: data.clone(),
            reserve: limits.free_bytes,
            // What is lent counts as written by the build that it is lent to.
            together: TOGETHER.min(limits.disk_bytes / 4),
        }
    }

    /// Puts copies of those that are kept into `tmp`. Blocking.
    ///
    /// # Errors
    /// Those of [`Stop::check`], `STORAGE_FULL`, and those of the disk.
    pub(super) fn lend(&self, tmp: &Path, stop: &Stop) -> Result<()> {
        for map in self.newest(&self.kept, stop)? {
            self.copy(&map, tmp, stop)?;
        }
        Ok(())
    }

    /// Keeps copies of those that a build has left in `tmp`, and no older ones
    /// that do not fit beside them. Blocking.
    ///
    /// # Errors
    /// As [`FileMaps::lend`].
    pub(super) fn keep(&self, tmp: &Path, stop: &Stop) -> Result<()> {
        for map in self.newest(tmp, stop)? {
            self.copy(&map, &self.kept, stop)?;
        }
        let fitting = self.newest(&self.kept, stop)?;
        for entry in fs::read_dir(&self.kept).into_iter().flatten().flatten() {
            if fitting.iter().all(|map| map.path != entry.path()) {
                // What stays is met again by the next build.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// The newest in `folder` that fit together.
    fn newest(&self, folder: &Path, stop: &Stop) -> Result<Vec<FileMap>> {
        let by_age = |map: &FileMap| std::cmp::Reverse(map.modified);
        let mut found: Vec<FileMap> = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            stop.check()?;
            found.extend(file_map(&entry));
            // There may be a million.
            if found.len() > 8 * MOST {
                found.sort_by_key(by_age);
                found.truncate(MOST);
            }
        }
        found.sort_by_key(by_age);
        found.truncate(MOST);
        let mut left = self.together;
        found.retain(|map| {
            let rest = left.checked_sub(map.bytes);
            left = rest.unwrap_or(left);
            rest.is_some()
        });
        Ok(found)
    }

    /// Aside and renamed: another build of the project may be reading.
    fn copy(&self, map: &FileMap, into: &Path, stop: &Stop) -> Result<()> {
        let what = "copy a file map";
        self.data
            .require_free(self.reserve.saturating_add(map.bytes))?;
        let Some(name) = map.path.file_name() else {
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&map.path, flags, Mode::empty());
        let from = File::from(opened.or_internal(what)?);
        let aside = into.parent().unwrap_or(into);
        let mut aside = tempfile::NamedTempFile::new_in(aside).or_internal(what)?;
        stop.reading(what, io::Read::take(from, map.bytes), |mut from| {
            io::copy(&mut from, &mut aside)
        })?;
        aside.persist(into.join(name)).or_internal(what)?;
        Ok(())
    }
}

/// Plain files only.
fn file_map(entry: &fs::DirEntry) -> Option<FileMap> {
    let name = entry.file_name();
    let name = name.to_str()?;
    if !name.starts_with("metro-file-map-") && !name.starts_with("haste-map-") {
        return None;
    }
    let meta = fs::symlink_metadata(entry.path()).ok()?;
    (meta.is_file() && meta.len() <= LARGEST).then(|| FileMap {
        path: entry.path(),
        bytes: meta.len(),
        modified: meta.modified().ok(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::bundle::stop::Limit;
    use crate::error::Code;

    struct Bench {
        folder: tempfile::TempDir,
        maps: FileMaps,
        stop: Stop,
    }

    impl Bench {
        fn new(together: u64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["cache/kept", "bench/tmp"] {
                fs::create_dir_all(folder.path().join(name)).unwrap();
            }
            let maps = FileMaps {
                kept: folder.path().join("cache/kept"),
                data: DataDir::open(&folder.path().join("data")).unwrap(),
                reserve: 0,
                together,
            };
            let stop = Stop {
                limit: Limit::starting_now(Duration::from_hours(1), "X"),
                cancel: CancellationToken::new(),
            };
            Self { folder, maps, stop }
        }

        fn tmp(&self) -> PathBuf {
            self.folder.path().join("bench/tmp")
        }

        /// A file of holes, so many seconds after another of age 0.
        fn write(&self, name: &str, bytes: u64, second: u64) {
            let file = File::create(self.tmp().join(name)).unwrap();
            file.set_len(bytes).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            file.set_modified(time).unwrap();
        }

        fn kept(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.maps.kept).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_newest_are_kept_and_lent_again() {
        let bench = Bench::new(1000);
        for age in 0..100 {
            bench.write(&format!("metro-file-map-{age:02}"), 1, age);
        }
        bench.write("other", 1, 1000);
        std::os::unix::fs::symlink("other", bench.tmp().join("haste-map-link")).unwrap();
        bench.maps.keep(&bench.tmp(), &bench.stop).unwrap();
        let newest: Vec<String> = (92..100)
            .map(|age| format!("metro-file-map-{age}"))
            .collect();
        assert_eq!(bench.kept(), newest);
        let again = bench.folder.path().join("bench/again");
        fs::create_dir(&again).unwrap();
        bench.maps.lend(&again, &bench.stop).unwrap();
        assert_eq!(fs::read_dir(&again).unwrap().count(), MOST);
    }

    #[test]
    fn files_of_holes_count_as_long_as_they_are() {
        let bench = Bench::new(10 << 20);
        bench.write("metro-file-map-a", 6 << 20, 3);
        bench.write("metro-file-map-b", 6 << 20, 2);
        bench.write("metro-file-map-c", 4 << 20, 1);
        bench.write("metro-file-map-d", LARGEST + 1, 4);
        bench.maps.keep(&bench.tmp(), &bench.stop).unwrap();
        assert_eq!(bench.kept(), ["metro-file-map-a", "metro-file-map-c"]);
    }

    #[test]
    fn nothing_is_copied_past_a_cancel_or_the_reserve() {
        let mut bench = Bench::new(1000);
        bench.write("metro-file-map-a", 1, 0);
        bench.stop.cancel.cancel();
        let error = bench.maps.keep(&bench.tmp(), &bench.stop).unwrap_err();
        assert_eq!(error.code, Code::Cancelled);
        bench.stop.cancel = CancellationToken::new();
        bench.maps.reserve = u64::MAX;
        let error = bench.maps.keep(&bench.tmp(), &bench.stop).unwrap_err();
        assert_eq!(error.code, Code::StorageFull);
        assert!(bench.kept().is_empty());
    }
}
