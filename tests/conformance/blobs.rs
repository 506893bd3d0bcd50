//! The contract of `Blobs`.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt;
use hivesync::blobs::store::ObjectBlobs;
use hivesync::blobs::{BlobKey, Blobs};
use hivesync::clock::SystemEntropy;
use hivesync::domain::{JobId, ProjectId};
use hivesync::error::Code;
use tempfile::TempDir;

/// An adapter, and a folder for the files that are put into it.
struct Bench {
    port: ObjectBlobs,
    root: PathBuf,
    folder: TempDir,
}

fn local_bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    std::fs::create_dir(&root).unwrap();
    Bench {
        port: ObjectBlobs::local(&root).unwrap(),
        root,
        folder,
    }
}

fn memory_bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    Bench {
        port: ObjectBlobs::in_memory(),
        root: PathBuf::new(),
        folder,
    }
}

macro_rules! run_for_every_adapter {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $case() {
                let bench = super::memory_bench();
                super::$case(&bench.port, bench.folder.path()).await;
            })*
        }

        mod local {
            $(#[tokio::test]
            async fn $case() {
                let bench = super::local_bench();
                super::$case(&bench.port, bench.folder.path()).await;
            })*
        }
    };
}

run_for_every_adapter!(
    what_is_put_is_read_back,
    a_large_file_comes_back_whole,
    a_range_is_exactly_its_bytes,
    a_put_replaces,
    what_is_absent_is_told_as_such,
    a_deleted_blob_is_gone_and_its_neighbour_stays,
    the_list_has_every_blob,
    a_file_that_cannot_be_read_leaves_nothing,
    readers_see_the_old_or_the_new_blob_whole,
);

fn key(project: i64) -> BlobKey {
    let job = JobId::generate(&SystemEntropy::new());
    BlobKey::bundle(ProjectId(project), &job)
}

/// A file of `size` bytes, no two stretches of which are alike.
fn file(folder: &Path, size: usize) -> (PathBuf, Vec<u8>) {
    let bytes: Vec<u8> = (0_u32..)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(size)
        .collect();
    let path = folder.join(format!("file of {size}"));
    std::fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

async fn read(port: &dyn Blobs, key: &BlobKey, range: std::ops::Range<u64>) -> Vec<u8> {
    let chunks: Vec<Bytes> = port
        .read(key, range)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    chunks.concat()
}

async fn what_is_put_is_read_back(port: &dyn Blobs, folder: &Path) {
    for size in [0, 1, 70_000] {
        let (path, bytes) = file(folder, size);
        let key = key(1);
        port.put_file(&key, &path).await.unwrap();
        let info = port.head(&key).await.unwrap().unwrap();
        assert_eq!((info.key.as_str(), info.size), (key.as_str(), size as u64));
        assert!(info.modified.as_secs() > 1_600_000_000);
        assert!(read(port, &key, 0..size as u64).await == bytes);
        assert!(path.exists(), "the file stays with its owner");
    }
}

async fn a_large_file_comes_back_whole(port: &dyn Blobs, folder: &Path) {
    // Around the sizes at which an upload takes one part more.
    let step = 5 * 1024 * 1024;
    for size in [step - 1, step, step + 1, 2 * step, 2 * step + 12_345] {
        let (path, bytes) = file(folder, size);
        let key = key(1);
        port.put_file(&key, &path).await.unwrap();
        assert!(read(port, &key, 0..size as u64).await == bytes, "{size}");
    }
}

async fn a_range_is_exactly_its_bytes(port: &dyn Blobs, folder: &Path) {
    let (path, bytes) = file(folder, 600_000);
    let key = key(1);
    port.put_file(&key, &path).await.unwrap();
    for range in [
        0..1,
        0..600_000,
        599_999..600_000,
        262_143..524_290,
        5..5,
        600_000..600_000,
    ] {
        let expected = &bytes[range.start..range.end];
        let found = read(port, &key, range.start as u64..range.end as u64).await;
        assert!(found == expected, "{range:?}");
    }
}

async fn a_put_replaces(port: &dyn Blobs, folder: &Path) {
    let key = key(1);
    let (long, _) = file(folder, 9000);
    let (short, bytes) = file(folder, 10);
    port.put_file(&key, &long).await.unwrap();
    port.put_file(&key, &short).await.unwrap();
    assert_eq!(port.head(&key).await.unwrap().unwrap().size, 10);
    assert_eq!(read(port, &key, 0..10).await, bytes);
    assert_eq!(port.list().await.unwrap().len(), 1);
}

async fn what_is_absent_is_told_as_such(port: &dyn Blobs, _: &Path) {
    let key = key(1);
    assert_eq!(port.head(&key).await.unwrap(), None);
    for range in [0..1, 0..0] {
        let refusal = port.read(&key, range).await.err().unwrap();
        assert_eq!(refusal.code, Code::NotFound);
    }
    port.delete(&key).await.unwrap();
    assert_eq!(port.list().await.unwrap(), []);
}

async fn a_deleted_blob_is_gone_and_its_neighbour_stays(port: &dyn Blobs, folder: &Path) {
    let (path, bytes) = file(folder, 100);
    let (gone, kept) = (key(1), key(1));
    port.put_file(&gone, &path).await.unwrap();
    port.put_file(&kept, &path).await.unwrap();
    port.delete(&gone).await.unwrap();
    port.delete(&gone).await.unwrap();
    assert_eq!(port.head(&gone).await.unwrap(), None);
    assert_eq!(read(port, &kept, 0..100).await, bytes);
    // The same key may be used again.
    port.put_file(&gone, &path).await.unwrap();
    assert_eq!(read(port, &gone, 0..100).await, bytes);
}

async fn the_list_has_every_blob(port: &dyn Blobs, folder: &Path) {
    let (path, _) = file(folder, 100);
    let mut expected = Vec::new();
    for project in [1, 1, 2, 33] {
        let key = key(project);
        port.put_file(&key, &path).await.unwrap();
        expected.push((key.to_string(), 100));
    }
    let listed = port.list().await.unwrap();
    let mut found: Vec<_> = listed.into_iter().map(|b| (b.key, b.size)).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

async fn a_file_that_cannot_be_read_leaves_nothing(port: &dyn Blobs, folder: &Path) {
    let key = key(1);
    // The one cannot be opened, the other opens and then cannot be read.
    for path in [folder.join("missing"), folder.to_owned()] {
        port.put_file(&key, &path).await.unwrap_err();
        assert_eq!(port.head(&key).await.unwrap(), None);
        assert_eq!(port.list().await.unwrap(), []);
    }
}

async fn readers_see_the_old_or_the_new_blob_whole(port: &dyn Blobs, folder: &Path) {
    let key = key(1);
    let (small, _) = file(folder, 50_000);
    let (large, bytes) = file(folder, 6_000_000);
    port.put_file(&key, &small).await.unwrap();
    let write = async {
        for path in [&large, &small, &large, &small] {
            port.put_file(&key, path).await.unwrap();
        }
    };
    let look = async {
        for _ in 0..50 {
            let size = port.head(&key).await.unwrap().unwrap().size;
            assert!(size == 50_000 || size == 6_000_000, "{size}");
            // Both files start alike.
            assert!(read(port, &key, 0..50_000).await == bytes[..50_000]);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, look);
}

/// What holds for files on this machine's disk beyond the contract.
mod disk {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn entries(folder: &Path) -> Vec<PathBuf> {
        ignore::WalkBuilder::new(folder)
            .standard_filters(false)
            .build()
            .skip(1)
            .map(|entry| entry.unwrap().into_path())
            .collect()
    }

    #[tokio::test]
    async fn files_and_folders_are_closed_to_others() {
        let bench = local_bench();
        for size in [10, 6_000_000] {
            let (path, bytes) = file(bench.folder.path(), size);
            let key = key(7);
            bench.port.put_file(&key, &path).await.unwrap();
            let blob = bench.port.local_path(&key).unwrap();
            assert_eq!(blob, bench.root.join(key.as_str()));
            assert!(std::fs::read(&blob).unwrap() == bytes);
            assert_eq!(mode(&blob), 0o600);
            for folder in blob.ancestors().skip(1).take(3) {
                assert_eq!(mode(folder), 0o700, "{}", folder.display());
            }
        }
    }

    #[tokio::test]
    async fn a_deleted_blob_leaves_no_folder_and_no_half_written_part() {
        let bench = local_bench();
        let (path, _) = file(bench.folder.path(), 10);
        let key = key(7);
        bench.port.put_file(&key, &path).await.unwrap();
        let blob = bench.port.local_path(&key).unwrap();
        // As a killed process leaves it.
        std::fs::write(blob.with_file_name("bundle.zip#1"), "half").unwrap();
        assert_eq!(bench.port.list().await.unwrap().len(), 1);
        bench.port.delete(&key).await.unwrap();
        assert_eq!(entries(&bench.root), [bench.root.join("previews")]);
    }

    #[tokio::test]
    async fn a_write_that_fails_at_its_last_step_leaves_nothing() {
        let bench = local_bench();
        for size in [10, 6_000_000] {
            let (path, _) = file(bench.folder.path(), size);
            let key = key(7);
            // A folder in the blob's place lets everything but the rename
            // succeed.
            let in_the_way = bench.port.local_path(&key).unwrap().join("full");
            std::fs::create_dir_all(&in_the_way).unwrap();
            bench.port.put_file(&key, &path).await.unwrap_err();
            std::fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
            let left = entries(in_the_way.ancestors().nth(2).unwrap());
            assert!(left.is_empty(), "{left:?}");
        }
    }

    #[tokio::test]
    async fn blobs_of_one_project_may_come_and_go_at_once() {
        let bench = local_bench();
        let (path, bytes) = file(bench.folder.path(), 100);
        let come_and_go = (0..8).map(|_| async {
            for _ in 0..10 {
                let key = key(7);
                bench.port.put_file(&key, &path).await.unwrap();
                assert!(read(&bench.port, &key, 0..100).await == bytes);
                bench.port.delete(&key).await.unwrap();
            }
        });
        futures::future::join_all(come_and_go).await;
        assert_eq!(entries(&bench.root), [bench.root.join("previews")]);
    }
}
