//! Builds that reach for the server through what they leave behind: links and
//! pipes where it looks for files, and the machine's own settings.

use std::fs;

use hivesync::config::SandboxChoice;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};
use crate::endings::cancel;

/// An Expo project whose `expo` is this script.
fn expo(cli: &str) -> Tree {
    let manifest = r#"{"name": "a", "dependencies": {
        "expo": "file:./expo", "react-dom": "file:./expo", "react-native-web": "file:./expo"}}"#;
    let cli = format!(
        "const fs = require('fs');\n\
         const run = (command) => require('child_process').execSync(command);\n\
         if (process.argv[2] === 'config') {{ console.log('{{}}'); process.exit(0); }}\n{cli}"
    );
    Tree::of(&[
        ("package.json", manifest),
        (
            "expo/package.json",
            r#"{"name": "expo", "version": "56.0.0"}"#,
        ),
        ("expo/bin/cli", &cli),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_the_output_folder_bundles_nothing() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let data = builder.app().data.root().to_owned();
    fs::write(
        data.join("metadata.json"),
        r#"{"fileMetadata": {"ios": {"bundle": "build.npmrc", "assets": []}}}"#,
    )
    .expect("a file of the server's");
    let tree = expo(&format!(
        "fs.symlinkSync('{}', '/work/out/export');",
        data.display()
    ));
    for platform in [Platform::Web, Platform::Ios] {
        let (code, message, log) = builder.failure(project, &tree, platform).await;
        assert_eq!(code, "PREVIEW_BUILD_FAILED", "{message}\n{log}");
    }
    builder.stop().await;
}

/// Whoever opens a pipe waits for its other end.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let tree = expo(
        "run('mkdir -p /work/out/export && mkfifo /work/out/export/metadata.json');\n\
         run('cd /work/project/expo && rm -f package.json && mkfifo package.json');",
    );
    let (code, message, log) = builder.failure(project, &tree, Platform::Ios).await;
    assert_eq!(code, "PREVIEW_BUILD_FAILED", "{message}\n{log}");
    builder.stop().await;
}

/// The server copies file maps of earlier builds to where a link of the
/// install may lie.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_writes_through_no_link_that_an_install_left() {
    let builder = Builder::start().await;
    let scripts = ProjectConfig {
        install_scripts: true,
        ..ProjectConfig::default()
    };
    let project = builder.project(scripts).await;
    let victim = builder.app().data.root().join("victim");
    fs::write(&victim, "untouched").expect("a file of the server's");
    for round in ["first", "second"] {
        let manifest = format!(
            r#"{{"name": "{round}", "dependencies": {{"ms": "file:./ms"}}, "scripts": {{
                "preinstall": "ln -s {} /tmp/metro-file-map-x; touch $HOME/left",
                "build": "rm -f /tmp/metro-file-map-x && echo {round} > /tmp/metro-file-map-x && mkdir dist && ls -A $HOME > dist/index.html"}}}}"#,
            victim.display()
        );
        let tree = Tree::of(&[
            ("package.json", &manifest),
            ("ms/package.json", r#"{"name": "ms", "version": "1.0.0"}"#),
        ]);
        let built = builder.build(project, &tree, Platform::Web).await;
        assert!(!built.text("dist/index.html").contains("left"));
        let text = fs::read_to_string(&victim).expect("the file");
        assert_eq!(text, "untouched", "after the {round} build");
    }
    builder.stop().await;
}

/// Root's processes may write these without any capability.
#[tokio::test(flavor = "multi_thread")]
async fn the_machines_settings_and_keys_are_closed_to_builds() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let script = r#"
mkdir dist
{
  for file in kernel/core_pattern kernel/hostname vm/overcommit_memory; do
    (: >> /proc/sys/$file) 2>/dev/null && echo "$file: open"
  done
  ls /etc/ssl/private /etc/pki/tls/private 2>/dev/null && echo "keys: visible"
  ls /etc/ssl/certs > /dev/null && echo "certificates: there"
} > dist/index.html
"#;
    let built = builder
        .build(project, &Tree::script(script), Platform::Web)
        .await;
    assert_eq!(built.text("dist/index.html"), "certificates: there\n");
    builder.stop().await;
}

/// Whoever has an account on the machine can read the words of every command.
#[tokio::test(flavor = "multi_thread")]
async fn the_pass_of_an_install_stands_in_no_command_line() {
    for level in [SandboxChoice::Isolated, SandboxChoice::Restricted] {
        let builder = Builder::with(|config| config.builds.sandbox = level).await;
        let scripts = ProjectConfig {
            install_scripts: true,
            ..ProjectConfig::default()
        };
        let project = builder.project(scripts).await;
        let tree = Tree::of(&[
            (".npmrc", "foreground-scripts=true"),
            (
                "package.json",
                r#"{"name": "a", "dependencies": {"ms": "file:./ms"}, "scripts": {
                    "preinstall": "echo $https_proxy | tr -c 'a-z0-9\n' ' '; sleep 600",
                    "build": "true"}}"#,
            ),
            ("ms/package.json", r#"{"name": "ms", "version": "1.0.0"}"#),
        ]);
        let commit = builder.upload(project, &tree).await;
        let id = builder.request(project, &commit, Platform::Web).await;
        // Not as an address: logs show none with its credentials.
        let told = "http   build ";
        builder.until(&id, |_, log| log.contains(told)).await;
        let log = builder.log(&id);
        let (_, rest) = log.split_once(told).expect("the proxy's address");
        let (pass, _) = rest.split_once(' ').expect("the pass");
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            assert!(!words.contains(pass), "{words}");
        }
        cancel(&builder, &id).await;
        builder
            .until(&id, |_, log| log.contains("CANCELLED: "))
            .await;
        builder.stop().await;
    }
}
