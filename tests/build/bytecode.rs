//! Hermes bytecode of finished previews: by the compilers of real projects, and
//! by one that does as it is told.

use std::time::Duration;

use futures::TryStreamExt;
use hivesync::blobs::BlobKey;
use hivesync::config::SandboxChoice;
use hivesync::domain::ProjectId;
use hivesync::domain::job::Queue;
use hivesync::domain::preview::{Bytecode, Platform, Preview, SandboxLevel};
use hivesync::domain::project::ProjectConfig;
use hivesync::jobs::purge::{self, PurgeJob};
use hivesync::stop_points::{Hold, Point};
use hivesync::store::batch::RecordKey;
use hivesync::store::{Batch, Expect};

use crate::builder::{Builder, Built, Tree};

async fn start() -> Builder {
    Builder::with(|config| config.builds.bytecode = true).await
}

/// A project whose bundle is its `index.js`, with a small compiler.
fn app(index: &str) -> Tree {
    let mut tree = Tree::folder("tests/fixtures/hermes-app");
    tree.put("index.js", index);
    tree
}

fn made(preview: &Preview) -> Option<&Bytecode> {
    preview.bundle.as_ref().and_then(|b| b.bytecode.as_ref())
}

/// Waits for the preview's bytecode; what it is, and its bytes.
async fn bytecode(builder: &Builder, built: &Built) -> (Bytecode, Vec<u8>) {
    let id = &built.preview.id;
    let preview = builder.until(id, |row, _| made(row).is_some()).await;
    let made = made(&preview).expect("bytecode").clone();
    let key = BlobKey::bytecode(preview.project_id, id);
    let pieces = builder.app().blobs.read(&key, 0..made.size).await;
    let pieces: Vec<_> = pieces.expect("stored").try_collect().await.expect("read");
    let bytes = pieces.concat();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    assert_eq!(made.sha256, data_encoding::HEXLOWER.encode(digest.as_ref()));
    // Nothing else of the preview has changed.
    let mut plain = preview.clone();
    plain.bundle.as_mut().expect("a bundle").bytecode = None;
    assert_eq!(plain, built.preview);
    (made, bytes)
}

/// Waits until no bytecode is being made, nor is to be.
async fn quiet(builder: &Builder) {
    let queue = &builder.app().queue;
    loop {
        let stats = queue.stats(Queue::Bytecode).await.expect("stats");
        assert_eq!(stats.dead, 0);
        if stats.queued + stats.running == 0 {
            return;
        }
        let woken = queue.wait(&[Queue::Bytecode]);
        let _ = tokio::time::timeout(Duration::from_secs(1), woken).await;
    }
}

/// The blobs of all bytecode.
async fn stored(builder: &Builder) -> Vec<String> {
    let all = builder.app().blobs.list().await.expect("a list");
    let names = all.into_iter().map(|blob| blob.key);
    names.filter(|name| name.ends_with("main.hbc")).collect()
}

fn version(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[8..12].try_into().expect("a header"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_javascript_is_compiled_once() {
    let builder = start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = app("one();");
    let first = builder.build(project, &tree, Platform::Ios).await;
    let (first, bytes) = bytecode(&builder, &first).await;
    assert_eq!((first.version, version(&bytes)), (98, 98));
    // The compiler never writes the same twice.
    tree.put("README.md", "Another commit.");
    let same = builder.build(project, &tree, Platform::Ios).await;
    assert_eq!(bytecode(&builder, &same).await.0, first);
    let android = builder.build(project, &tree, Platform::Android).await;
    assert_eq!(bytecode(&builder, &android).await.0, first);

    let edited = builder.build(project, &app("two();"), Platform::Ios).await;
    assert_ne!(bytecode(&builder, &edited).await.0.sha256, first.sha256);
    // Another compiler, the same JavaScript.
    let compiler = "hermes-compiler/hermesc/linux64-bin/hermesc";
    let text = tree.text(compiler);
    tree.put(compiler, &format!("{text}// newer\n"));
    let newer = builder.build(project, &tree, Platform::Ios).await;
    assert_ne!(bytecode(&builder, &newer).await.0.sha256, first.sha256);
    // Projects share nothing.
    let other = builder.project(ProjectConfig::default()).await;
    let theirs = builder.build(other, &app("one();"), Platform::Ios).await;
    assert_ne!(bytecode(&builder, &theirs).await.0.sha256, first.sha256);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_stays_as_it_is_where_there_is_no_bytecode() {
    let builder = Builder::with(|config| {
        config.builds.bytecode = true;
        config.builds.limits.disk_bytes = 64 << 20;
    })
    .await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut missing = app("nobody compiles this");
    missing.remove("hermes-compiler/hermesc/linux64-bin/hermesc");
    missing.put("hermes-compiler/index.js", "");
    let mut other_engine = app("this neither");
    other_engine.put("android/gradle.properties", "hermesEnabled=false\n");
    let mut none = vec![missing, other_engine];
    for trouble in ["fail", "link", "lie", "cut", "swell", "nothing"] {
        none.push(app(&format!("// hermesc: {trouble}")));
    }
    for tree in none {
        let built = builder.build(project, &tree, Platform::Android).await;
        quiet(&builder).await;
        assert_eq!(builder.preview(&built.preview.id).await, built.preview);
        assert_eq!(built.text("main.jsbundle"), tree.text("index.js"));
        assert_eq!(stored(&builder).await, [""; 0]);
    }
    // Nor is there any for browsers.
    let page = Tree::of(&[("index.html", "<html>")]);
    builder.build(project, &page, Platform::Web).await;
    quiet(&builder).await;
    assert_eq!(stored(&builder).await, [""; 0]);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_runs_where_there_are_no_namespaces() {
    let builder = Builder::with(|config| {
        config.builds.bytecode = true;
        config.builds.sandbox = SandboxChoice::Restricted;
    })
    .await;
    let project = builder.project(ProjectConfig::default()).await;
    let built = builder.build(project, &app("one();"), Platform::Ios).await;
    assert_eq!(built.preview.sandbox, Some(SandboxLevel::Restricted));
    let (made, bytes) = bytecode(&builder, &built).await;
    assert_eq!(made.version, version(&bytes));
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_turned_off() {
    let builder = Builder::with(|config| config.builds.bytecode = false).await;
    let project = builder.project(ProjectConfig::default()).await;
    let built = builder.build(project, &app("one();"), Platform::Ios).await;
    let stats = builder.app().queue.stats(Queue::Bytecode).await;
    let stats = stats.expect("stats");
    assert_eq!((stats.queued, stats.running), (0, 0));
    assert_eq!(made(&built.preview), None);
    builder.stop().await;
}

async fn delete(builder: &Builder, project: ProjectId) {
    let batch = Batch::new().delete(RecordKey::Project(project), Expect::Any);
    builder.app().store.commit(batch).await.expect("deleted");
    let job = PurgeJob {
        project_id: project,
    };
    purge::run(builder.app(), &job).await.expect("purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_project_that_is_deleted_meanwhile() {
    let builder = start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let hold = Hold::at(Point::BytecodeStored);
    builder.build(project, &app("one();"), Platform::Ios).await;
    let hold = tokio::task::spawn_blocking(move || {
        hold.wait();
        hold
    });
    let hold = hold.await.expect("held");
    delete(&builder, project).await;
    drop(hold);
    quiet(&builder).await;
    assert_eq!(stored(&builder).await, [""; 0]);
    builder.stop().await;
}

/// It comes back when the build has ended: then nobody waits for anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_gives_way_to_a_build() {
    let builder = start().await;
    let project = builder.project(ProjectConfig::default()).await;
    builder
        .build(project, &app("// hermesc: hang"), Platform::Ios)
        .await;
    let running = || async {
        let stats = builder.app().queue.stats(Queue::Bytecode).await;
        stats.expect("stats").running
    };
    while running().await == 0 {
        let woken = builder.app().queue.wait(&[Queue::Bytecode]);
        let _ = tokio::time::timeout(Duration::from_secs(1), woken).await;
    }
    // Of the same branch and platform: the newer takes the place of the other,
    // which would never end.
    let hold = Hold::at(Point::PackageAfter);
    let commit = builder.upload(project, &app("two();")).await;
    let id = builder.request(project, &commit, Platform::Ios).await;
    let hold = tokio::task::spawn_blocking(move || {
        hold.wait();
        hold
    });
    let hold = hold.await.expect("held");
    while running().await > 0 {
        let released = builder.app().queue.wait(&[Queue::Bytecode]);
        let _ = tokio::time::timeout(Duration::from_secs(1), released).await;
    }
    drop(hold);
    let next = builder.success(&id).await;
    bytecode(&builder, &next).await;
    quiet(&builder).await;
    assert_eq!(stored(&builder).await.len(), 1);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_projects_are_compiled_by_their_own_compilers() {
    let builder = start().await;
    for (folder, platform) in [
        ("examples/hello-expo", Platform::Ios),
        ("tests/fixtures/rn-cli", Platform::Android),
    ] {
        let project = builder.project(ProjectConfig::default()).await;
        let mut tree = Tree::folder(folder);
        let built = builder.build(project, &tree, platform).await;
        let (first, bytes) = bytecode(&builder, &built).await;
        assert_eq!(bytes[..4], [0xc6, 0x1f, 0xbc, 0x03], "{folder}");
        assert_eq!(first.version, version(&bytes), "{folder}");
        assert!(built.text("main.jsbundle").starts_with("var __BUNDLE"));
        tree.put("NOTES.md", "No part of the app.");
        let again = builder.build(project, &tree, platform).await;
        assert_eq!(bytecode(&builder, &again).await.0, first, "{folder}");
    }
    builder.stop().await;
}
