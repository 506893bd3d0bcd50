//! Refs, trees and files, read without a checkout.

use hivesync::error::{Code, Result};
use hivesync::git::{EntryKind, RefKind};

use super::tree;
use crate::sources::{Bench, FILE, NOON, PROJECT, item, zip};

/// Two commits, with a branch, a tag of each kind and no more.
struct Refs {
    bench: Bench,
    first: String,
    second: String,
}

impl Refs {
    async fn new() -> Self {
        let bench = Bench::new();
        let first = bench.import(zip(&[item(FILE, "a", b"1")])).await;
        let first = first.expect("an upload").commit;
        let second = bench.import(zip(&[item(FILE, "a", b"2")])).await;
        let second = second.expect("an upload").commit;
        bench.git(&["branch", "main", &first]);
        bench.git(&["tag", "v1", &first]);
        let author = ["-c", "user.name=T", "-c", "user.email=t@t"];
        bench.git(&[&author[..], &["tag", "-a", "-m", "two", "v2", &second]].concat());
        Self {
            bench,
            first,
            second,
        }
    }

    /// The commit and the branch that `git_ref` names.
    async fn resolve(
        &self,
        git_ref: &str,
        default: Option<&str>,
    ) -> Result<(String, Option<String>)> {
        let resolved = self.bench.repos.resolve(PROJECT, git_ref, default).await;
        resolved.map(|r| (r.commit, r.branch))
    }
}

#[tokio::test]
async fn refs_resolve_to_commits() {
    let refs = Refs::new().await;
    let (first, second) = (&refs.first, &refs.second);
    let upload = Some("upload".to_owned());
    let main = Some("main".to_owned());
    for (git_ref, default, expected) in [
        ("upload", None, (second, &upload)),
        ("refs/heads/upload", None, (second, &upload)),
        ("latest", Some("upload"), (second, &upload)),
        // HEAD, as made: main.
        ("latest", None, (first, &main)),
        ("v1", None, (first, &None)),
        ("v2", None, (second, &None)),
        ("refs/tags/v2", None, (second, &None)),
        (second.as_str(), None, (second, &None)),
        (&second[..7], None, (second, &None)),
    ] {
        let (commit, branch) = refs.resolve(git_ref, default).await.expect(git_ref);
        assert_eq!((&commit, &branch), expected, "{git_ref}");
    }
}

#[tokio::test]
async fn what_is_no_ref_resolves_to_nothing() {
    let refs = Refs::new().await;
    let tree = refs.bench.git(&["rev-parse", "main^{tree}"]);
    for git_ref in [
        "gone",
        "0123456789",
        tree.trim(),
        "refs/tags/upload",
        "HEAD",
    ] {
        let error = refs.resolve(git_ref, None).await.expect_err(git_ref);
        assert_eq!(error.code, Code::RefNotFound, "{git_ref}: {error}");
    }
    for git_ref in ["-x", "a..b", "main~1", "main:a", "@{u}", "a\nb", ""] {
        let error = refs.resolve(git_ref, None).await.expect_err(git_ref);
        assert_eq!(error.code, Code::InvalidInput, "{git_ref}: {error}");
    }
}

#[tokio::test]
async fn branches_and_tags_are_listed_with_their_commits() {
    let Refs {
        bench,
        first,
        second,
    } = Refs::new().await;
    let refs = bench.repos.refs(PROJECT, Some("upload")).await;
    let mut refs = refs.expect("refs");
    refs.sort_unstable_by(|one, two| one.name.cmp(&two.name));
    let found: Vec<_> = refs
        .iter()
        .map(|r| (r.name.as_str(), r.kind, &r.commit))
        .collect();
    assert_eq!(
        found,
        [
            ("main", RefKind::Branch, &first),
            ("upload", RefKind::Branch, &second),
            ("v1", RefKind::Tag, &first),
            ("v2", RefKind::Tag, &second),
        ]
    );
    for r in &refs {
        assert_eq!(r.committed_at, NOON);
        assert_eq!(r.subject, "Upload");
        assert_eq!(r.is_default, r.name == "upload");
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
async fn folders_are_listed_without_following_links() {
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
}

#[tokio::test]
async fn files_are_read_without_following_links() {
    let bench = Bench::new();
    let commit = bench.import(zip(&tree())).await.expect("an upload").commit;
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
}

#[tokio::test]
async fn what_is_not_in_the_tree_is_not_read() {
    let bench = Bench::new();
    let commit = bench.import(zip(&tree())).await.expect("an upload").commit;
    let file = |path| bench.repos.file(PROJECT, &commit, path);
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
