//! A project that reaches for whatever is not its own: from its build script,
//! its bundler's configuration and its install script.

use std::fs;

use hivesync::config::Config;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use super::canaries::{Canaries, Target};
use super::{Level, assert_others_build};
use crate::builder::{Builder, Tree};

/// As `attempts.cjs` names them.
pub(super) const ATTEMPTS: [&str; 20] = [
    "the environment of the server",
    "the environment of another process",
    "the memory of the server",
    "a signal to the server",
    "the scheduling of the server",
    "the data folder",
    "the database",
    "the secrets",
    "the credentials of the registry",
    "another project's repository",
    "the socket of the operator",
    "a socket of the machine",
    "loopback",
    "the metadata address",
    "loopback through the proxy",
    "the name of loopback through the proxy",
    "the metadata address through the proxy",
    "writing outside",
    "a device",
    "more rights",
];
pub(super) const OF_THE_BUILD: &str = "the dependencies it shares";

/// The manifest of a project whose build script does the harm.
pub(super) const BUILD_SCRIPT: &str = r#"{"name": "hostile", "dependencies": {"ms": "2.1.3"},
    "scripts": {"build": "node attempts.cjs build"}}"#;

/// ... whose bundler's configuration does it.
pub(super) const BUNDLER: &str = r#"{"name": "hostile", "dependencies": {
    "ms": "2.1.3", "expo": "file:./expo", "react-dom": "file:./expo",
    "react-native-web": "file:./expo"}}"#;

/// ... whose install script does it.
pub(super) const INSTALL_SCRIPT: &str = r#"{"name": "hostile",
    "dependencies": {"ms": "2.1.3"}, "scripts": {
    "postinstall": "node attempts.cjs install",
    "build": "mkdir dist && echo built > dist/index.html"}}"#;
/// For `.npmrc`: npm shows what scripts say only when it is asked to.
pub(super) const SHOW_SCRIPTS: &str = "foreground-scripts=true\n";

/// Every attempt was made and refused in `stage`.
pub(super) fn assert_refused(log: &str, stage: &str, attempts: &[&str]) {
    for attempt in attempts {
        let line = format!("hostile {stage} {attempt}: refused");
        assert!(log.contains(&line), "{line:?} is not in the log:\n{log}");
    }
    assert!(
        log.contains(&format!("hostile {stage} is through")),
        "{log}"
    );
    assert!(!log.contains("REACHED"), "{log}");
}

/// What the operator tells the package managers, and no build.
pub(super) const CREDENTIAL: &str = "hive-credential-of-the-registry";

fn lend_a_credential(config: &mut Config) {
    let path = config.data_dir.join("hostile.npmrc");
    let known = config.builds.npmrc.as_ref();
    let known = known.map(|path| fs::read_to_string(path).expect("the machine's own"));
    let text = format!(
        "{}\n//registry.hive.invalid/:_authToken={CREDENTIAL}\n",
        known.unwrap_or_default()
    );
    fs::write(&path, text).expect("written");
    config.builds.npmrc = Some(path);
}

/// A server, somebody else's project on it, and the hostile tree with this
/// manifest, which knows where everything is.
async fn scene(level: Level, canaries: &Canaries, manifest: &str) -> (Builder, Tree) {
    let builder = level.server(lend_a_credential).await;
    let other = level.project(&builder).await;
    let secret = Tree::of(&[("index.html", "somebody else's")]);
    builder.upload(other, &secret).await;
    let repository = builder.app().data.repo(other);
    let mut tree = Tree::folder("tests/fixtures/hostile");
    let mut targets = canaries.targets(&Target::of(&builder), &repository);
    targets["credential"] = CREDENTIAL.into();
    tree.put("targets.json", &targets.to_string());
    tree.put("package.json", manifest);
    (builder, tree)
}

pub(super) async fn from_the_build_script(level: Level, name: &str) {
    let canaries = Canaries::new(name);
    let (builder, tree) = scene(level, &canaries, BUILD_SCRIPT).await;
    let project = level.project(&builder).await;
    let commit = builder.upload(project, &tree).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    assert_others_build(&builder, level).await;
    let built = builder.success(&id).await;
    assert_refused(&built.log, "build", &ATTEMPTS);
    assert_refused(&built.log, "build", &[OF_THE_BUILD]);
    canaries.assert_untouched(builder.app().data.root());
    builder.stop().await;
}

pub(super) async fn from_the_bundlers_configuration(level: Level, name: &str) {
    let canaries = Canaries::new(name);
    let (builder, tree) = scene(level, &canaries, BUNDLER).await;
    let project = level.project(&builder).await;
    for platform in [Platform::Ios, Platform::Web] {
        let (code, message, log) = builder.failure(project, &tree, platform).await;
        assert_eq!(code, "PREVIEW_BUILD_FAILED", "{message}");
        for stage in ["metro", "babel"] {
            assert_refused(&log, stage, &ATTEMPTS);
            assert_refused(&log, stage, &[OF_THE_BUILD]);
        }
    }
    canaries.assert_untouched(builder.app().data.root());
    assert_others_build(&builder, level).await;
    builder.stop().await;
}

/// In a bundler that was kept: a real one, whose configuration makes every
/// attempt again with each bundle.
pub(super) async fn from_a_warm_bundler(level: Level, name: &str) {
    let canaries = Canaries::new(name);
    let builder = level
        .server(|config| {
            lend_a_credential(config);
            config.builds.warm.count = 1;
        })
        .await;
    let other = level.project(&builder).await;
    let secret = Tree::of(&[("index.html", "somebody else's")]);
    builder.upload(other, &secret).await;
    let repository = builder.app().data.repo(other);
    let mut targets = canaries.targets(&Target::of(&builder), &repository);
    targets["credential"] = CREDENTIAL.into();
    let mut tree = Tree::folder("examples/hello-expo");
    let hostile = Tree::folder("tests/fixtures/hostile");
    tree.put("attempts.cjs", &hostile.text("attempts.cjs"));
    tree.put("targets.json", &targets.to_string());
    tree.put("metro.config.js", WITH_EACH_BUNDLE);
    let project = level.project(&builder).await;
    builder.build(project, &tree, Platform::Ios).await;
    builder.app().bundlers.settled().await;
    for edit in ["one", "two"] {
        let greeting = tree.text("src/greeting.js");
        let edited = format!("{greeting}globalThis.edit = '{edit}';\n");
        tree.put("src/greeting.js", &edited);
        let built = builder.build(project, &tree, Platform::Ios).await;
        assert!(built.log.contains("(warm)"), "{}", built.log);
        assert_refused(&built.log, "warm", &ATTEMPTS);
        assert_refused(&built.log, "warm", &[OF_THE_BUILD]);
    }
    builder.app().bundlers.forget(project);
    let data = builder.stop_and_keep().await;
    canaries.assert_untouched(data.path());
}

const WITH_EACH_BUNDLE: &str = r"
const { execFileSync } = require('node:child_process');
const { getDefaultConfig } = require('expo/metro-config');
const config = getDefaultConfig(__dirname);
config.serializer.experimentalSerializerHook = () => {
  const said = execFileSync(process.execPath, ['attempts.cjs', 'warm'], { cwd: __dirname });
  process.stdout.write(said);
};
module.exports = config;
";

pub(super) async fn from_the_install_script(level: Level, name: &str) {
    let canaries = Canaries::new(name);
    let (builder, mut tree) = scene(level, &canaries, INSTALL_SCRIPT).await;
    tree.put(".npmrc", SHOW_SCRIPTS);
    let scripts = ProjectConfig {
        install_scripts: true,
        ..ProjectConfig::default()
    };
    let project = builder.project(scripts).await;
    let commit = builder.upload(project, &tree).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    assert_others_build(&builder, level).await;
    let built = builder.success(&id).await;
    assert_refused(&built.log, "install", &ATTEMPTS);
    // The proxy was there, and was asked.
    assert!(
        !built.log.contains("refused (there is no proxy)"),
        "{}",
        built.log
    );
    canaries.assert_untouched(builder.app().data.root());
    builder.stop().await;
}
