//! Detection, on trees made of a few files.

use std::path::Path;

use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn found(files: &[(&str, &str)], config: &ProjectConfig, platform: Platform) -> Result<Plan> {
    detect(tree(files).path(), config, platform)
}

fn kind(files: &[(&str, &str)], platform: Platform) -> ProjectKind {
    found(files, &ProjectConfig::default(), platform)
        .unwrap()
        .kind
}

const EXPO: &str = r#"{"dependencies": {"expo": "56", "react-native": "0.85"}}"#;
const EXPO_WEB: &str =
    r#"{"dependencies": {"expo": "56", "react-dom": "19", "react-native-web": "0.21"}}"#;
const REACT_NATIVE: &str = r#"{"dependencies": {"react-native": "0.85"}}"#;
const VITE: &str = r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}"#;

#[test]
fn each_kind_is_known_by_its_files() {
    use Platform::{Android, Ios, Web};
    assert_eq!(kind(&[("package.json", EXPO)], Ios), ProjectKind::Expo);
    assert_eq!(kind(&[("package.json", EXPO_WEB)], Web), ProjectKind::Expo);
    assert_eq!(
        kind(&[("package.json", REACT_NATIVE)], Android),
        ProjectKind::ReactNative
    );
    assert_eq!(
        kind(&[("package.json", VITE), ("index.html", "")], Web),
        ProjectKind::Web
    );
    assert_eq!(kind(&[("index.html", "")], Web), ProjectKind::Static);
    assert_eq!(kind(&[("public/index.html", "")], Web), ProjectKind::Static);
    assert_eq!(
        kind(&[("package.json", "{}"), ("index.html", "")], Web),
        ProjectKind::Static
    );
}

#[test]
fn a_platform_that_the_kind_does_not_have_is_refused_with_the_reason() {
    for (files, platform, says) in [
        (&[("index.html", "")][..], Platform::Ios, "static project"),
        (&[("package.json", VITE)], Platform::Android, "on web"),
        (
            &[("package.json", REACT_NATIVE)],
            Platform::Web,
            "ios and android",
        ),
        (
            &[("package.json", EXPO)],
            Platform::Web,
            "react-native-web and react-dom",
        ),
    ] {
        let error = found(files, &ProjectConfig::default(), platform).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedPlatform);
        assert!(error.message.contains(says), "{}", error.message);
    }
}

#[test]
fn nothing_found_says_what_was_looked_for_and_where_to_look_instead() {
    let config = ProjectConfig::default();
    let error = found(&[("README.md", "")], &config, Platform::Web).unwrap_err();
    assert_eq!(error.code, Code::InvalidProjectStructure);
    assert!(error.message.contains("index.html"), "{}", error.message);

    let files = [("README.md", ""), ("apps/mobile/package.json", EXPO)];
    let error = found(&files, &config, Platform::Ios).unwrap_err();
    assert!(
        error.message.contains("root = \"apps/mobile\""),
        "{}",
        error.message
    );
}

#[test]
fn what_must_be_built_is_not_published_as_it_lies() {
    let config = ProjectConfig::default();
    let vite = r#"{"scripts": {"dev": "vite", "build:prod": "vite build"},
        "devDependencies": {"vite": "7"}}"#;
    let files = [("package.json", vite), ("index.html", "<script>")];
    let error = found(&files, &config, Platform::Web).unwrap_err();
    assert_eq!(error.code, Code::InvalidProjectStructure);
    for wanted in [
        "has no `build` script: it uses vite, so add `\"scripts\": {\"build\": \"vite build\"}`",
        "(it has `build:prod`)",
        "`kind = \"static\"`",
    ] {
        assert!(error.message.contains(wanted), "{}", error.message);
    }
    // Whoever says so means it.
    let config = ProjectConfig {
        kind: Some(ProjectKind::Static),
        ..config
    };
    assert!(found(&files, &config, Platform::Web).is_ok());

    let config = ProjectConfig {
        build_script: Some("bulid".to_owned()),
        ..ProjectConfig::default()
    };
    let files = [("package.json", "{}"), ("index.html", "")];
    let error = found(&files, &config, Platform::Web).unwrap_err();
    assert!(error.message.contains("`bulid`"), "{}", error.message);
}

#[test]
fn beside_a_manifest_a_page_counts_only_where_sites_have_theirs() {
    let config = ProjectConfig::default();
    for (page, is_found) in [
        ("index.html", true),
        ("public/index.html", true),
        ("dist/index.html", false),
        ("docs/index.html", false),
    ] {
        let files = [("package.json", "{}"), (page, "")];
        match found(&files, &config, Platform::Web) {
            Ok(plan) => {
                assert!(is_found, "{page}");
                let told = &plan.remarks[0];
                assert!(told.contains("published as they are"), "{told}");
            }
            Err(error) => {
                assert!(!is_found, "{page}");
                let told = &error.message;
                assert!(told.contains("add the script that builds"), "{told}");
            }
        }
    }
}

#[test]
fn a_misspelt_key_is_told_with_whatever_comes_of_it() {
    let key = "warning: `rot` in hivesync.toml is unknown and ignored; did you mean `root`?";
    let files = [(CONFIG_FILE, "rot = \"site\""), ("site/index.html", "")];
    let error = found(&files, &ProjectConfig::default(), Platform::Web).unwrap_err();
    assert!(error.message.contains(key), "{}", error.message);
    let files = [(CONFIG_FILE, "rot = \"site\""), ("index.html", "")];
    let plan = found(&files, &ProjectConfig::default(), Platform::Web).unwrap();
    assert_eq!(plan.remarks, [key]);
}

#[test]
fn the_trees_own_file_counts_and_the_settings_override_it() {
    let files = [
        (
            CONFIG_FILE,
            "kind = \"web\"\nroot = \"apps/site\"\noutput_dir = \"build\"",
        ),
        ("apps/site/package.json", VITE),
        ("apps/app/package.json", REACT_NATIVE),
    ];
    let dir = tree(&files);
    let plan = detect(dir.path(), &ProjectConfig::default(), Platform::Web).unwrap();
    assert_eq!(plan.kind, ProjectKind::Web);
    assert_eq!(plan.root, dir.path().join("apps/site"));
    assert_eq!(plan.output_dir.as_deref(), Some(Path::new("build")));

    let settings = ProjectConfig {
        kind: Some(ProjectKind::ReactNative),
        root: Some("apps/app".to_owned()),
        ..ProjectConfig::default()
    };
    let plan = detect(dir.path(), &settings, Platform::Ios).unwrap();
    assert_eq!(plan.kind, ProjectKind::ReactNative);
    assert_eq!(plan.root, dir.path().join("apps/app"));
}

#[test]
fn a_commit_cannot_allow_install_scripts_by_itself() {
    let files = [(CONFIG_FILE, "install_scripts = true"), ("index.html", "")];
    let plan = found(&files, &ProjectConfig::default(), Platform::Web).unwrap();
    assert!(!plan.install_scripts);
    assert!(plan.remarks[0].contains("install_scripts"));
}

#[test]
fn paths_that_leave_the_project_are_refused() {
    for config in [
        ProjectConfig {
            root: Some("../other".to_owned()),
            ..ProjectConfig::default()
        },
        ProjectConfig {
            output_dir: Some("/etc".to_owned()),
            ..ProjectConfig::default()
        },
        ProjectConfig {
            root: Some("missing".to_owned()),
            ..ProjectConfig::default()
        },
    ] {
        let error = found(&[("index.html", "")], &config, Platform::Web).unwrap_err();
        assert_eq!(error.code, Code::InvalidProjectStructure);
    }
}

#[test]
fn a_broken_manifest_is_named_with_the_place() {
    let files = [("package.json", "{\n  \"name\": ,\n}")];
    let error = found(&files, &ProjectConfig::default(), Platform::Web).unwrap_err();
    assert_eq!(error.code, Code::InvalidProjectStructure);
    assert!(error.message.contains("package.json is not valid JSON"));
    assert!(error.message.contains("line 2"), "{}", error.message);
}

#[test]
fn a_workspace_is_told_where_there_is_something_to_build() {
    let files = [
        ("package.json", r#"{"workspaces": ["*/*"]}"#),
        (
            "packages/ui/package.json",
            r#"{"scripts": {"build": "tsc"}, "devDependencies": {"react-native": "1"}}"#,
        ),
        (
            "apps/web/package.json",
            r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "6"}}"#,
        ),
        (
            "apps/phone/package.json",
            r#"{"dependencies": {"expo": "56"}}"#,
        ),
    ];
    let error = found(&files, &ProjectConfig::default(), Platform::Web).unwrap_err();
    let line = "write `root = \"apps/phone\"` into hivesync.toml in the top folder";
    assert!(error.message.contains(line), "{}", error.message);
    assert!(
        error.message.contains("(there is also `apps/web`)"),
        "{}",
        error.message
    );
    assert!(!error.message.contains("packages/ui"), "{}", error.message);
}
