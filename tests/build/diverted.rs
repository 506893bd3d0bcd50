//! Builds that put a link where the server, or the wall around their next
//! command, looks for a folder of theirs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hivesync::config::SandboxChoice;
use hivesync::domain::ProjectId;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;
use serde_json::json;

use crate::builder::{Builder, Tree, dependency_sets};
use crate::unprivileged::Unprivileged;

/// A folder of the server's that looks like an installed app.
fn victim(data: &Path) -> PathBuf {
    let victim = data.join("victim");
    let file = precious(&victim);
    for folder in [
        file.parent().expect("its folder"),
        &victim.join("node_modules/.vite"),
    ] {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(&file, "precious").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).expect("its mode");
    victim
}

fn precious(victim: &Path) -> PathBuf {
    victim.join("node_modules/ms/index.js")
}

/// Nobody has read it into a cache, moved it, or changed whose it is.
fn assert_untouched(victim: &Path) {
    let file = precious(victim);
    assert_eq!(fs::read_to_string(&file).expect("the file"), "precious");
    let meta = file.metadata().expect("its facts");
    assert_eq!((meta.mode() & 0o777, meta.nlink()), (0o604, 1));
    let ours = victim.metadata().expect("its facts");
    assert_eq!((meta.uid(), meta.gid()), (ours.uid(), ours.gid()));
    let names = fs::read_dir(victim.join("node_modules")).expect("the folder");
    let mut names: Vec<_> = names
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, [".vite", "ms"]);
}

async fn at(level: SandboxChoice) -> Builder {
    Builder::with(|config| config.builds.sandbox = level).await
}

const LEVELS: [SandboxChoice; 2] = [SandboxChoice::Isolated, SandboxChoice::Restricted];

/// After the last script of an install the server takes the installed folders
/// into its cache.
#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_puts_a_link_in_its_place_takes_nothing_of_the_servers() {
    for level in LEVELS {
        let builder = at(level).await;
        let project = builder
            .project(ProjectConfig {
                install_scripts: true,
                root: Some("app".to_owned()),
                ..ProjectConfig::default()
            })
            .await;
        let victim = victim(builder.app().data.root());
        let manifest = json!({
            "name": "a", "version": "1.0.0", "dependencies": {"ms": "2.1.3"},
            "scripts": {
                "postprepare": format!("cd .. && mv app moved && ln -s {} app", victim.display()),
                "build": "mkdir dist && echo built > dist/index.html",
            },
        });
        let tree = Tree::of(&[("README", ""), ("app/package.json", &manifest.to_string())]);
        let (code, message, log) = builder.failure(project, &tree, Platform::Web).await;
        assert_eq!(code, "MISSING_DEPENDENCIES", "{message}\n{log}");
        assert!(message.contains("link to elsewhere"), "{message}");
        assert_untouched(&victim);
        builder.stop().await;
    }
}

/// An Expo project in `app`, whose `expo` runs `first` when it is asked for the
/// configuration and `second` when it is to export.
fn two_commands(first: &str, second: &str) -> Tree {
    let cli = format!(
        "const fs = require('fs');\nconst attempt = (f) => {{ try {{ f(); }} catch (e) {{ console.error(e.message); }} }};\n\
         if (process.argv[2] === 'config') {{ attempt(() => {{ {first} }}); console.log('{{}}'); }} else {{\n\
         attempt(() => {{ {second} }});\n\
         const out = process.argv[process.argv.indexOf('--output-dir') + 1];\n\
         fs.mkdirSync(out);\nfs.writeFileSync(out + '/a.js', '1');\n\
         fs.writeFileSync(out + '/metadata.json', JSON.stringify({{\n\
           fileMetadata: {{ ios: {{ bundle: 'a.js', assets: [] }} }} }}));\n}}"
    );
    Tree::of(&[
        ("README", ""),
        (
            "app/package.json",
            r#"{"name": "a", "version": "1.0.0", "dependencies": {"expo": "file:./expo", "ms": "2.1.3"}}"#,
        ),
        (
            "app/expo/package.json",
            r#"{"name": "expo", "version": "56.0.0"}"#,
        ),
        ("app/expo/bin/cli", &cli),
    ])
}

/// A project for [`two_commands`].
async fn app_project(builder: &Builder) -> ProjectId {
    let config = ProjectConfig {
        root: Some("app".to_owned()),
        ..ProjectConfig::default()
    };
    builder.project(config).await
}

const MESSAGE: &str = "an earlier command of the build has put a link in the place of";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_puts_a_link_above_its_dependencies_is_the_last() {
    for level in LEVELS {
        let builder = at(level).await;
        let project = app_project(&builder).await;
        let victim = victim(builder.app().data.root());
        let swap = format!(
            "process.chdir('..'); fs.renameSync('app', 'moved'); fs.symlinkSync('{}', 'app');",
            victim.display()
        );
        let tree = two_commands(&swap, "");
        let (code, message, log) = builder.failure(project, &tree, Platform::Ios).await;
        assert_eq!(code, "PREVIEW_BUILD_FAILED", "{message}\n{log}");
        assert!(message.contains(MESSAGE), "{message}\n{log}");
        assert_untouched(&victim);
        builder.stop().await;
    }
}

/// What is moved along with a folder above is not covered any more: by then
/// nothing in there may be what others get.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_moves_its_dependencies_away_cannot_write_in_what_is_shared() {
    for level in LEVELS {
        let builder = at(level).await;
        let project = app_project(&builder).await;
        let poison = "const file = '../moved/node_modules/ms/index.js';\
                      fs.chmodSync(file, 0o644); fs.writeFileSync(file, 'poison');";
        let moved = "process.chdir('..'); fs.renameSync('app', 'moved');\
                     fs.mkdirSync('app'); fs.cpSync('moved', 'app', {recursive: true, verbatimSymlinks: true});";
        let inside = "process.chdir('..'); fs.renameSync('app', 'moved');\
                      fs.symlinkSync('moved', 'app');";
        for (first, refused) in [(moved, true), (inside, false)] {
            let mut tree = two_commands(first, poison);
            tree.put("again", first);
            let commit = builder.upload(project, &tree).await;
            let id = builder.request(project, &commit, Platform::Ios).await;
            let preview = builder.ended(&id).await;
            let log = builder.log(&id);
            let sets = dependency_sets(&builder);
            assert!(!sets.is_empty(), "{level:?}: {log}");
            for set in sets {
                let kept = fs::read_to_string(set.join("0/ms/index.js")).expect("the package");
                assert!(!kept.contains("poison"), "{level:?}: {log}");
            }
            if refused {
                let error = preview.error.expect("the next command is refused");
                assert_eq!(error.code, "PREVIEW_BUILD_FAILED", "{log}");
                assert!(
                    error.message.contains("another folder"),
                    "{}",
                    error.message
                );
            }
        }
        builder.stop().await;
    }
}

/// Where the build's files and the server's have one owner, the wall is all
/// that keeps them apart: what a link of the build's names must not become a
/// part of what the next command may write.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_widens_nobodys_wall() {
    let server = Unprivileged::start(SandboxChoice::Restricted, &[]).await;
    let data = server.data();
    let project = server
        .session
        .configured("app", &json!({"root": "app"}))
        .await;
    let first = format!(
        "fs.renameSync('node_modules/.vite', 'node_modules/moved'); fs.symlinkSync('{}', 'node_modules/.vite');",
        data.display()
    );
    let second = format!(
        "fs.writeFileSync('{0}/planted', fs.readFileSync('{0}/secrets.toml'));",
        data.display()
    );
    let tree = two_commands(&first, &second);
    server.session.upload(project, tree.files()).await;
    let job = server.session.build_for(project, "ios").await;
    let status = server.session.end_of(&job).await;
    let log = server.session.log(&job).await;
    assert!(!data.join("planted").exists(), "{log}");
    assert_eq!(
        status["error"]["code"], "PREVIEW_BUILD_FAILED",
        "{status}\n{log}"
    );
    assert!(log.contains(MESSAGE), "{log}");
    server.stop();
}
