//! The same on a server that is not root, by the binary and over HTTP: builds
//! run as the server's own user, and still reach nothing of it.

use hivesync::config::SandboxChoice::{self, Isolated, Restricted};
use reqwest::Method;
use serde_json::{Value, json};

use super::canaries::{Canaries, Target, alive, environment};
use super::hiding::{self, FROM_ITS_OWN_USER, WAYS};
use super::reaching::{
    ATTEMPTS, BUILD_SCRIPT, BUNDLER, CREDENTIAL, INSTALL_SCRIPT, OF_THE_BUILD, SHOW_SCRIPTS,
    assert_refused,
};
use super::using_up::{DISK, MEMORY, PROCESSES};
use crate::builder::Tree;
use crate::common::{Answer, DEADLINE};
use crate::unprivileged::Unprivileged;

async fn start(level: SandboxChoice, settings: &[(&str, &str)]) -> Unprivileged {
    let environment = environment();
    let environment = environment.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let settings: Vec<_> = environment.chain(settings.iter().copied()).collect();
    Unprivileged::start(level, &settings).await
}

/// Uploads `tree` to a new project and asks for a preview; its job.
async fn asked(server: &Unprivileged, tree: &Tree, platform: &str) -> String {
    let scripts = json!({"install_scripts": true});
    let session = &server.session;
    let project = session.configured("hostile", &scripts).await;
    session.upload(project, tree.files()).await;
    session.build_for(project, platform).await
}

/// The same and its end; the last status and the log.
async fn built(server: &Unprivileged, tree: &Tree, platform: &str) -> (Value, String) {
    let job = asked(server, tree, platform).await;
    let status = server.session.end_of(&job).await;
    (status, server.session.log(&job).await)
}

async fn assert_others_build(server: &Unprivileged) {
    let site = Tree::of(&[("index.html", "<p>honest</p>")]);
    let (status, log) = built(server, &site, "web").await;
    assert_eq!(status["status"], "success", "{status}\n{log}");
}

async fn reaches_nothing(level: SandboxChoice, name: &str) {
    let canaries = Canaries::new(name);
    let server = start(level, &[]).await;
    let other = [("index.html", "somebody else's")];
    let other = server.session.project("other", &other).await;
    let data = server.data();
    let npmrc = server.npmrc();
    let port = server.server.host().rsplit_once(':').expect("a port").1;
    let target = Target {
        process: server.server.id(),
        port: port.parse().expect("a number"),
        data: &data,
        npmrc: npmrc.as_deref(),
    };
    let mut targets = canaries.targets(&target, &data.join(format!("repos/{other}")));
    targets["credential"] = CREDENTIAL.into();
    let mut tree = Tree::folder("tests/fixtures/hostile");
    tree.put("targets.json", &targets.to_string());
    tree.put(".npmrc", SHOW_SCRIPTS);
    for (manifest, stages, platform, end) in [
        (BUILD_SCRIPT, &["build"][..], "web", "success"),
        (BUNDLER, &["metro", "babel"], "ios", "failed"),
        (INSTALL_SCRIPT, &["install"], "web", "success"),
    ] {
        tree.put("package.json", manifest);
        let (status, log) = built(&server, &tree, platform).await;
        assert_eq!(status["status"], end, "{status}\n{log}");
        // Where nothing can be mounted a build has a copy of its dependencies,
        // and may do with it as it likes; what is shared is looked at below.
        let own = |line: &&str| level != Restricted || !line.contains(OF_THE_BUILD);
        let log: Vec<&str> = log.lines().filter(own).collect();
        for stage in stages {
            assert_refused(&log.join("\n"), stage, &ATTEMPTS);
        }
    }
    canaries.assert_untouched(&data);
    assert_others_build(&server).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn restricted_builds_reach_nothing() {
    reaches_nothing(Restricted, "plain-restricted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn isolated_builds_reach_nothing() {
    reaches_nothing(Isolated, "plain-isolated").await;
}

/// Leaves its family and its session, minds no signal, and never ends.
const ENDLESS: &str = r#"
(setsid sh -c "trap '' TERM HUP INT; while :; do sleep 1; done" MARKER > /dev/null 2>&1 &)
echo begun
sh -c 'while :; do sleep 1; done' MARKER"#;

async fn is_bounded(level: SandboxChoice, marker: &str) {
    let settings = [
        ("BUILD_MEMORY_MB", "400"),
        ("BUILD_PROCESSES", "120"),
        ("BUILD_DISK_MB", "64"),
        ("PREVIEW_COLD_TIMEOUT_MS", "15000"),
    ];
    let server = start(level, &settings).await;
    for (script, code, setting) in [
        (MEMORY, "PREVIEW_BUILD_FAILED", "BUILD_MEMORY_MB"),
        (PROCESSES, "PREVIEW_BUILD_FAILED", "BUILD_PROCESSES"),
        (DISK, "PREVIEW_BUILD_FAILED", "BUILD_DISK_MB"),
        (ENDLESS, "PREVIEW_TIMEOUT", "PREVIEW_COLD_TIMEOUT_MS"),
    ] {
        let tree = Tree::script(&script.replace("MARKER", marker));
        let (status, log) = built(&server, &tree, "web").await;
        assert_eq!(status["error"]["code"], code, "{status}\n{log}");
        let message = status["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(setting), "{message}\n{log}");
        assert!(log.contains(message), "{log}");
        assert_eq!(alive(marker), Vec::<String>::new());
    }
    is_cancelled(&server, marker).await;
    assert_others_build(&server).await;
    server.stop();
}

async fn is_cancelled(server: &Unprivileged, marker: &str) {
    let session = &server.session;
    let tree = Tree::script(&ENDLESS.replace("MARKER", marker));
    let job = asked(server, &tree, "web").await;
    session
        .follow(&format!("/preview/logs/{job}"), "begun")
        .await;
    let cancel = session.request(Method::POST, &format!("/preview/cancel/{job}"));
    Answer::of(cancel).await.expect(200);
    assert_eq!(session.end_of(&job).await["status"], "cancelled");
    // It says so once nothing of the build is left. A round trip each time: the
    // server does something meanwhile.
    let said = async { while !session.log(&job).await.contains("CANCELLED: ") {} };
    let said = tokio::time::timeout(DEADLINE, said).await;
    said.expect("the log of a cancelled build says so");
    assert_eq!(alive(marker), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn restricted_builds_are_bounded() {
    is_bounded(Restricted, "hive-plain-restricted-using-up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn isolated_builds_are_bounded() {
    is_bounded(Isolated, "hive-plain-isolated-using-up").await;
}

async fn what_is_hidden_is_bounded(level: SandboxChoice, marker: &str) {
    let settings = [("BUILD_MEMORY_MB", "400"), ("BUILD_DISK_MB", "128")];
    let server = start(level, &settings).await;
    for (way, says) in WAYS.into_iter().chain(FROM_ITS_OWN_USER) {
        let (status, log) = built(&server, &hiding::tree(way, marker), "web").await;
        let error = &status["error"];
        assert_eq!(
            error["code"], "PREVIEW_BUILD_FAILED",
            "{way}: {status}\n{log}"
        );
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{way}: {message}\n{log}");
        assert!(message.contains("killed"), "{message}");
        assert_eq!(alive(marker), Vec::<String>::new());
    }
    assert_others_build(&server).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_restricted_builds_hide_is_bounded() {
    what_is_hidden_is_bounded(Restricted, "hive-plain-restricted-hiding").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_isolated_builds_hide_is_bounded() {
    what_is_hidden_is_bounded(Isolated, "hive-plain-isolated-hiding").await;
}

/// Beside the programs of a build lies what an operator says to all of a
/// machine's package managers.
async fn the_operators_files_are_closed(level: SandboxChoice) {
    let secret = "//npm.example/:_authToken=for-the-operator";
    // Builds have a /tmp of their own.
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("opened");
    let server = Unprivileged::start_with_npmrc(level, folder.path(), secret).await;
    let prefix = folder.path().display();
    let script = format!(
        "mkdir dist && echo '<html>' > dist/index.html\n\
         for f in {prefix}/etc/npmrc /usr/etc/npmrc /usr/local/etc/npmrc; do\n\
         cat $f 2>&1 | sed 's/^/shown: /'; done\n\
         node -p '\"run by \" + process.execPath'"
    );
    let (status, log) = built(&server, &Tree::script(&script), "web").await;
    assert_eq!(status["status"], "success", "{status}\n{log}");
    assert!(log.contains(&format!("run by {prefix}/bin/node")), "{log}");
    let mut shown = log.lines().filter_map(|line| line.strip_prefix("shown: "));
    let refused = |text: &str| text.contains("ermission denied") || text.contains("No such file");
    assert!(shown.all(refused), "{log}");
    assert!(!log.contains("for-the-operator"), "{log}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_files_are_closed_to_restricted_builds() {
    the_operators_files_are_closed(Restricted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_files_are_closed_to_isolated_builds() {
    the_operators_files_are_closed(Isolated).await;
}
