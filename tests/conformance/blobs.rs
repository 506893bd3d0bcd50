//! The contract of `Blobs`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use hivesync::blobs::local::LocalBlobs;
use hivesync::blobs::store::ObjectBlobs;
use hivesync::blobs::{BlobKey, BlobKind, Blobs, Extent, Part, PartName};
use hivesync::clock::SystemEntropy;
use hivesync::domain::{JobId, ProjectId};
use hivesync::error::Code;
use tempfile::TempDir;

/// An adapter, and a folder for the files that are put into it.
pub(crate) struct Bench<B> {
    pub(crate) port: B,
    pub(crate) root: PathBuf,
    pub(crate) folder: TempDir,
}

pub(crate) fn local_bench() -> Bench<LocalBlobs> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    std::fs::create_dir(&root).unwrap();
    Bench {
        port: LocalBlobs::open(&root).unwrap(),
        root,
        folder,
    }
}

fn memory_bench() -> Bench<ObjectBlobs> {
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
    parts_are_put_one_after_the_other,
    a_bundle_of_the_shelf_s_parts_reads_the_same,
    an_opened_blob_outlives_its_deletion,
    a_blob_that_is_replaced_is_read_anew,
    bytecode_lies_beside_its_bundle,
);

pub(crate) fn key(project: i64) -> BlobKey {
    let job = JobId::generate(&SystemEntropy::new(), hivesync::clock::Timestamp::default());
    BlobKey::bundle(ProjectId(project), &job)
}

/// A file of `size` bytes, no two stretches of which are alike.
pub(crate) fn file(folder: &Path, size: usize) -> (PathBuf, Vec<u8>) {
    let bytes: Vec<u8> = (0_u32..)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(size)
        .collect();
    let path = folder.join(format!("file of {size}"));
    std::fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

pub(crate) async fn read(port: &dyn Blobs, key: &BlobKey, range: std::ops::Range<u64>) -> Vec<u8> {
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

fn name(of: &[u8]) -> PartName {
    let digest = ring::digest::digest(&ring::digest::SHA256, of);
    PartName(digest.as_ref().try_into().unwrap())
}

/// Named parts with these bytes.
pub(crate) fn parts(folder: &Path, contents: &[&[u8]]) -> Vec<Part> {
    let path = folder.join("parts");
    std::fs::write(&path, contents.concat()).unwrap();
    let file = Arc::new(File::open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    let mut start = 0;
    let part = |content: &&[u8]| {
        let range = start..start + content.len() as u64;
        start = range.end;
        let file = Arc::clone(&file);
        Part::new(Some(name(content)), Extent { file, range })
    };
    contents.iter().map(part).collect()
}

/// As a bundle is put: what the project's shelf has comes from there. Answers
/// how many parts did.
pub(crate) async fn put_shared(
    port: &dyn Blobs,
    project: i64,
    key: &BlobKey,
    folder: &Path,
    contents: &[&[u8]],
) -> usize {
    let shelf = port
        .shelf(ProjectId(project), BlobKind::Bundle)
        .await
        .unwrap();
    let mut shared = 0;
    let mut parts = parts(folder, contents);
    for part in &mut parts {
        if let Some(known) = shelf.find(&part.name.unwrap()) {
            assert_eq!(known.extent.len(), part.extent.len());
            *part = known;
            shared += 1;
        }
    }
    port.put(key, &parts).await.unwrap();
    shared
}

async fn parts_are_put_one_after_the_other(port: &dyn Blobs, folder: &Path) {
    let (_, bytes) = file(folder, 300_000);
    let (a, b, c) = (&bytes[..7], &bytes[7..200_000], &bytes[200_000..]);
    for contents in [vec![a, b, c], vec![c, &[], a, a], vec![&[]], vec![]] {
        let key = key(1);
        let whole = contents.concat();
        port.put(&key, &parts(folder, &contents)).await.unwrap();
        let size = port.head(&key).await.unwrap().unwrap().size;
        assert_eq!(size, whole.len() as u64);
        assert!(read(port, &key, 0..size).await == whole);
        let middle = size / 3..size - size / 4;
        let expected = &whole[whole.len() / 3..whole.len() - whole.len() / 4];
        assert!(read(port, &key, middle).await == expected);
    }
}

async fn a_bundle_of_the_shelf_s_parts_reads_the_same(port: &dyn Blobs, folder: &Path) {
    let (_, bytes) = file(folder, 400_000);
    let chunks: Vec<&[u8]> = bytes.chunks(50_000).collect();
    let first = key(1);
    put_shared(port, 1, &first, folder, &chunks).await;
    // Some of them, in another order, and others.
    let mixed: Vec<&[u8]> = vec![chunks[3], b"new", chunks[1], chunks[2], chunks[3], b"end"];
    let second = key(1);
    put_shared(port, 1, &second, folder, &mixed).await;
    let third = key(1);
    put_shared(port, 1, &third, folder, &mixed[1..]).await;
    // Another project has a shelf of its own.
    let stranger = key(2);
    assert_eq!(put_shared(port, 2, &stranger, folder, &mixed).await, 0);
    port.delete(&first).await.unwrap();
    port.delete(&second).await.unwrap();
    let whole = mixed[1..].concat();
    let size = whole.len() as u64;
    assert!(read(port, &third, 0..size).await == whole);
    assert!(read(port, &third, 2..size - 2).await == whole[2..whole.len() - 2]);
    assert_eq!(port.list().await.unwrap().len(), 2);
}

async fn an_opened_blob_outlives_its_deletion(port: &dyn Blobs, folder: &Path) {
    let (path, bytes) = file(folder, 600_000);
    let key = key(1);
    port.put_file(&key, &path).await.unwrap();
    let opened = port.on_disk(&key).await.unwrap();
    port.delete(&key).await.unwrap();
    // An adapter elsewhere has nothing on this disk.
    if let Some(opened) = opened {
        let mut found = Vec::new();
        let mut reader = opened.slice(0..opened.size()).reader();
        std::io::Read::read_to_end(&mut reader, &mut found).unwrap();
        assert!(found == bytes);
        assert_eq!(port.on_disk(&key).await.unwrap_err().code, Code::NotFound);
    }
}

async fn a_blob_that_is_replaced_is_read_anew(port: &dyn Blobs, folder: &Path) {
    let key = key(1);
    for size in [600_000, 20] {
        let (path, bytes) = file(folder, size);
        port.put_file(&key, &path).await.unwrap();
        for _ in 0..2 {
            assert!(read(port, &key, 0..size as u64).await == bytes);
        }
        if let Some(opened) = port.on_disk(&key).await.unwrap() {
            assert_eq!(opened.size(), size as u64);
        }
    }
}

/// Two blobs of one job, which know nothing of each other.
async fn bytecode_lies_beside_its_bundle(port: &dyn Blobs, folder: &Path) {
    let (project, job) = (
        ProjectId(1),
        JobId::generate(&SystemEntropy::new(), hivesync::clock::Timestamp::default()),
    );
    let keys = BlobKind::ALL.map(|kind| BlobKey::of(kind, project, &job));
    let contents: [&[u8]; 2] = [b"the bundle", b"the bytecode"];
    for (key, content) in keys.iter().zip(contents) {
        port.put(key, &parts(folder, &[content])).await.unwrap();
    }
    for (key, content) in keys.iter().zip(contents) {
        assert!(read(port, key, 0..content.len() as u64).await == content);
    }
    let mut listed: Vec<_> = port.list().await.unwrap();
    listed.retain(|blob| blob.key.contains(job.as_str()));
    listed.sort_by(|one, two| one.key.cmp(&two.key));
    let listed: Vec<_> = listed.iter().map(|b| (b.key.as_str(), b.size)).collect();
    assert_eq!(listed, [(keys[0].as_str(), 10), (keys[1].as_str(), 12)]);
    let [bundles, bytecodes] = [
        port.shelf(project, BlobKind::Bundle).await.unwrap(),
        port.shelf(project, BlobKind::Bytecode).await.unwrap(),
    ];
    assert!(bundles.find(&name(contents[1])).is_none());
    assert!(bytecodes.find(&name(contents[0])).is_none());

    port.delete(&keys[1]).await.unwrap();
    assert!(port.head(&keys[1]).await.unwrap().is_none());
    assert!(read(port, &keys[0], 0..10).await == contents[0]);
    port.delete(&keys[0]).await.unwrap();
    assert!(port.head(&keys[0]).await.unwrap().is_none());
}
