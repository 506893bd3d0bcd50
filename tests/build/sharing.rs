//! How little room the previews of one project take together.

use std::collections::HashSet;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};

/// What the files below take up on the disk, each counted once.
fn taken(folder: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut sum = 0;
    for entry in ignore::WalkBuilder::new(folder)
        .standard_filters(false)
        .build()
    {
        let meta = entry.expect("an entry").metadata().expect("its size");
        if meta.is_file() && seen.insert(meta.ino()) {
            sum += meta.blocks() * 512;
        }
    }
    sum
}

/// Like minified JavaScript, a line for each module.
fn script(edited: usize) -> String {
    let mut script = String::new();
    for n in 0..25_000_usize {
        let mixed = n.wrapping_mul(2_654_435_761) % 1_000_003;
        let word = if n == edited { "edited" } else { "module" };
        writeln!(
            script,
            "__d(({mixed:x},{word})=>r(d[{}]),{n});",
            mixed % 977
        )
        .expect("a string");
    }
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_previews_with_one_line_edited_take_little_more_room_than_one() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let previews = builder.app().data.root().join("previews");
    let (mut first, mut zip) = (0, 0);
    for n in 0..10 {
        let script = script(n * 2345);
        let mut tree = Tree::folder("tests/fixtures/static-site");
        tree.put("app.js", &script);
        let built = builder.build(project, &tree, Platform::Web).await;
        assert!(
            built.text("dist/app.js") == script,
            "the bytes are those of its commit"
        );
        if n == 0 {
            first = taken(&previews);
            zip = built.preview.bundle.expect("a bundle").size;
        }
    }
    let all = taken(&previews);
    assert!(first < zip + 64_000, "{first} for a zip of {zip} bytes");
    assert!(all < first * 5 / 2, "{all} for ten, {first} for one");
    builder.stop().await;
}
