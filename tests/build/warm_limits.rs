//! What the short limit of warm bundlers binds, and what not.

use hivesync::domain::preview::{BundlerOrigin, Platform};
use hivesync::domain::project::ProjectConfig;
use hivesync::stop_points::{Hold, Point};

use std::time::Duration;

use crate::builder::{Builder, Tree};
use crate::removal::held;
use crate::warm::{WARM, add};

/// Never ends in a bundler that is kept, if the app says so.
const METRO_CONFIG: &str = r"
const { getDefaultConfig } = require('@react-native/metro-config');
const fs = require('node:fs');
const config = getDefaultConfig(__dirname);
config.serializer.experimentalSerializerHook = () => {
  const kept = process.argv[1].endsWith('driver/main.cjs');
  if (kept && fs.readFileSync(`${__dirname}/App.js`, 'utf8').includes('STAY-HERE')) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
};
module.exports = config;
";

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_warm_bundling_has_the_time_of_a_cold_build() {
    let builder = Builder::with(|config| {
        config.builds.warm.count = 2;
        config.previews.warm_timeout = Duration::from_secs(40);
    })
    .await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = Tree::folder("tests/fixtures/rn-cli");
    tree.put("metro.config.js", METRO_CONFIG);
    for platform in [Platform::Ios, Platform::Android] {
        builder.build(project, &tree, platform).await;
        builder.app().bundlers.settled().await;
    }

    add(&mut tree, "App.js", "globalThis.one = 1;");
    let commit = builder.upload(project, &tree).await;
    let hold = Hold::at(Point::PackageBeforeRename);
    let bundled = builder.request(project, &commit, Platform::Ios).await;
    let hold = held(hold).await;
    // It is held until the limit of one that began later is over.
    add(&mut tree, "App.js", "globalThis.two = 'STAY-HERE';");
    let commit = builder.upload(project, &tree).await;
    let later = builder.request(project, &commit, Platform::Android).await;
    let over = "does not serve (the stage took longer than its limit of 40.0 s";
    builder.until(&later, |_, log| log.contains(over)).await;
    drop(hold);

    let built = builder.success(&bundled).await;
    assert_eq!(built.preview.bundler, Some(BundlerOrigin::Kept));
    assert!(built.log.contains(WARM), "{}", built.log);
    builder.success(&later).await;
    builder.stop().await;
}
