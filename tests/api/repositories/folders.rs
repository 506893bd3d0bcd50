//! What a local folder becomes, as its developer sees it.

use std::fs;
use std::os::unix::fs::symlink;

use hivesync::clock::Timestamp;
use hivesync::error::Code;

use crate::sources::{Bench, NOON, PROJECT};

#[tokio::test]
async fn a_local_folder_is_taken_as_its_developer_sees_it() {
    let bench = Bench::new();
    let folder = bench.folder.path().join("app");
    for sub in ["src", "dist", "node_modules/x", ".git", "pkg/node_modules"] {
        fs::create_dir_all(folder.join(sub)).expect("made");
    }
    for (path, text) in [
        (".gitignore", "dist\n*.log\n"),
        ("src/.gitignore", "secret\n"),
        ("src/index.js", "1"),
        ("src/secret", "x"),
        ("src/debug.log", "x"),
        ("dist/out.js", "x"),
        ("node_modules/x/index.js", "x"),
        ("pkg/node_modules/y.js", "x"),
        (".git/config", "x"),
        (".env.example", "x"),
    ] {
        fs::write(folder.join(path), text).expect("written");
    }
    symlink("src/index.js", folder.join("inner")).expect("linked");
    symlink("/etc/passwd", folder.join("outer")).expect("linked");
    symlink("..", folder.join("src/up")).expect("linked");
    let import = |at| bench.repos.import_folder(PROJECT, folder.clone(), at);
    let first = import(NOON).await.expect("a snapshot");
    assert_eq!(first.branch, "local");
    assert_eq!(
        bench.listing(&first.commit),
        [
            "100644 .env.example",
            "100644 .gitignore",
            "120000 inner",
            "100644 src/.gitignore",
            "100644 src/index.js",
            "120000 src/up",
        ]
    );
    assert_eq!(first.skipped.other, 1, "the link that leads outside");
    let again = import(Timestamp::from_secs(1_800_000_000)).await;
    assert_eq!(again.expect("unchanged").commit, first.commit);
    fs::write(folder.join("src/index.js"), "2").expect("written");
    let changed = import(NOON).await.expect("a change");
    assert_ne!(changed.commit, first.commit);

    let error = bench
        .repos
        .import_folder(PROJECT, folder.join("gone"), NOON)
        .await
        .expect_err("no folder");
    assert_eq!(error.code, Code::SourceUnavailable);
}

#[tokio::test]
async fn the_data_folder_inside_a_local_folder_is_not_source() {
    let bench = Bench::new();
    fs::write(bench.folder.path().join("index.html"), "hi").expect("written");
    let imported = bench
        .repos
        .import_folder(PROJECT, bench.folder.path().to_owned(), NOON)
        .await
        .expect("a snapshot");
    assert_eq!(bench.listing(&imported.commit), ["100644 index.html"]);
}
