//! What a repository holds and must not do: submodules, hooks, filters, links,
//! folders of git's own.

use std::os::unix::fs::{PermissionsExt, symlink};

use hivesync::error::Code;
use hivesync::git::EntryKind;

use super::Linked;
use crate::git_server::GitServer;
use crate::sources::{PROJECT, files_below};

#[tokio::test]
async fn submodules_are_neither_fetched_nor_checked_out() {
    let inside = GitServer::start().await;
    inside.repository("inside");
    let mut linked = Linked::with(|limits| limits.allowed_hosts.push(inside.host())).await;
    linked.allowed.push(inside.host());
    let work = &linked.work;
    let url = inside.url("inside");
    let module = format!("[submodule \"sub\"]\n\tpath = sub\n\turl = {url}\n");
    work.write(".gitmodules", &module);
    work.git(&["add", ".gitmodules"]);
    let entry = format!("160000,{},sub", work.git(&["rev-parse", "HEAD"]));
    work.git(&["update-index", "--add", "--cacheinfo", &entry]);
    let commit = work.commit_index("With a submodule");
    work.push();
    linked.fetch().await.expect("fetched");
    let (into, checkout) = linked.checkout(&commit).await;
    assert_eq!(checkout.expect("a checkout").submodules, ["sub"]);
    assert!(into.join("sub").is_dir());
    assert!(files_below(&into.join("sub")).is_empty());
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn hooks_and_filters_do_not_run() {
    let linked = Linked::new().await;
    let work = &linked.work;
    let marker = linked.bench.folder.path().join("ran");
    work.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
    work.write("a.txt", "plain");
    let commit = work.commit("With filters");
    work.push();
    linked.fetch().await.expect("fetched");
    // Even where somebody has put hooks into the repository itself.
    let hooks = linked.bench.repo().join("hooks");
    std::fs::create_dir_all(&hooks).expect("made");
    for hook in [
        "reference-transaction",
        "post-checkout",
        "post-index-change",
        "pre-auto-gc",
    ] {
        let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
        std::fs::write(hooks.join(hook), script).expect("written");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(hooks.join(hook), executable).expect("executable");
    }
    work.write("b.txt", "new");
    work.commit("More");
    work.push();
    linked.fetch().await.expect("fetched");
    let (into, checkout) = linked.checkout(&commit).await;
    checkout.expect("a checkout");
    let text = std::fs::read_to_string(into.join("a.txt"));
    assert_eq!(text.expect("read"), "plain");
    assert!(!marker.exists());
}

/// `ident` makes sixty bytes of four, and an encoding four bytes of each.
#[tokio::test]
async fn attributes_do_not_change_what_is_checked_out() {
    let linked = Linked::new().await;
    let work = &linked.work;
    let text = "$Id$\n".repeat(1000);
    work.write(".gitattributes", "[attr]grow ident\n*.txt grow\n");
    work.write("a.txt", &text);
    work.write("sub/b.txt", "one\r\ntwo\n");
    let first = work.commit("With attributes");
    // A later one comes with files that only it changes.
    work.write(
        "attributes",
        "*.txt ident working-tree-encoding=UTF-32 text eol=crlf\n",
    );
    let hash = |path: &str| work.git(&["hash-object", "-w", "--no-filters", path]);
    let new = [
        (".gitattributes", hash("attributes")),
        ("sub/c.txt", hash("a.txt")),
    ];
    for (path, object) in &new {
        let entry = format!("100644,{object},{path}");
        work.git(&["update-index", "--add", "--cacheinfo", &entry]);
    }
    let second = work.commit_index("With more of them");
    work.push();
    linked.fetch().await.expect("fetched");

    let (repos, folder) = (&linked.bench.repos, linked.bench.folder.path());
    let (into, index) = (folder.join("out"), folder.join("index"));
    std::fs::create_dir(&into).expect("made");
    let read = |path: &str| std::fs::read_to_string(into.join(path)).expect("read");
    let checkout = repos.checkout_with(PROJECT, &first, &into, &index).await;
    checkout.expect("a checkout");
    assert_eq!(read("a.txt"), text);
    assert_eq!(read("sub/b.txt"), "one\r\ntwo\n");
    let changed = repos.changes(PROJECT, &first, &second).await.expect("told");
    assert_eq!(changed.expect("plain files").len(), 2);
    let updated = repos.update(PROJECT, &first, &second, &into, &index).await;
    assert!(updated.expect("updated"));
    assert_eq!(read("sub/c.txt"), text);
}

#[tokio::test]
async fn links_that_lead_outside_are_not_checked_out() {
    let linked = Linked::new().await;
    for (target, link) in [
        ("/etc/passwd", "absolute"),
        ("../../secret", "climbing"),
        ("sub/../../x", "winding"),
        (".git/config", "repository"),
        ("index.html", "inner"),
    ] {
        symlink(target, linked.work.tree().join(link)).expect("linked");
    }
    let commit = linked.work.commit("With links");
    linked.work.push();
    linked.fetch().await.expect("fetched");
    let (into, checkout) = linked.checkout(&commit).await;
    let left_out = checkout.expect("a checkout").left_out;
    assert_eq!(left_out, ["absolute", "climbing", "repository", "winding"]);
    let mut names: Vec<_> = std::fs::read_dir(&into)
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["index.html", "inner"]);
    // Shown, but as what it is.
    let repos = &linked.bench.repos;
    let shown = repos.file(PROJECT, &commit, "absolute").await;
    let shown = shown.expect("shown");
    assert_eq!(
        (shown.kind, shown.content.as_slice()),
        (EntryKind::Symlink, b"/etc/passwd".as_slice())
    );
}

#[tokio::test]
async fn a_tree_with_a_git_folder_in_it_is_not_fetched() {
    for name in [".git", ".GIT", "..", "git~1"] {
        let linked = Linked::new().await;
        let blob = linked.work.git(&["hash-object", "-w", "index.html"]);
        let tree = linked
            .work
            .tree_of(&format!("100644 blob {blob}\t{name}\n"));
        let commit = linked.publish(&tree);
        if let Err(failure) = linked.fetch().await {
            assert_eq!(failure.error.code, Code::SourceUnavailable, "{name}");
            continue;
        }
        let (into, checkout) = linked.checkout(&commit).await;
        let error = checkout.expect_err(name);
        assert_eq!(error.code, Code::SourceUnavailable, "{name}");
        assert!(files_below(&into).is_empty());
    }
}
