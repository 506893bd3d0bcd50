//! What an uploaded archive becomes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use hivesync::error::Code;

use super::{LISTING, tree};
use crate::sources::{Bench, FILE, FOLDER, LINK, PROJECT, gzip, item, tar_entry, tar_gz, zip};

#[tokio::test]
async fn either_archive_becomes_the_same_commit() {
    let bench = Bench::new();
    let from_zip = bench.import(zip(&tree())).await.expect("a zip");
    assert_eq!(from_zip.branch, "upload");
    assert_eq!(from_zip.files, 7);
    assert_eq!(bench.listing(&from_zip.commit), LISTING);
    bench.git(&["fsck", "--strict"]);

    let from_tar = bench.import(tar_gz(&tree())).await.expect("a tar.gz");
    assert_eq!(from_tar.commit, from_zip.commit, "the same tree");
    assert_eq!(bench.git(&["rev-list", "--count", "upload"]).trim(), "1");
    assert_eq!(
        bench.git(&["for-each-ref", "--format=%(refname)"]).trim(),
        "refs/heads/upload"
    );

    // Elsewhere, at the same time, the commit is the same too.
    let other = Bench::new();
    let again = other.import(tar_gz(&tree())).await.expect("a tar.gz");
    assert_eq!(again.commit, from_zip.commit);
}

#[tokio::test]
async fn each_upload_continues_the_last() {
    let bench = Bench::new();
    let first = bench.import(zip(&[item(FILE, "a", b"1"), item(FILE, "b", b"1")]));
    let first = first.await.expect("the first");
    let second = bench.import(zip(&[item(FILE, "a", b"2")]));
    let second = second.await.expect("the second");
    assert_eq!(bench.listing(&second.commit), ["100644 a"]);
    let parent = bench.git(&["rev-parse", "upload^"]);
    assert_eq!(parent.trim(), first.commit);
    // Back to the first tree: a new commit, since the branch goes on.
    let third = bench.import(zip(&[item(FILE, "a", b"1"), item(FILE, "b", b"1")]));
    assert_ne!(third.await.expect("the third").commit, first.commit);
}

#[tokio::test]
async fn uploads_of_one_project_take_turns() {
    let bench = Bench::new();
    let archives = (0..4).map(|n| zip(&[item(FILE, "a", format!("{n}").as_bytes())]));
    let archives: Vec<_> = archives.collect();
    let imports = archives.into_iter().map(|archive| bench.import(archive));
    for imported in futures::future::join_all(imports).await {
        imported.expect("an upload");
    }
    assert_eq!(bench.git(&["rev-list", "--count", "upload"]).trim(), "4");
}

#[tokio::test]
async fn a_wrapping_folder_is_stripped() {
    let bench = Bench::new();
    let items = [
        item(FOLDER, "repo-main/", b""),
        item(FILE, "repo-main/a", b"1"),
        item(LINK, "repo-main/src/link", b"../a"),
        item(FILE, "__MACOSX/repo-main/._a", b"junk"),
        item(FILE, "repo-main/.DS_Store", b"junk"),
    ];
    for archive in [zip(&items), tar_gz(&items)] {
        let imported = bench.import(archive).await.expect("an upload");
        assert_eq!(
            bench.listing(&imported.commit),
            ["100644 a", "120000 src/link"]
        );
        assert_eq!(imported.skipped.other, 2);
    }
}

#[tokio::test]
async fn a_single_folder_stays_where_the_root_itself_was_packed() {
    let bench = Bench::new();
    let items = [item(FOLDER, "./", b""), item(FILE, "./apps/mobile/a", b"1")];
    let imported = bench.import(tar_gz(&items)).await.expect("an upload");
    assert_eq!(bench.listing(&imported.commit), ["100644 apps/mobile/a"]);
}

#[tokio::test]
async fn git_and_node_modules_folders_are_skipped_and_counted() {
    let bench = Bench::new();
    let items = [
        item(FILE, "a", b"1"),
        item(FILE, ".git/config", b"[core]"),
        item(FILE, ".git/HEAD", b"x"),
        item(FILE, "node_modules/x/index.js", b"x"),
        item(FILE, "packages/y/node_modules/x/index.js", b"x"),
        item(LINK, "node_modules/.bin/x", b"/usr/bin/x"),
        item(FILE, "sub/.git", b"gitdir: elsewhere"),
    ];
    for archive in [zip(&items), tar_gz(&items)] {
        let imported = bench.import(archive).await.expect("an upload");
        assert_eq!(bench.listing(&imported.commit), ["100644 a"]);
        assert_eq!(imported.files, 1);
        assert_eq!(imported.skipped.git, 3);
        assert_eq!(imported.skipped.node_modules, 3);
    }
}

#[tokio::test]
async fn archives_of_common_tools_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = format!("{}/{}", "d".repeat(90), "e".repeat(90));
    fs::create_dir_all(folder.path().join(&deep)).expect("made");
    fs::write(folder.path().join(&deep).join("long.txt"), "long").expect("written");
    fs::write(folder.path().join("run.sh"), "#!/bin/sh\n").expect("written");
    fs::set_permissions(
        folder.path().join("run.sh"),
        fs::Permissions::from_mode(0o755),
    )
    .expect("executable");
    symlink("run.sh", folder.path().join("link")).expect("linked");
    let mut expected = vec![
        format!("100644 {deep}/long.txt"),
        "120000 link".to_owned(),
        "100755 run.sh".to_owned(),
    ];
    expected.sort_by_key(|line| line.split(' ').nth(1).map(str::to_owned));

    for format in ["gnu", "pax", "ustar"] {
        let output = Command::new("tar")
            .args(["-cz", "--format", format, "-C"])
            .arg(folder.path())
            .arg(".")
            .output()
            .expect("tar");
        let bench = Bench::new();
        let imported = bench.import(output.stdout).await.expect(format);
        assert_eq!(bench.listing(&imported.commit), expected, "{format}");
    }

    // `git archive`: a global header with the commit's id, a wrapper.
    let source = Bench::new();
    source.import(zip(&tree())).await.expect("a source");
    for format in ["tar.gz", "zip"] {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(source.repo())
            .args(["archive", "--prefix=x-1.0/", "--format", format, "upload"])
            .output()
            .expect("git archive");
        let bench = Bench::new();
        let imported = bench.import(output.stdout).await.expect(format);
        assert_eq!(bench.listing(&imported.commit), LISTING, "{format}");
    }
}

#[tokio::test]
async fn long_names_of_either_kind_are_kept() {
    let name = format!("{}/{}", "a".repeat(120), "b".repeat(120));
    let mut gnu = Vec::new();
    let ended = format!("{name}\0");
    tar_entry(
        &mut gnu,
        b'L',
        "././@LongLink",
        0o644,
        b"",
        ended.as_bytes(),
    );
    tar_entry(&mut gnu, b'0', "cut", 0o644, b"", b"1");
    tar_entry(&mut gnu, b'0', "z", 0o644, b"", b"1");
    let bench = Bench::new();
    let archive = gzip(&gnu);
    let imported = bench.import(archive).await.expect("GNU");
    assert_eq!(
        bench.listing(&imported.commit),
        [format!("100644 {name}"), "100644 z".to_owned()]
    );
}

#[tokio::test]
async fn large_files_are_streamed() {
    let bench = Bench::new();
    // Above the size from which git streams instead of keeping it in memory,
    // and hard to compress.
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..17 << 20)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        })
        .collect();
    let imported = bench.import(zip(&[item(FILE, "large.bin", &noise)]));
    let imported = imported.await.expect("an upload");
    let into = bench.folder.path().join("out");
    fs::create_dir(&into).expect("made");
    bench
        .repos
        .checkout(PROJECT, &imported.commit, &into)
        .await
        .expect("a checkout");
    assert!(fs::read(into.join("large.bin")).expect("read") == noise);
    let error = bench
        .repos
        .file(PROJECT, &imported.commit, "large.bin")
        .await
        .expect_err("too large to show");
    assert_eq!(error.code, Code::PayloadTooLarge);
}
