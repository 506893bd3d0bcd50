//! Repositories: what an archive or a folder becomes, how it is read, and what
//! a checkout writes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use hivesync::clock::Timestamp;
use hivesync::domain::ProjectId;
use hivesync::error::Code;
use hivesync::git::{EntryKind, RefKind};

use crate::sources::{
    Bench, FILE, FOLDER, LINK, NOON, PROGRAM, PROJECT, files_below, item, limits, tar_entry,
    tar_gz, zip,
};

/// A tree with every kind of entry that may be kept.
fn tree() -> Vec<crate::sources::Item<'static>> {
    vec![
        item(FILE, "index.html", b"<h1>hi</h1>"),
        item(PROGRAM, "bin/run", b"#!/bin/sh\n"),
        item(FOLDER, "empty/", b""),
        item(FILE, "src/a \"quoted\" name.js", b"1"),
        item(FILE, "src/\u{fc}n\u{ef}c\u{f6}de.js", b"2"),
        item(LINK, "src/link", b"../bin/run"),
        item(FILE, ".gitignore", b"dist\n"),
        item(FILE, "nothing", b""),
    ]
}

const LISTING: [&str; 7] = [
    "100644 .gitignore",
    "100755 bin/run",
    "100644 index.html",
    "100644 nothing",
    "100644 \"src/a \\\"quoted\\\" name.js\"",
    "120000 src/link",
    "100644 \"src/\\303\\274n\\303\\257c\\303\\266de.js\"",
];

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
    let archive = crate::sources::gzip(&gnu);
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

#[tokio::test]
async fn refs_resolve_to_commits() {
    let bench = Bench::new();
    let first = bench.import(zip(&[item(FILE, "a", b"1")])).await;
    let first = first.expect("an upload").commit;
    let second = bench.import(zip(&[item(FILE, "a", b"2")])).await;
    let second = second.expect("an upload").commit;
    bench.git(&["branch", "main", &first]);
    bench.git(&["tag", "v1", &first]);
    bench.git(&[
        "-c",
        "user.name=T",
        "-c",
        "user.email=t@t",
        "tag",
        "-a",
        "-m",
        "two",
        "v2",
        &second,
    ]);
    let tree = bench.git(&["rev-parse", "main^{tree}"]);

    let resolve = async |git_ref: &str, default: Option<&str>| {
        let resolved = bench.repos.resolve(PROJECT, git_ref, default).await;
        resolved.map(|r| (r.commit, r.branch))
    };
    let upload = Some("upload".to_owned());
    let main = Some("main".to_owned());
    for (git_ref, default, expected) in [
        ("upload", None, (&second, &upload)),
        ("refs/heads/upload", None, (&second, &upload)),
        ("latest", Some("upload"), (&second, &upload)),
        // HEAD, as made: main.
        ("latest", None, (&first, &main)),
        ("v1", None, (&first, &None)),
        ("v2", None, (&second, &None)),
        ("refs/tags/v2", None, (&second, &None)),
        (second.as_str(), None, (&second, &None)),
        (&second[..7], None, (&second, &None)),
    ] {
        let (commit, branch) = resolve(git_ref, default).await.expect(git_ref);
        assert_eq!((&commit, &branch), expected, "{git_ref}");
    }
    for git_ref in [
        "gone",
        "0123456789",
        tree.trim(),
        "refs/tags/upload",
        "HEAD",
    ] {
        let error = resolve(git_ref, None).await.expect_err(git_ref);
        assert_eq!(error.code, Code::RefNotFound, "{git_ref}: {error}");
    }
    for git_ref in ["-x", "a..b", "main~1", "main:a", "@{u}", "a\nb", ""] {
        let error = resolve(git_ref, None).await.expect_err(git_ref);
        assert_eq!(error.code, Code::InvalidInput, "{git_ref}: {error}");
    }

    let refs = bench.repos.refs(PROJECT, Some("upload")).await;
    let refs = refs.expect("refs");
    let mut names: Vec<_> = refs.iter().map(|r| (r.name.as_str(), r.kind)).collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(
        names,
        [
            ("main", RefKind::Branch),
            ("upload", RefKind::Branch),
            ("v1", RefKind::Tag),
            ("v2", RefKind::Tag),
        ]
    );
    for r in &refs {
        assert_eq!(r.committed_at, NOON);
        assert_eq!(r.subject, "Upload");
        assert_eq!(r.is_default, r.name == "upload");
        let expected = if r.name == "upload" || r.name == "v2" {
            &second
        } else {
            &first
        };
        assert_eq!(&r.commit, expected, "{}", r.name);
    }
}

#[tokio::test]
async fn a_project_without_source_says_so() {
    let bench = Bench::new();
    let error = bench.repos.resolve(PROJECT, "latest", None).await;
    let error = error.expect_err("nothing there");
    assert_eq!(error.code, Code::RefNotFound);
    assert!(error.message.contains("upload an archive"), "{error}");
    assert!(
        bench
            .repos
            .refs(PROJECT, None)
            .await
            .expect("none")
            .is_empty()
    );
}

#[tokio::test]
async fn trees_and_files_are_read_without_following_links() {
    let bench = Bench::new();
    let commit = bench.import(zip(&tree())).await.expect("an upload").commit;
    let root = bench.repos.tree(PROJECT, &commit, "").await.expect("root");
    let kinds: Vec<_> = root
        .entries
        .iter()
        .map(|e| (e.name.as_str(), e.kind, e.size))
        .collect();
    assert_eq!(
        kinds,
        [
            (".gitignore", EntryKind::File, Some(5)),
            ("bin", EntryKind::Folder, None),
            ("index.html", EntryKind::File, Some(11)),
            ("nothing", EntryKind::File, Some(0)),
            ("src", EntryKind::Folder, None),
        ]
    );
    assert!(!root.truncated);
    let src = bench.repos.tree(PROJECT, &commit, "src/").await;
    let link = &src.expect("src").entries[1];
    assert_eq!(
        (link.name.as_str(), link.kind),
        ("link", EntryKind::Symlink)
    );

    let file = |path| bench.repos.file(PROJECT, &commit, path);
    assert_eq!(
        file("index.html").await.expect("a file").content,
        b"<h1>hi</h1>"
    );
    assert_eq!(
        file("bin/run").await.expect("a file").kind,
        EntryKind::Executable
    );
    assert_eq!(file("nothing").await.expect("a file").content, b"");
    assert_eq!(
        file("src/a \"quoted\" name.js")
            .await
            .expect("a file")
            .content,
        b"1"
    );
    let link = file("src/link").await.expect("a link");
    assert_eq!(
        (link.kind, link.content.as_slice()),
        (EntryKind::Symlink, b"../bin/run".as_slice())
    );

    for path in [
        "gone",
        "src/link/x",
        "index.html/x",
        "*",
        ":(top)index.html",
    ] {
        let error = file(path).await.expect_err(path);
        assert_eq!(error.code, Code::RefNotFound, "{path}: {error}");
    }
    for path in [
        "",
        "src",
        "src/",
        "..",
        "../x",
        "/etc/passwd",
        "src/../../x",
        "./x",
        "a\nb",
    ] {
        let error = file(path).await.expect_err(path);
        assert_eq!(error.code, Code::InvalidInput, "{path}: {error}");
    }
    for path in ["..", "/", "src/..", "index.html", "a\0"] {
        let error = bench.repos.tree(PROJECT, &commit, path).await;
        assert_eq!(error.expect_err(path).code, Code::InvalidInput, "{path}");
    }
    let error = bench.repos.tree(PROJECT, &commit, "gone").await;
    assert_eq!(error.expect_err("gone").code, Code::RefNotFound);
}

#[tokio::test]
async fn a_checkout_writes_the_files_and_leaves_the_repository_alone() {
    let bench = Bench::new();
    let commit = bench.import(zip(&tree())).await.expect("an upload").commit;
    let before = files_below(&bench.repo());
    let into = bench.folder.path().join("out");
    fs::create_dir(&into).expect("made");
    let checkout = bench.repos.checkout(PROJECT, &commit, &into).await;
    assert_eq!(
        checkout.expect("a checkout"),
        hivesync::git::Checkout::default()
    );
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
async fn removing_a_repository_is_done_once_and_for_all() {
    let bench = Bench::new();
    bench.import(zip(&tree())).await.expect("an upload");
    bench.repos.remove(PROJECT).await.expect("removed");
    bench.repos.remove(PROJECT).await.expect("still removed");
    bench
        .repos
        .remove(ProjectId(99))
        .await
        .expect("never there");
    assert!(files_below(&bench.data.repos()).is_empty());
    bench.import(zip(&tree())).await.expect("anew");
}

#[tokio::test]
async fn what_a_killed_writer_left_does_not_stop_the_next() {
    let bench = Bench::new();
    bench.import(zip(&tree())).await.expect("an upload");
    for leftover in [
        "refs/heads/upload.lock",
        "packed-refs.lock",
        "HEAD.lock",
        "objects/pack/tmp_pack_x",
    ] {
        fs::write(bench.repo().join(leftover), "").expect("written");
    }
    let import = bench.import(zip(&[item(FILE, "a", b"new")])).await;
    import.expect("the next upload");
    assert!(!bench.repo().join("objects/pack/tmp_pack_x").exists());
}

mod linked {
    //! Repositories fetched from a real git server.

    use hivesync::config::SourceLimits;
    use hivesync::error::Code;
    use hivesync::git::{FetchError, Fetched, Link, Remote};

    use crate::git_server::GitServer;
    use crate::sources::{Bench, PROJECT, limits};

    fn allowing(server: &GitServer) -> SourceLimits {
        let mut limits = limits();
        limits.allowed_hosts = vec![server.host()];
        limits
    }

    async fn fetch(
        bench: &Bench,
        server: &GitServer,
        branch: Option<&str>,
    ) -> Result<Fetched, FetchError> {
        let remote = Remote::parse(&server.url("app"), &[server.host()])?;
        let link = Link {
            remote: &remote,
            branch,
            credential: None,
        };
        bench.repos.fetch(PROJECT, &link).await
    }

    #[tokio::test]
    async fn a_fetch_mirrors_branches_and_tags() {
        let server = GitServer::start().await;
        let work = server.repository("app");
        let first = work.git(&["rev-parse", "HEAD"]);
        work.git(&["branch", "feature/x"]);
        work.git(&["tag", "-a", "-m", "One", "v1"]);
        work.push();
        let bench = Bench::with(&allowing(&server));
        let fetched = fetch(&bench, &server, None).await.expect("fetched");
        assert_eq!((fetched.branch.as_str(), &fetched.commit), ("main", &first));
        let refs = || bench.git(&["for-each-ref", "--format=%(refname)"]);
        assert_eq!(
            refs(),
            "refs/heads/feature/x\nrefs/heads/main\nrefs/tags/v1\n"
        );

        // Rewritten, renamed, removed; and a name that was a folder.
        work.git(&["branch", "-D", "feature/x"]);
        work.git(&["branch", "feature"]);
        work.git(&["tag", "-d", "v1"]);
        work.write("index.html", "rewritten");
        work.git(&["add", "--all"]);
        work.git(&["commit", "--quiet", "--amend", "-m", "Rewritten"]);
        work.push();
        let again = fetch(&bench, &server, None).await.expect("fetched");
        assert_eq!(again.commit, work.git(&["rev-parse", "main"]));
        assert_ne!(again.commit, first);
        assert_eq!(refs(), "refs/heads/feature\nrefs/heads/main\n");
        assert_eq!(fetch(&bench, &server, None).await.expect("idle"), again);
    }

    #[tokio::test]
    async fn the_default_branch_is_the_remotes_or_the_configured_one() {
        let server = GitServer::start().await;
        let work = server.repository("app");
        work.git(&["branch", "develop"]);
        work.git(&["branch", "release"]);
        work.push();
        work.git_served(&["symbolic-ref", "HEAD", "refs/heads/develop"]);
        let bench = Bench::with(&allowing(&server));
        let fetched = fetch(&bench, &server, None).await.expect("fetched");
        assert_eq!(fetched.branch, "develop");
        let latest = bench.repos.resolve(PROJECT, "latest", None).await;
        assert_eq!(latest.expect("resolved").branch.as_deref(), Some("develop"));
        let fetched = fetch(&bench, &server, Some("release")).await;
        assert_eq!(fetched.expect("fetched").branch, "release");
        let failure = fetch(&bench, &server, Some("gone")).await;
        let failure = failure.expect_err("no such branch");
        assert_eq!(failure.error.code, Code::RefNotFound);
        assert!(!failure.transient);
        assert!(failure.error.message.contains("`gone`"));
    }

    #[tokio::test]
    async fn empty_and_missing_repositories_say_so() {
        let server = GitServer::start().await;
        let bench = Bench::with(&allowing(&server));
        let failure = fetch(&bench, &server, None).await.expect_err("missing");
        assert_eq!(failure.error.code, Code::SourceUnavailable);
        assert!(!failure.transient);
        assert!(failure.error.message.contains("no such repository"));

        let work = server.repository("app");
        work.git_served(&["update-ref", "-d", "refs/heads/main"]);
        let failure = fetch(&bench, &server, None).await.expect_err("empty");
        assert_eq!(failure.error.code, Code::RefNotFound);
        assert!(failure.error.message.contains("no default branch"));
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_tried_again() {
        let server = GitServer::start().await;
        let limits = allowing(&server);
        let remote = Remote::parse(&server.url("app"), &limits.allowed_hosts);
        let remote = remote.expect("a URL");
        drop(server);
        let bench = Bench::with(&limits);
        let link = Link {
            remote: &remote,
            branch: None,
            credential: None,
        };
        let failure = bench.repos.fetch(PROJECT, &link).await;
        let failure = failure.expect_err("away");
        assert_eq!(failure.error.code, Code::SourceUnavailable);
        assert!(failure.transient);
    }
}
