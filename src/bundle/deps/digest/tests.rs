//! Which trees share their dependencies, and which must not.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::manifests;
use super::*;
use crate::bundle::detect::detect;
use crate::bundle::stop::Limit;
use crate::domain::preview::Platform;
use crate::domain::project::{ProjectConfig, ProjectKind};
use crate::error::Code;

const LOCKED: [(&str, &str); 2] = [
    (
        "package.json",
        r#"{"name": "a", "dependencies": {"x": "1"}}"#,
    ),
    ("package-lock.json", r#"{"lockfileVersion": 3}"#),
];

fn key_of(files: &[(&str, &str)], project: i64, scripts: bool) -> Key {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let settings = ProjectConfig {
        kind: Some(ProjectKind::Web),
        install_scripts: scripts,
        ..ProjectConfig::default()
    };
    let plan = detect(dir.path(), &settings, Platform::Web).unwrap();
    let install = Install::find(&plan).unwrap();
    let toolset = Toolset {
        node_version: "20.0.0",
        manager: "npm@10",
        level: "isolated",
    };
    let stop = stop();
    let subject = Subject {
        plan: &plan,
        install: &install,
        manifests: &manifests::read(&plan.tree, &install, &stop).unwrap(),
        toolset: &toolset,
    };
    subject.key(ProjectId(project), &stop).unwrap()
}

fn stop() -> Stop {
    Stop {
        limit: Limit::starting_now(Duration::from_hours(1), "PREVIEW_INSTALL_TIMEOUT_MS"),
        cancel: CancellationToken::new(),
    }
}

fn with<'a>(path: &'a str, text: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut files: Vec<_> = LOCKED
        .into_iter()
        .filter(|(known, _)| *known != path)
        .collect();
    files.push((path, text));
    files
}

#[test]
fn what_does_not_decide_the_install_does_not_count() {
    let key = key_of(&LOCKED, 1, false);
    assert_eq!(key.owner, None);
    assert_eq!(key, key_of(&LOCKED, 2, false));
    assert_eq!(key, key_of(&with("src/index.js", "x"), 1, false));
    let scripted = r#"{"name": "a", "scripts": {"build": "b"}, "dependencies": {"x": "1"}}"#;
    assert_eq!(key, key_of(&with("package.json", scripted), 1, false));
}

#[test]
fn what_decides_the_install_counts() {
    let key = key_of(&LOCKED, 1, false);
    for files in [
        with("package-lock.json", r#"{"lockfileVersion": 2}"#),
        with(
            "package.json",
            r#"{"name": "a", "dependencies": {"x": "2"}}"#,
        ),
        with(".npmrc", "legacy-peer-deps=true"),
        with("patches/x.patch", "-a\n+b"),
        with(
            "package.json",
            r#"{"name": "a", "dependencies": {"x": "1"}, "patchedDependencies": {"x@1": "x"}}"#,
        ),
        // npm goes by it, whatever the other one says.
        with("npm-shrinkwrap.json", r#"{"lockfileVersion": 3}"#),
        with("yarn.lock", "__metadata:\n"),
    ] {
        assert_ne!(key.digest, key_of(&files, 1, false).digest, "{files:?}");
    }
}

#[test]
fn a_project_whose_code_runs_while_installing_shares_nothing() {
    for (files, scripts) in [
        (LOCKED.to_vec(), true),
        (with(".npmrc", "registry=https://elsewhere.example"), false),
        (with(".npmrc", "git=./git.sh"), false),
    ] {
        let one = key_of(&files, 1, scripts);
        assert_eq!(one.owner, Some(ProjectId(1)));
        assert_ne!(one.digest, key_of(&files, 2, scripts).digest);
    }
    let harmless = with(".npmrc", "legacy-peer-deps=true\n# a comment");
    assert_eq!(key_of(&harmless, 1, false).owner, None);
}

/// What such a manager has downloaded for one project must never be a part of
/// what another gets, however harmless its lockfile and its settings look.
#[test]
fn a_manager_that_takes_downloads_on_trust_shares_nothing() {
    let plugin = r#"{"dependencies": {"x": "1"}, "pnpm": {"configDependencies": {"p": "1.0.0"}}}"#;
    for (path, text) in [
        (
            "pnpm-lock.yaml",
            "lockfileVersion: '9.0'\npackages:\n  x@1.0.0:\n    resolution: {integrity: sha512-a==}\n",
        ),
        (
            "yarn.lock",
            "# yarn lockfile v1\n\nx@1:\n  version \"1.0.0\"\n  \
             resolved \"https://registry.yarnpkg.com/x/-/x-1.0.0.tgz#0a\"\n",
        ),
        (
            "yarn.lock",
            "__metadata:\n  version: 8\n\n\"x@npm:1\":\n  resolution: \"x@npm:1.0.0\"\n",
        ),
        (
            "bun.lock",
            r#"{"packages": {"x": ["x@1.0.0", "", {}, "sha512-a=="]}}"#,
        ),
    ] {
        for manifest in [LOCKED[0].1, plugin] {
            let files = [("package.json", manifest), (path, text)];
            let one = key_of(&files, 1, false);
            assert_eq!(one.owner, Some(ProjectId(1)), "{path}");
            assert_ne!(one.digest, key_of(&files, 2, false).digest);
        }
    }
}

#[test]
fn configuration_above_the_lockfile_counts() {
    let files = |path, text| {
        vec![
            ("hivesync.toml", "root = \"apps/a\""),
            ("apps/a/package.json", "{}"),
            ("apps/a/package-lock.json", "{}"),
            (path, text),
        ]
    };
    let plain = key_of(&files("README.md", ""), 1, false);
    assert_eq!(plain.owner, None);
    for path in [".npmrc", "apps/.npmrc"] {
        let one = key_of(&files(path, "registry=x"), 1, false);
        assert_eq!(one.owner, Some(ProjectId(1)), "{path}");
        let other = key_of(&files(path, "registry=y"), 1, false);
        assert_ne!(one.digest, other.digest);
    }
}

#[test]
fn dependencies_from_elsewhere_than_registries_are_the_projects_own() {
    for (path, text) in [
        ("package.json", r#"{"dependencies": {"x": "someone/x"}}"#),
        (
            "package-lock.json",
            r#"{"packages": {"node_modules/x": {"resolved": "git+ssh://git@h.example/x.git#1"}}}"#,
        ),
        (
            "package-lock.json",
            r#"{"packages": {"node_modules/x": {"resolved": "https://github.com/a/x"}}}"#,
        ),
        (
            "package-lock.json",
            r#"{"dependencies": {"x": {"requires": {"y": "github:a/y"}}}}"#,
        ),
        ("package-lock.json", "no JSON"),
        (
            "package.json",
            r#"{"dependencies": {"x": "exec:./make.js"}}"#,
        ),
        (
            "package.json",
            r#"{"dependencies": {"x": "GIT+FILE:///work/project/x.git"}}"#,
        ),
        ("package.json", r#"{"dependencies": {"x": "file:./x.tgz"}}"#),
        (
            "package-lock.json",
            r#"{"packages": {"node_modules/x": {"resolved": "GIT+FILE:///work/project/x"}}}"#,
        ),
        (
            "package-lock.json",
            r#"{"packages": {"node_modules/x": {"resolved": "https://r.example/x.tgz", "hasShrinkwrap": true}}}"#,
        ),
        (
            "npm-shrinkwrap.json",
            r#"{"packages": {"node_modules/x": {"resolved": "file:x.tgz"}}}"#,
        ),
        (
            "package-lock.json",
            r#"{"packages": {"node_modules/x": {"resolved": "https://r.example/x.tgz"}}}"#,
        ),
        (
            "package-lock.json",
            r#"{"packages": {"node_modules/x": {"version": "1.0.0"}}}"#,
        ),
        (
            "package-lock.json",
            r#"{"dependencies": {"x": {"version": "1.0.0", "resolved": "https://r.example/x.tgz", "integrity": "md5-a=="}}}"#,
        ),
    ] {
        let key = key_of(&with(path, text), 1, false);
        assert_eq!(key.owner, Some(ProjectId(1)), "{path}: {text}");
    }
    let registry = r#"{"packages": {
        "": {"dependencies": {"x": ">=1 <2 || 3.x", "y": "npm:@scope/x@1"}},
        "apps/a": {"version": "1.0.0"},
        "node_modules/a": {"resolved": "apps/a", "link": true},
        "node_modules/x": {
            "version": "1.0.0",
            "resolved": "https://registry.example/x/-/x-1.0.0.tgz",
            "integrity": "sha512-a/b/c==",
            "funding": {"url": "https://github.com/sponsors/x"}
        },
        "node_modules/x/node_modules/y": {"version": "1.0.0", "inBundle": true}}}"#;
    let key = key_of(&with("package-lock.json", registry), 1, false);
    assert_eq!(key.owner, None);
}

#[test]
fn the_lockfile_of_a_real_project_names_registries_alone() {
    let text = include_str!("../../../../examples/hello-expo/package-lock.json");
    assert_eq!(
        key_of(&with("package-lock.json", text), 1, false).owner,
        None
    );
}

#[test]
fn without_a_lockfile_nobody_knows_where_packages_come_from() {
    let key = key_of(&LOCKED[..1], 1, false);
    assert_eq!(key.owner, Some(ProjectId(1)));
}

#[test]
fn every_manifest_of_a_workspace_counts() {
    let root = r#"{"workspaces": ["apps/*"]}"#;
    let files = |version| {
        vec![
            ("package.json", root),
            ("package-lock.json", "{}"),
            ("apps/a/package.json", version),
        ]
    };
    let one = key_of(&files(r#"{"dependencies": {"x": "1"}}"#), 1, false);
    let two = key_of(&files(r#"{"dependencies": {"x": "2"}}"#), 1, false);
    assert_ne!(one.digest, two.digest);
}

#[test]
fn a_dependency_in_the_tree_counts_with_its_files() {
    let manifest = r#"{"dependencies": {"x": "file:libs/x"}}"#;
    let files = |text| vec![("package.json", manifest), ("libs/x/index.js", text)];
    assert_ne!(
        key_of(&files("1"), 1, false).digest,
        key_of(&files("2"), 1, false).digest
    );
}

/// Who cannot be read must not share with those who can.
#[test]
fn settings_that_are_too_large_to_be_read_count_as_code() {
    let large = format!("{}\nscript-shell=./x", " ".repeat(3 << 20));
    let key = key_of(&with(".npmrc", &large), 1, false);
    assert_eq!(key.owner, Some(ProjectId(1)));
    let other = key_of(&with(".npmrc", &large.replace("./x", "./y")), 1, false);
    assert_ne!(key.digest, other.digest);
}

#[test]
fn the_manifests_of_a_workspace_are_bounded_together() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "package.json",
        r#"{"workspaces": ["a/*"], "scripts": {"build": "x"}}"#,
    );
    let manifest = format!("{{\"x\": [{}0]}}", "0,".repeat(90_000));
    for number in 0..5 {
        write(&format!("a/{number}/package.json"), &manifest);
    }
    let plan = detect(dir.path(), &ProjectConfig::default(), Platform::Web).unwrap();
    let install = Install::find(&plan).unwrap();
    let read = || manifests::read(&plan.tree, &install, &stop());
    assert_eq!(read().unwrap().len(), 6);
    write("a/5/package.json", &manifest);
    let error = read().unwrap_err();
    assert_eq!(error.code, Code::InvalidProjectStructure);
    assert!(error.message.contains("of its workspace"), "{error}");
}

#[test]
fn a_name_is_not_worked_out_past_a_cancel() {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in LOCKED {
        fs::write(dir.path().join(path), text).unwrap();
    }
    let settings = ProjectConfig {
        kind: Some(ProjectKind::Web),
        ..ProjectConfig::default()
    };
    let plan = detect(dir.path(), &settings, Platform::Web).unwrap();
    let stop = stop();
    stop.cancel.cancel();
    let read = manifests::read(&plan.tree, &Install::find(&plan).unwrap(), &stop);
    assert_eq!(read.unwrap_err().code, Code::Cancelled);
}
