//! A machine that lacks what a level needs: builds get a weaker one only where
//! the operator has left the choice, and none at all where there is none.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use hivesync::config::SandboxChoice;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;
use serde_json::Value;

use crate::builder::{Builder, Tree};
use crate::process::{Home, Serving};

/// No canary comes back from a launcher that is not there, so that no level is
/// proved.
#[tokio::test(flavor = "multi_thread")]
async fn without_any_level_builds_are_refused() {
    for choice in [
        SandboxChoice::Auto,
        SandboxChoice::Isolated,
        SandboxChoice::Restricted,
    ] {
        let builder = Builder::with(|config| {
            config.builds.sandbox = choice;
            config.builds.launcher = Some("/nonexistent/hivesync".into());
        })
        .await;
        let script = Tree::script("mkdir dist && echo ran > dist/index.html");
        for project in [
            builder.project(ProjectConfig::default()).await,
            // An admin's word is for SANDBOX=none alone.
            builder.trusted_project().await,
        ] {
            let (code, message, log) = builder.failure(project, &script, Platform::Web).await;
            assert_eq!(code, "SANDBOX_UNAVAILABLE", "{message}");
            assert!(log.contains("SANDBOX_UNAVAILABLE"), "{log}");
            assert!(!log.contains("$ npm"), "{log}");
        }
        builder.stop().await;
    }
}

/// What a server of this machine, without bubblewrap on its `PATH`, says of
/// itself when it is asked for this level.
fn health_without_bubblewrap(sandbox: &str) -> Value {
    let home = Home::new();
    let tools = home.path().join("tools");
    std::fs::create_dir(&tools).expect("made");
    let path = std::env::var_os("PATH").expect("a PATH");
    for name in ["git", "node", "npm"] {
        let places = std::env::split_paths(&path).map(|dir| dir.join(name));
        let program: Option<PathBuf> = places.into_iter().find(|place| place.is_file());
        symlink(program.expect("installed"), tools.join(name)).expect("linked");
    }
    let mut command = home.command(&["serve", "--no-worker"]);
    command.env("PATH", &tools).env("SANDBOX", sandbox);
    let server = Serving::start(command);
    let health = home.run(&["health", "--json"]).json();
    server.stop();
    health
}

#[test]
fn a_level_that_was_asked_for_is_not_downgraded() {
    let health = health_without_bubblewrap("isolated");
    assert!(health["sandbox"].is_null(), "{health}");
    assert_eq!(health["status"], "degraded", "{health}");
    assert!(health.to_string().contains("bubblewrap"), "{health}");
}

#[test]
fn the_next_level_is_taken_where_the_operator_left_the_choice() {
    let health = health_without_bubblewrap("auto");
    assert_eq!(health["sandbox"], "restricted", "{health}");
    assert!(health.to_string().contains("bubblewrap"), "{health}");
}
