//! What a checkout writes, and that it leaves the repository alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hivesync::error::Code;
use hivesync::git::Checkout;

use super::tree;
use crate::sources::{Bench, PROJECT, files_below, limits, zip};

#[tokio::test]
async fn a_checkout_writes_the_files_and_leaves_the_repository_alone() {
    let bench = Bench::new();
    let commit = bench.import(zip(&tree())).await.expect("an upload").commit;
    let before = files_below(&bench.repo());
    let into = bench.folder.path().join("out");
    fs::create_dir(&into).expect("made");
    let checkout = bench.repos.checkout(PROJECT, &commit, &into).await;
    assert_eq!(checkout.expect("a checkout"), Checkout::default());
    assert_eq!(
        fs::read(into.join("index.html")).expect("read"),
        b"<h1>hi</h1>"
    );
    let mode = fs::metadata(into.join("bin/run"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o100, 0o100);
    assert_eq!(
        fs::read_link(into.join("src/link"))
            .expect("a link")
            .to_str(),
        Some("../bin/run")
    );
    assert_eq!(files_below(&bench.repo()), before);
    assert!(files_below(&bench.data.tmp()).is_empty());

    let missing = "0".repeat(40);
    let error = bench.repos.checkout(PROJECT, &missing, &into).await;
    assert_eq!(error.expect_err("no commit").code, Code::SourceUnavailable);
}

#[tokio::test]
async fn a_checkout_is_bounded_like_an_upload() {
    let mut small = limits();
    small.max_files = 3;
    let big = Bench::new();
    let commit = big.import(zip(&tree())).await.expect("an upload").commit;
    let bench = Bench::with(&small);
    fs::rename(big.repo(), bench.repo()).expect("moved");
    let into = bench.folder.path().join("out");
    fs::create_dir(&into).expect("made");
    let error = bench.repos.checkout(PROJECT, &commit, &into).await;
    let error = error.expect_err("too many files");
    assert_eq!(error.code, Code::SourceUnavailable);
    assert!(error.message.contains("UPLOAD_MAX_FILES"), "{error}");
    assert!(files_below(&into).is_empty());
}

#[tokio::test]
async fn a_checkout_leaves_the_reserve_free() {
    let bench = Bench::new();
    let commit = bench.import(zip(&tree())).await.expect("an upload").commit;
    let mut large = limits();
    large.free_bytes = bench.data.free_bytes().expect("measured") * 2;
    let full = Bench::with(&large);
    fs::rename(bench.repo(), full.repo()).expect("moved");
    let into = full.folder.path().join("out");
    fs::create_dir(&into).expect("made");
    let error = full.repos.checkout(PROJECT, &commit, &into).await;
    assert_eq!(error.expect_err("no room").code, Code::StorageFull);
    assert!(files_below(&into).is_empty());
}
