//! Projects that use up memory and disk where no process and no folder shows
//! it: `hiding.c` has the ways.

use hivesync::config::BuildLimits;
use hivesync::domain::preview::Platform;

use super::Level;
use super::using_up::{MB, killed_for};
use crate::builder::Tree;

/// Each way of `hiding.c`, and the limit that it meets.
pub(super) const WAYS: [(&str, &str); 6] = [
    ("sockets", "BUILD_MEMORY_MB"),
    ("pipes", "BUILD_MEMORY_MB"),
    ("shared", "BUILD_MEMORY_MB"),
    ("tables", "BUILD_MEMORY_MB"),
    ("leader", "BUILD_MEMORY_MB"),
    ("mapped", "BUILD_DISK_MB"),
];

/// What only works against a server that is the build's own user.
pub(super) const FROM_ITS_OWN_USER: [(&str, &str); 2] = [
    ("folder", "closed one of its folders"),
    ("program", "may not look into"),
];

/// A project whose build script does it that way.
pub(super) fn tree(way: &str, marker: &str) -> Tree {
    let mut tree = Tree::folder("tests/fixtures/hostile");
    tree.put(
        "package.json",
        r#"{"name": "hiding", "scripts": {"build": "sh ./build.sh"}}"#,
    );
    let script = format!(
        "cc -w -pthread -o hiding hiding.c && mkdir dist && ./hiding {way} {marker} > dist/index.html"
    );
    tree.put("build.sh", &script);
    tree
}

pub(super) async fn is_bounded(level: Level, marker: &str) {
    for (way, setting) in WAYS {
        let set = |limits: &mut BuildLimits| {
            limits.memory_bytes = 400 * MB;
            limits.disk_bytes = 128 * MB;
        };
        killed_for(level, set, &tree(way, marker), setting, marker).await;
    }
}

/// Without these the ways could not be bounded.
pub(super) async fn what_cannot_be_counted_is_refused(level: Level) {
    let builder = level.server(|_| {}).await;
    let project = level.project(&builder).await;
    let tree = tree("refused", "refused");
    let built = builder.build(project, &tree, Platform::Web).await;
    assert_eq!(built.text("dist/index.html"), "tried\n", "{}", built.log);
    builder.stop().await;
}
