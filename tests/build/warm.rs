//! Warm bundlers: what they build is what a cold build makes of the same
//! commit, byte by byte, and a preview never depends on them.

use std::fs;
use std::process::Command;

use hivesync::bundle::warm::Spot;
use hivesync::domain::ProjectId;
use hivesync::domain::preview::{BundlerOrigin, Platform, PreviewStatus};
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Built, Tree};
use crate::endings::cancel;

/// What the log says of a build that a warm bundler has made.
pub(crate) const WARM: &str = "(warm)";

pub(crate) async fn start(count: usize) -> Builder {
    Builder::with(|config| config.builds.warm.count = count).await
}

/// One step of a series: its name and what it does to the tree.
pub(crate) type Step = (&'static str, fn(&mut Tree));

pub(crate) fn add(tree: &mut Tree, file: &str, text: &str) {
    let old = tree.text(file);
    tree.put(file, &format!("{old}\n{text}\n"));
}

pub(crate) const EXPO: [Step; 10] = [
    ("edit", |tree| {
        add(tree, "src/greeting.js", "export const ONE = 'first-edit';");
    }),
    ("edit again", |tree| {
        add(tree, "src/greeting.js", "globalThis.two = 'second-edit';");
    }),
    ("new file", |tree| {
        tree.put("src/added.js", "export const added = 'added-file';\n");
        let import = "import { added } from './added';\nglobalThis.added = added;";
        add(tree, "src/theme.js", import);
    }),
    // No import changes, and yet it means another file on these platforms.
    ("file that takes another's place", |tree| {
        let text = "export const added = 'for-native-alone';\n";
        tree.put("src/added.native.js", text);
    }),
    ("file that gives it back", |tree| {
        tree.remove("src/added.native.js");
    }),
    ("renamed file", |tree| {
        let bytes = tree.remove("src/added.js");
        tree.put_bytes("src/renamed.js", &bytes);
        tree.replace("src/theme.js", "./added", "./renamed");
    }),
    ("new asset", |tree| {
        let bytes = tree.bytes("assets/icon.png").to_vec();
        tree.put_bytes("assets/new.png", &bytes);
        let require = "globalThis.asset = require('../assets/new.png');";
        add(tree, "src/theme.js", require);
    }),
    ("changed asset", |tree| {
        let bytes = tree.bytes("assets/favicon.png").to_vec();
        tree.put_bytes("assets/new.png", &bytes);
    }),
    ("file that is no part of the app", |tree| {
        add(tree, "README.md", "More of it.");
    }),
    ("revert", |tree| {
        *tree = Tree::folder("examples/hello-expo");
    }),
];

const REACT_NATIVE: [Step; 4] = [
    ("edit", |tree| {
        add(tree, "App.js", "globalThis.one = 'first-edit';");
    }),
    ("new file", |tree| {
        tree.put("added.js", "export const added = 'added-file';\n");
        let import = "import { added } from './added';\nglobalThis.added = added;";
        add(tree, "App.js", import);
    }),
    ("new asset", |tree| {
        let bytes = tree.bytes("assets/dot.png").to_vec();
        tree.put_bytes("assets/new.png", &bytes);
        let require = "globalThis.asset = require('./assets/new.png');";
        add(tree, "App.js", require);
    }),
    ("revert", |tree| {
        *tree = Tree::folder("tests/fixtures/rn-cli");
    }),
];

/// A preview of a series, for one platform.
pub(crate) struct Made {
    step: &'static str,
    platform: Platform,
    pub(crate) warm: Built,
}

/// Builds cold, lets the bundlers start, and then every step warm.
pub(crate) async fn series(
    builder: &Builder,
    project: ProjectId,
    mut tree: Tree,
    platforms: &[Platform],
    steps: &[Step],
) -> Vec<Made> {
    for platform in platforms {
        let cold = builder.build(project, &tree, *platform).await;
        assert!(!cold.log.contains(WARM), "{}", cold.log);
        let told = "no warm bundler is kept for this project and platform; one is started";
        assert!(cold.log.contains(told), "{}", cold.log);
        builder.app().bundlers.settled().await;
    }
    let mut made = Vec::new();
    for (step, change) in steps {
        change(&mut tree);
        for platform in platforms {
            let warm = builder.build(project, &tree, *platform).await;
            assert!(warm.log.contains(WARM), "{step}: {}", warm.log);
            assert_eq!(warm.preview.warm, Some(true));
            assert_eq!(warm.preview.bundler, Some(BundlerOrigin::Kept));
            made.push(Made {
                step,
                platform: *platform,
                warm,
            });
        }
    }
    made
}

/// Builds everything again, on a server without warm bundlers.
pub(crate) async fn same_when_cold(builder: Builder, project: ProjectId, made: &[Made]) {
    let level = builder.app().config.builds.sandbox;
    let data = builder.stop_and_keep().await;
    let builder = Builder::resume_at(level, data).await;
    let mut filled = None;
    for made in made {
        let commit = &made.warm.preview.commit;
        let id = builder.request(project, commit, made.platform).await;
        let cold = builder.success(&id).await;
        assert!(!cold.log.contains(WARM), "{}", cold.log);
        assert!(cold.log.contains("WARM_BUNDLERS=0"), "{}", cold.log);
        assert_eq!(cold.preview.bundler, Some(BundlerOrigin::Started));
        filled = cold.preview.warm;
        assert_same(made, &cold);
    }
    assert_eq!(filled, Some(true), "the last one finds its caches");
    builder.stop().await;
}

fn assert_same(made: &Made, cold: &Built) {
    let what = format!("{} for {}", made.step, made.platform);
    assert_eq!(made.warm.names(), cold.names(), "{what}");
    for (name, bytes) in &cold.files {
        if !["build.log", "metadata.json"].contains(&name.as_str()) {
            assert!(made.warm.files[name] == *bytes, "{what}: {name} differs");
        }
    }
    let plain = |built: &Built| {
        let mut metadata = built.metadata();
        for own in ["job_id", "built_at"] {
            metadata[own] = "".into();
        }
        metadata
    };
    assert_eq!(plain(&made.warm), plain(cold), "{what}");
}

/// One test, because the dependencies take the longest: the series on both
/// platforms, what ends a bundler and what does not, then the same commits
/// without.
#[tokio::test(flavor = "multi_thread")]
async fn warm_and_cold_builds_of_an_expo_app_are_the_same() {
    let builder = start(4).await;
    let project = builder.project(ProjectConfig::default()).await;
    let tree = Tree::folder("examples/hello-expo");
    let android = [Platform::Android];
    let mut made = series(&builder, project, tree.clone(), &android, &EXPO[..4]).await;
    made.extend(series(&builder, project, tree.clone(), &[Platform::Ios], &EXPO).await);

    a_mistake_in_the_project_keeps_the_bundler(&builder, project, &tree).await;
    another_configuration_gets_another_bundler(&builder, project, &tree).await;
    a_killed_bundler_costs_no_preview(&builder, project, &tree).await;
    a_cancelled_build_keeps_its_bundler(&builder, project, &tree).await;

    assert_eq!(builder.app().bundlers.count(), 2, "one for each platform");
    builder.app().bundlers.forget(project);
    assert_eq!(builder.app().bundlers.count(), 0);
    same_when_cold(builder, project, &made).await;
    assert!(processes().is_empty(), "bundlers outlive their server");
}

fn ios(project: ProjectId) -> Spot {
    Spot {
        project,
        platform: Platform::Ios,
    }
}

async fn a_mistake_in_the_project_keeps_the_bundler(
    builder: &Builder,
    project: ProjectId,
    tree: &Tree,
) {
    let mut tree = tree.clone();
    add(&mut tree, "src/greeting.js", "export const = ;");
    let (code, _, log) = builder.failure(project, &tree, Platform::Ios).await;
    assert_eq!(code, "PREVIEW_BUILD_FAILED");
    assert!(log.contains("trying once without it"), "{log}");
    assert!(log.contains("expo/bin/cli export"), "{log}");
    assert!(log.contains("greeting.js"), "{log}");
    tree.replace(
        "src/greeting.js",
        "export const = ;",
        "export const MENDED = 1;",
    );
    let mended = builder.build(project, &tree, Platform::Ios).await;
    assert!(mended.log.contains(WARM), "{}", mended.log);
    assert!(mended.text("main.jsbundle").contains("MENDED"));
}

/// Comes to no end, if a file says so, before another one lies beside its output.
const METRO_CONFIG: &str = r"
const fs = require('node:fs');
const { getDefaultConfig } = require('expo/metro-config');
const config = getDefaultConfig(__dirname);
config.serializer.experimentalSerializerHook = (graph) => {
  for (const path of graph.dependencies.keys()) {
    if (path.endsWith('greeting.js') && fs.readFileSync(path, 'utf8').includes('WAIT-HERE')) {
      while (!fs.existsSync(__dirname + '/../out/go-on')) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      }
    }
  }
};
module.exports = config;
";

fn configured(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    tree.put("metro.config.js", METRO_CONFIG);
    tree.replace("app.json", "Hive Diary", "Hive Journal");
    tree
}

async fn another_configuration_gets_another_bundler(
    builder: &Builder,
    project: ProjectId,
    tree: &Tree,
) {
    let mut tree = configured(tree);
    let cold = builder.build(project, &tree, Platform::Ios).await;
    assert!(cold.log.contains("app.json has changed"), "{}", cold.log);
    assert!(!cold.log.contains(WARM), "{}", cold.log);
    builder.app().bundlers.settled().await;
    add(&mut tree, "src/greeting.js", "export const AGAIN = 1;");
    let warm = builder.build(project, &tree, Platform::Ios).await;
    assert!(warm.log.contains(WARM), "{}", warm.log);
    assert_eq!(warm.metadata()["expo"]["name"], "Hive Journal");
}

async fn a_killed_bundler_costs_no_preview(builder: &Builder, project: ProjectId, tree: &Tree) {
    let mut tree = configured(tree);
    add(&mut tree, "src/greeting.js", "export const ORPHAN = 1;");
    kill(Platform::Ios);
    let cold = builder.build(project, &tree, Platform::Ios).await;
    assert!(cold.log.contains("it has ended by itself"), "{}", cold.log);
    assert!(cold.text("main.jsbundle").contains("ORPHAN"));
    builder.app().bundlers.settled().await;
    assert!(builder.app().bundlers.is_ready(ios(project)));
}

/// Whoever gives way or is cancelled does not cost the next one its bundler, which
/// comes to the end of what it was at; only what it has made is nobody's.
async fn a_cancelled_build_keeps_its_bundler(builder: &Builder, project: ProjectId, tree: &Tree) {
    let mut tree = configured(tree);
    add(&mut tree, "src/greeting.js", "globalThis.x = 'WAIT-HERE';");
    let commit = builder.upload(project, &tree).await;
    let id = builder.request(project, &commit, Platform::Ios).await;
    builder.until(&id, |_, log| log.contains(WARM)).await;
    cancel(builder, &id).await;
    let ended = builder
        .until(&id, |_, log| {
            log.contains("CANCELLED: the build was cancelled")
        })
        .await;
    assert_eq!(ended.status, PreviewStatus::Cancelled);
    assert!(!builder.app().bundlers.is_ready(ios(project)));

    tree.replace("src/greeting.js", "WAIT-HERE", "WENT-ON");
    let commit = builder.upload(project, &tree).await;
    let id = builder.request(project, &commit, Platform::Ios).await;
    for bundler in fs::read_dir(builder.app().data.bundlers()).expect("bundlers") {
        let out = bundler.expect("an entry").path().join("out");
        fs::write(out.join("go-on"), "").expect("written");
    }
    let next = builder.success(&id).await;
    assert!(next.log.contains(WARM), "{}", next.log);
    assert!(!next.log.contains("does not serve"), "{}", next.log);
    assert!(next.text("main.jsbundle").contains("WENT-ON"));
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_and_cold_builds_of_a_react_native_app_are_the_same() {
    let builder = start(1).await;
    let project = builder.project(ProjectConfig::default()).await;
    let tree = Tree::folder("tests/fixtures/rn-cli");
    let android = [Platform::Android];
    let mut made = series(&builder, project, tree.clone(), &android, &REACT_NATIVE).await;
    // There is room for one: the other platform's takes its place.
    made.extend(
        series(
            &builder,
            project,
            tree,
            &[Platform::Ios],
            &REACT_NATIVE[..1],
        )
        .await,
    );
    assert_eq!(builder.app().bundlers.count(), 1);
    assert!(builder.app().bundlers.is_ready(ios(project)));
    same_when_cold(builder, project, &made).await;
    assert!(processes().is_empty(), "bundlers outlive their server");
}

/// The processes of bundlers among our descendants, with their environments.
pub(crate) fn processes() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending = vec![std::process::id().to_string()];
    while let Some(pid) = pending.pop() {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
        {
            let Ok(thread) = thread else { continue };
            let children = fs::read_to_string(thread.path().join("children"));
            pending.extend(
                children
                    .unwrap_or_default()
                    .split_ascii_whitespace()
                    .map(str::to_owned),
            );
        }
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.starts_with("node") && line.contains("driver/main.cjs") {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&environment).into_owned()));
        }
    }
    found
}

pub(crate) fn kill(platform: Platform) {
    let of_platform = |(_, environment): &(String, String)| {
        environment.contains(&format!("=bundler-1-{platform}-"))
    };
    let (pid, _) = processes()
        .into_iter()
        .find(of_platform)
        .expect("a bundler");
    let killed = Command::new("kill").args(["-KILL", &pid]).status();
    assert!(killed.expect("kill runs").success());
}
