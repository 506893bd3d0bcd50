//! Archives that reach outside, explode or lie. None of them may leave
//! anything behind.

use hivesync::error::Code;

use crate::sources::{
    Bench, DEVICE, FIFO, FILE, FOLDER, HARD_LINK, Item, LINK, end_zip, gzip, item, limits, tar,
    tar_entry, tar_gz, zip,
};

/// The archive, packed either way, is refused with `code` and a message that
/// has `why`.
async fn refused(items: &[Item<'_>], code: Code, why: &str) {
    for (format, archive) in [("zip", zip(items)), ("tar.gz", tar_gz(items))] {
        refused_archive(archive, code, why, format).await;
    }
}

async fn refused_archive(archive: Vec<u8>, code: Code, why: &str, what: &str) {
    let bench = Bench::new();
    let error = bench.import(archive).await.expect_err(what);
    assert_eq!(error.code, code, "{what}: {error}");
    assert!(error.message.contains(why), "{what}: {error}");
    bench.assert_nothing_written();
}

#[tokio::test]
async fn paths_that_climb_out_are_refused() {
    for name in ["../evil", "a/../../evil", "a/b/../../../evil", ".."] {
        refused(
            &[item(FILE, "ok", b"ok"), item(FILE, name, b"evil")],
            Code::InvalidInput,
            "outside",
        )
        .await;
    }
}

#[tokio::test]
async fn absolute_paths_are_refused() {
    for name in ["/etc/passwd", "//evil", "C:/evil"] {
        refused(&[item(FILE, name, b"")], Code::InvalidInput, "absolute").await;
    }
}

#[tokio::test]
async fn backslashes_and_control_characters_are_refused() {
    for (name, why) in [
        ("..\\evil", "backslash"),
        ("a\\..\\..\\evil", "backslash"),
        ("a\nb", "control"),
        ("a\rb", "control"),
        ("a\x1b[31m", "control"),
    ] {
        refused(&[item(FILE, name, b"")], Code::InvalidInput, why).await;
    }
    // A tar's header ends a name at the NUL, so only a zip can have one.
    let archive = zip(&[item(FILE, "a\0b", b"")]);
    refused_archive(archive, Code::InvalidInput, "control", "NUL").await;
}

#[tokio::test]
async fn writing_through_a_symlink_is_refused() {
    refused(
        &[
            item(LINK, "door", b"inside"),
            item(FILE, "door/evil", b"evil"),
        ],
        Code::InvalidInput,
        "as a folder",
    )
    .await;
    refused(
        &[
            item(FILE, "door/evil", b"evil"),
            item(LINK, "door", b"inside"),
        ],
        Code::InvalidInput,
        "as a folder",
    )
    .await;
}

#[tokio::test]
async fn symlinks_that_lead_outside_are_refused() {
    for (path, target) in [
        ("door", "/etc/passwd"),
        ("door", "../secret"),
        ("a/door", "../../secret"),
        ("a/door", "b/../../../secret"),
        ("door", ".git/config"),
        ("door", ""),
    ] {
        refused(
            &[
                item(FILE, "ok", b"ok"),
                item(FILE, "a/ok", b"ok"),
                item(LINK, path, target.as_bytes()),
            ],
            Code::InvalidInput,
            "leads outside",
        )
        .await;
    }
}

#[tokio::test]
async fn a_link_out_of_the_wrapping_folder_is_refused() {
    refused(
        &[
            item(FILE, "top/ok", b"ok"),
            item(LINK, "top/door", b"../beside"),
        ],
        Code::InvalidInput,
        "leads outside",
    )
    .await;
}

#[tokio::test]
async fn hard_links_and_devices_are_refused() {
    for (kind, content) in [(HARD_LINK, b"ok".as_slice()), (DEVICE, b""), (FIFO, b"")] {
        let archive = tar_gz(&[item(FILE, "ok", b"ok"), item(kind, "special", content)]);
        refused_archive(archive, Code::InvalidInput, "neither a file", "special").await;
    }
    let archive = zip(&[item(FIFO, "special", b"")]);
    refused_archive(archive, Code::InvalidInput, "neither a file", "fifo").await;
}

#[tokio::test]
async fn disguised_git_folders_are_refused() {
    for name in [
        ".GIT/config",
        ".Git/hooks/post-checkout",
        "a/.git./config",
        "a/.git /config",
        "git~1/config",
        ".g\u{200c}it/config",
        ".git::$INDEX_ALLOCATION/config",
    ] {
        refused(&[item(FILE, name, b"[core]")], Code::InvalidInput, "`.git`").await;
    }
    refused(
        &[item(FILE, "ok", b""), item(LINK, ".gitmodules", b"ok")],
        Code::InvalidInput,
        "leads outside",
    )
    .await;
}

#[tokio::test]
async fn the_same_file_twice_is_refused() {
    refused(
        &[item(FILE, "a", b"1"), item(FILE, "a", b"2")],
        Code::InvalidInput,
        "twice",
    )
    .await;
    refused(
        &[item(FILE, "a", b"1"), item(FILE, "./a", b"2")],
        Code::InvalidInput,
        "twice",
    )
    .await;
}

#[tokio::test]
async fn nothing_but_folders_is_refused() {
    refused(&[item(FOLDER, "a/", b"")], Code::InvalidInput, "no file").await;
    refused(
        &[item(FILE, "node_modules/a/index.js", b"")],
        Code::InvalidInput,
        "no file",
    )
    .await;
}

#[tokio::test]
async fn too_many_files_are_refused() {
    let names: Vec<String> = (0..1001).map(|n| format!("file-{n}")).collect();
    let items: Vec<_> = names.iter().map(|name| item(FILE, name, b"")).collect();
    refused(&items, Code::PayloadTooLarge, "more than 1000 files").await;
}

#[tokio::test]
async fn a_million_entries_are_refused_before_they_are_read() {
    let mut directory = Vec::new();
    for _ in 0..1_000_000 {
        directory.extend(b"PK\x01\x02");
        directory.extend([0; 42]);
    }
    // The end record lies about the number.
    for count in [usize::MAX, 1] {
        let archive = end_zip(b"PK\x03\x04".to_vec(), &directory, count);
        refused_archive(
            archive,
            Code::PayloadTooLarge,
            "more than 1000 files",
            "zip",
        )
        .await;
    }
    let mut skipped = Vec::new();
    for n in 0..10_000 {
        tar_entry(
            &mut skipped,
            b'0',
            &format!("node_modules/{n}"),
            0o644,
            b"",
            b"",
        );
    }
    let archive = gzip(&skipped);
    refused_archive(
        archive,
        Code::PayloadTooLarge,
        "more than 1000 files",
        "tar",
    )
    .await;
}

#[tokio::test]
async fn bombs_are_refused() {
    let zeros = vec![0; 40 << 20];
    let bomb = tar_gz(&[item(FILE, "bomb", &zeros)]);
    assert!(bomb.len() < 100_000);
    refused_archive(bomb, Code::PayloadTooLarge, "200 times", "tar.gz").await;

    // Beyond the limit of unpacked bytes; the entry that does it is skipped.
    let zeros = vec![0; 129 << 20];
    let bomb = tar_gz(&[
        item(FILE, "ok", b"ok"),
        item(FILE, "node_modules/bomb", &zeros),
    ]);
    refused_archive(bomb, Code::PayloadTooLarge, "unpacks to more", "tar.gz").await;

    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file("bomb", options).expect("started");
    std::io::Write::write_all(&mut writer, &zeros).expect("packed");
    let bomb = writer.finish().expect("packed").into_inner();
    refused_archive(bomb, Code::PayloadTooLarge, "unpacks to more", "zip").await;
}

#[tokio::test]
async fn a_zip_that_lies_about_a_size_is_refused() {
    let honest = zip(&[item(FILE, "a", b"four")]);
    let directory = honest.len() - 22 - (46 + 1);
    for size in [3_u32, 5, 4_000_000] {
        let mut lying = honest.clone();
        lying[directory + 24..directory + 28].copy_from_slice(&size.to_le_bytes());
        let bench = Bench::new();
        let error = bench.import(lying).await.expect_err("a lie");
        assert_eq!(error.code, Code::InvalidInput, "{error}");
        bench.assert_nothing_written();
    }
}

#[tokio::test]
async fn damaged_archives_are_refused_and_the_branch_stays() {
    let bench = Bench::new();
    let good = bench
        .import(zip(&[item(FILE, "a", b"first")]))
        .await
        .expect("a good archive");
    // A byte flipped in the second file's content: the first one has been
    // streamed to git by then.
    let mut damaged = zip(&[item(FILE, "a", b"second"), item(FILE, "b", b"SECRET")]);
    let at = damaged
        .windows(6)
        .position(|w| w == b"SECRET")
        .expect("the content");
    damaged[at] ^= 1;
    let cut = tar_gz(&[item(FILE, "a", &[b'x'; 5000])]);
    let cut = cut[..cut.len() - 10].to_vec();
    for archive in [damaged, cut] {
        let error = bench.import(archive).await.expect_err("damaged");
        assert_eq!(error.code, Code::InvalidInput, "{error}");
        assert_eq!(bench.git(&["rev-parse", "upload"]).trim(), good.commit);
    }
    assert_eq!(
        bench.git(&["for-each-ref", "--format=%(refname)"]).trim(),
        "refs/heads/upload"
    );
    bench
        .import(zip(&[item(FILE, "a", b"third")]))
        .await
        .expect("the next one");
}

#[tokio::test]
async fn a_path_record_of_any_size_is_not_held_in_memory() {
    let mut bomb = Vec::new();
    tar_entry(&mut bomb, b'L', "x", 0o644, b"", &vec![b'a'; 20 << 20]);
    refused_archive(gzip(&bomb), Code::InvalidInput, "too long", "GNU name").await;
    let mut bomb = Vec::new();
    tar_entry(&mut bomb, b'x', "x", 0o644, b"", &vec![b'a'; 20 << 20]);
    refused_archive(gzip(&bomb), Code::InvalidInput, "too long", "pax").await;
}

#[tokio::test]
async fn extension_headers_obey_the_same_rules() {
    let mut archive = Vec::new();
    tar_entry(&mut archive, b'L', "x", 0o644, b"", b"../evil\0");
    tar_entry(&mut archive, b'0', "innocent", 0o644, b"", b"evil");
    refused_archive(gzip(&archive), Code::InvalidInput, "outside", "GNU name").await;

    for (record, why) in [
        (b"16 path=../evil\n".as_slice(), "outside"),
        (b"12 size=999\n", "neither a file"),
        (b"22 GNU.sparse.major=1\n", "neither a file"),
    ] {
        let mut archive = Vec::new();
        tar_entry(&mut archive, b'x', "x", 0o644, b"", record);
        tar_entry(&mut archive, b'0', "innocent", 0o644, b"", b"evil");
        refused_archive(gzip(&archive), Code::InvalidInput, why, "pax").await;
    }
    let mut archive = Vec::new();
    tar_entry(&mut archive, b'K', "x", 0o644, b"", b"/etc/passwd\0");
    tar_entry(&mut archive, b'2', "link", 0o777, b"inside", b"");
    refused_archive(
        gzip(&archive),
        Code::InvalidInput,
        "leads outside",
        "GNU link",
    )
    .await;
}

#[tokio::test]
async fn what_is_no_archive_is_an_unsupported_media_type() {
    for body in [b"{}".as_slice(), b"", b"Rar!\x1a\x07", b"\xfd7zXZ\0"] {
        refused_archive(
            body.to_vec(),
            Code::UnsupportedMediaType,
            ".tar.gz",
            "no archive",
        )
        .await;
    }
    // Right at the start, and nothing after.
    for body in [b"PK\x03\x04".as_slice(), &[0x1f, 0x8b, 8]] {
        let bench = Bench::new();
        let error = bench.import(body.to_vec()).await.expect_err("a stump");
        assert_eq!(error.code, Code::InvalidInput);
    }
}

#[tokio::test]
async fn encrypted_zips_are_refused_plainly() {
    let mut archive = zip(&[item(FILE, "a", b"four")]);
    let directory = archive.len() - 22 - (46 + 1);
    archive[directory + 8] |= 1;
    archive[6] |= 1;
    refused_archive(archive, Code::InvalidInput, "password", "encrypted").await;
}

#[tokio::test]
async fn limits_are_the_operators() {
    let mut small = limits();
    small.max_unpacked_bytes = 10;
    let bench = Bench::with(&small);
    let error = bench
        .import(zip(&[item(FILE, "a", b"01234567890")]))
        .await
        .expect_err("too large");
    assert_eq!(error.code, Code::PayloadTooLarge);
    assert_eq!(error.details["limit"], 10);
    let _ = tar(&[]);
}
