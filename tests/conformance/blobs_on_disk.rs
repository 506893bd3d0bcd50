//! What holds for bundles on this machine's disk beyond the contract: who may
//! look, what is left behind, and how little room shared bytes take.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hivesync::blobs::local::LocalBlobs;
use hivesync::blobs::{BlobKey, BlobKind, Blobs, Part};
use hivesync::domain::{JobId, ProjectId};
use hivesync::error::Code;

use super::blobs::{file, key, local_bench, parts, put_shared, read};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    ignore::WalkBuilder::new(folder)
        .standard_filters(false)
        .build()
        .skip(1)
        .map(|entry| entry.unwrap().into_path())
        .collect()
}

/// What the files below take up, each counted once.
fn bytes_on_disk(folder: &Path) -> u64 {
    let mut seen = std::collections::HashSet::new();
    entries(folder)
        .iter()
        .map(|path| path.symlink_metadata().unwrap())
        .filter(|meta| meta.is_file() && seen.insert(meta.ino()))
        .map(|meta| meta.len())
        .sum()
}

fn folder_of(root: &Path, key: &BlobKey) -> PathBuf {
    root.join(key.as_str()).parent().unwrap().to_owned()
}

#[tokio::test]
async fn files_and_folders_are_closed_to_others() {
    let bench = local_bench();
    let (path, _) = file(bench.folder.path(), 6_000_000);
    let key = key(7);
    bench.port.put_file(&key, &path).await.unwrap();
    let folder = folder_of(&bench.root, &key);
    let inside = entries(&folder);
    assert_eq!(inside.len(), 2, "a pack and an index: {inside:?}");
    for file in inside {
        assert_eq!(mode(&file), 0o600);
    }
    for folder in folder.ancestors().take(3) {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
}

#[tokio::test]
async fn a_deleted_blob_leaves_no_folder() {
    let bench = local_bench();
    let (path, _) = file(bench.folder.path(), 10);
    let key = key(7);
    bench.port.put_file(&key, &path).await.unwrap();
    // As an operator's tool may leave it.
    fs::write(folder_of(&bench.root, &key).join("stray"), "x").unwrap();
    bench.port.delete(&key).await.unwrap();
    assert_eq!(entries(&bench.root), [bench.root.join("previews")]);
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing() {
    let bench = local_bench();
    for size in [10, 6_000_000] {
        let (path, _) = file(bench.folder.path(), size);
        let key = key(7);
        // A file in the place of the bundle's folder lets everything but the
        // rename succeed.
        let in_the_way = folder_of(&bench.root, &key);
        fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
        fs::write(&in_the_way, "").unwrap();
        bench.port.put_file(&key, &path).await.unwrap_err();
        fs::remove_file(&in_the_way).unwrap();
        let left = entries(&bench.root.join("previews"));
        assert_eq!(left, [in_the_way.parent().unwrap()]);
    }
}

#[tokio::test]
async fn what_an_interrupted_put_has_left_goes_at_the_next_start() {
    let bench = local_bench();
    let half = bench.root.join("previews/.new/0");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("pack.part"), "half").unwrap();
    assert_eq!(bench.port.list().await.unwrap(), []);
    let port = LocalBlobs::open(&bench.root).unwrap();
    assert_eq!(entries(&bench.root), [bench.root.join("previews")]);
    let (path, bytes) = file(bench.folder.path(), 10);
    let key = key(7);
    port.put_file(&key, &path).await.unwrap();
    assert_eq!(read(&port, &key, 0..10).await, bytes);
}

#[tokio::test]
async fn bundles_of_the_first_version_are_read_and_deleted() {
    let bench = local_bench();
    let key = key(7);
    let (_, bytes) = file(bench.folder.path(), 700_000);
    let folder = folder_of(&bench.root, &key);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("bundle.zip"), &bytes).unwrap();
    let info = bench.port.head(&key).await.unwrap().unwrap();
    assert_eq!(info.size, 700_000);
    assert_eq!(bench.port.list().await.unwrap(), [info]);
    assert!(read(&bench.port, &key, 5..699_999).await == bytes[5..699_999]);
    let (path, replaced) = file(bench.folder.path(), 20);
    bench.port.put_file(&key, &path).await.unwrap();
    assert_eq!(read(&bench.port, &key, 0..20).await, replaced);
    bench.port.delete(&key).await.unwrap();
    assert_eq!(entries(&bench.root), [bench.root.join("previews")]);
}

/// A big bundle, and others that differ in one chunk each.
async fn ten_alike(port: &dyn Blobs, folder: &Path) -> Vec<(BlobKey, Vec<u8>)> {
    let (_, bytes) = file(folder, 1_000_000);
    let mut made = Vec::new();
    for n in 0..10_u8 {
        let edit = vec![n; 10_000];
        let mut chunks: Vec<&[u8]> = bytes.chunks(10_000).collect();
        chunks[usize::from(n) * 7] = &edit;
        let key = key(7);
        put_shared(port, 7, &key, folder, &chunks).await;
        made.push((key, chunks.concat()));
    }
    made
}

#[tokio::test]
async fn ten_bundles_with_one_part_changed_take_little_more_room_than_one() {
    let bench = local_bench();
    let made = ten_alike(&bench.port, bench.folder.path()).await;
    let taken = bytes_on_disk(&bench.root);
    assert!(taken < 1_250_000, "{taken} bytes for ten of 1,000,000");
    // In whatever order they go, the others are whole; and the last takes all.
    for gone in [0, 9, 4, 1, 2, 8, 3, 7, 5] {
        bench.port.delete(&made[gone].0).await.unwrap();
        for (key, bytes) in &made {
            if bench.port.head(key).await.unwrap().is_some() {
                assert!(read(&bench.port, key, 0..1_000_000).await == *bytes);
            }
        }
    }
    let taken = bytes_on_disk(&bench.root);
    assert!(taken < 1_060_000, "{taken} bytes for the last of them");
    bench.port.delete(&made[6].0).await.unwrap();
    assert_eq!(entries(&bench.root), [bench.root.join("previews")]);
}

/// A small bundle that has one part of a large one must not keep it alive.
#[tokio::test]
async fn a_pack_of_which_little_is_used_is_not_shared() {
    let bench = local_bench();
    let folder = bench.folder.path();
    let (_, bytes) = file(folder, 1_000_000);
    let chunks: Vec<&[u8]> = bytes.chunks(10_000).collect();
    let large = key(7);
    put_shared(&bench.port, 7, &large, folder, &chunks).await;
    let small = key(7);
    let shared = put_shared(&bench.port, 7, &small, folder, &chunks[..40]).await;
    assert_eq!(shared, 40, "they need not be made again");
    bench.port.delete(&large).await.unwrap();
    let taken = bytes_on_disk(&bench.root);
    assert!(taken < 410_000, "{taken} bytes for 400,000");
    assert!(read(&bench.port, &small, 0..400_000).await == bytes[..400_000]);
}

#[tokio::test]
async fn a_pack_that_was_damaged_is_not_built_upon() {
    let bench = local_bench();
    let folder = bench.folder.path();
    let (_, bytes) = file(folder, 100_000);
    let chunks: Vec<&[u8]> = bytes.chunks(10_000).collect();
    let first = key(7);
    put_shared(&bench.port, 7, &first, folder, &chunks).await;
    let pack = entries(&folder_of(&bench.root, &first))
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "pack"))
        .unwrap();
    let mut damaged = fs::read(&pack).unwrap();
    damaged[55_555] ^= 1;
    fs::write(&pack, damaged).unwrap();
    let second = key(7);
    let shared = put_shared(&bench.port, 7, &second, folder, &chunks).await;
    assert_eq!(shared, 0);
    assert!(read(&bench.port, &second, 0..100_000).await == bytes);
}

/// The pack is gone, or on a file system without links: the parts are still in
/// the caller's hands.
#[tokio::test]
async fn what_cannot_be_linked_is_copied() {
    let bench = local_bench();
    let folder = bench.folder.path();
    let (_, bytes) = file(folder, 100_000);
    let chunks: Vec<&[u8]> = bytes.chunks(10_000).collect();
    let first = key(7);
    put_shared(&bench.port, 7, &first, folder, &chunks).await;
    let shelf = bench
        .port
        .shelf(ProjectId(7), BlobKind::Bundle)
        .await
        .unwrap();
    let held: Vec<Part> = parts(folder, &chunks)
        .iter()
        .map(|part| shelf.find(&part.name.unwrap()).unwrap())
        .collect();
    bench.port.delete(&first).await.unwrap();
    let second = key(7);
    bench.port.put(&second, &held).await.unwrap();
    assert!(read(&bench.port, &second, 0..100_000).await == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bundles_that_share_may_come_and_go_at_once() {
    let bench = local_bench();
    let port = std::sync::Arc::new(bench.port);
    let (_, bytes) = file(bench.folder.path(), 100_000);
    let bytes = std::sync::Arc::new(bytes);
    let tasks: Vec<_> = (0..8_u8)
        .map(|task| {
            let (port, bytes) = (std::sync::Arc::clone(&port), std::sync::Arc::clone(&bytes));
            let own = bench.folder.path().join(task.to_string());
            fs::create_dir(&own).unwrap();
            tokio::spawn(async move {
                for round in 0..25_u8 {
                    let edit = [task, round].repeat(2000);
                    let mut chunks: Vec<&[u8]> = bytes.chunks(5000).collect();
                    chunks[usize::from(round) % 20] = &edit;
                    let key = key(7);
                    put_shared(&*port, 7, &key, &own, &chunks).await;
                    let size = port.head(&key).await.unwrap().unwrap().size;
                    assert!(read(&*port, &key, 0..size).await == chunks.concat());
                    port.delete(&key).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(entries(&bench.root), [bench.root.join("previews")]);
}

/// Set in the child of the test below.
const LIMITED: &str = "HIVESYNC_TEST_LIMITED";

/// A limit on the size of files stands in for the full disk: a write beyond it
/// fails as one does there, and it needs no rights. It holds for a whole process,
/// so the case runs in a child.
#[tokio::test]
async fn a_full_disk_is_told_as_such_and_nothing_is_left() {
    if std::env::var_os(LIMITED).is_none() {
        let output = std::process::Command::new("prlimit")
            .args(["--fsize=1000000", "--", "sh", "-c"])
            // Without a handler the signal of that limit would end the child.
            .args([r#"trap "" XFSZ; exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("blobs_on_disk::a_full_disk_is_told_as_such_and_nothing_is_left")
            .env(LIMITED, "1")
            .output()
            .expect("prlimit is of util-linux");
        let told = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}{error}");
        assert!(told.contains("1 passed"), "{told}");
        return;
    }
    let bench = local_bench();
    let (path, _) = file(bench.folder.path(), 900_000);
    let half = Part::of_file(fs::File::open(&path).unwrap()).unwrap();
    let key = key(7);
    let twice = [half.clone(), half.clone()];
    let error = bench.port.put(&key, &twice).await.unwrap_err();
    assert_eq!(error.code, Code::StorageFull);
    assert_eq!(entries(&bench.root), [bench.root.join("previews")]);
    bench.port.put(&key, &[half]).await.unwrap();
}

/// Bytecode that was made once is shared by all that have the same JavaScript,
/// and goes with the last of them.
#[tokio::test]
async fn bytecode_is_found_however_many_there_are() {
    let bench = local_bench();
    let folder = bench.folder.path();
    let bytecode = |job: u8| {
        let name: JobId = format!("job_{job:026}").parse().unwrap();
        BlobKey::bytecode(ProjectId(7), &name)
    };
    let made: Vec<Part> = (0..40_u8)
        .map(|n| parts(folder, &[&[n; 1000]]).remove(0))
        .collect();
    for (job, part) in (0..).zip(&made) {
        let part = std::slice::from_ref(part);
        bench.port.put(&bytecode(job), part).await.unwrap();
    }
    let shelf = bench.port.shelf(ProjectId(7), BlobKind::Bytecode);
    let shelf = shelf.await.unwrap();
    let found = shelf.find(&made[0].name.unwrap()).expect("the oldest");
    bench.port.put(&bytecode(99), &[found]).await.unwrap();
    assert!(bytes_on_disk(&bench.root) < 41 * 1000 + 41 * 300);
    bench.port.delete(&bytecode(0)).await.unwrap();
    assert!(read(&bench.port, &bytecode(99), 0..1000).await == [0; 1000]);
    bench.port.delete(&bytecode(99)).await.unwrap();
    for job in 1..40 {
        bench.port.delete(&bytecode(job)).await.unwrap();
    }
    assert_eq!(bytes_on_disk(&bench.root), 0);
}
