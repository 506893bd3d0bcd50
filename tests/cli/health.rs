//! `hivesync health`: its JSON and its exit codes.

use serde_json::json;

use crate::process::{Home, Serving};

#[test]
fn a_running_server_tells_about_itself() {
    let home = Home::new();
    let server = home.serve();
    // The worker comes a moment after the server, and until then it is missed.
    let ran = loop {
        let ran = home.run(&["health", "--json"]);
        let missed = ran.stdout.contains("no worker is there yet");
        assert_eq!(missed, ran.json()["workers"] == json!([]), "{ran:?}");
        if !missed {
            break ran;
        }
        assert_eq!(ran.code, Some(1), "{ran:?}");
    };
    let health = ran.json();
    assert_eq!(health["serving"], true);
    assert!(
        health["stores"]
            .as_array()
            .is_some_and(|stores| stores.iter().all(|s| s["ok"] == true)),
        "{health}"
    );
    assert_eq!(health["queues"]["preview_build"]["queued"], 0);
    assert_eq!(health["warm_bundlers"], 0);
    assert!(health["disk"]["free"].as_u64().is_some_and(|free| free > 0));
    // Without a sandbox builds are refused, which is a degraded server.
    let expected = i32::from(health["sandbox"].is_null());
    assert_eq!(ran.code, Some(expected), "{health:#}");
    let text = home.run(&["health"]).expect(expected);
    assert!(text.stdout.contains("preview_build"), "{text:?}");
    assert!(!text.stdout.contains('\u{1b}'), "colours in a pipe");
    server.stop();
}

#[test]
fn no_server_is_a_failure_that_still_looks_at_the_stores() {
    let home = Home::new();
    home.serve().stop();
    let ran = home.run(&["health", "-json"]).expect(2);
    let health = ran.json();
    assert_eq!(health["status"], "fail");
    assert_eq!(health["serving"], false);
    assert!(
        health["problems"][0]
            .as_str()
            .is_some_and(|p| p.contains("hivesync serve")),
        "{health}"
    );
    assert_eq!(health["stores"][0]["ok"], true);
}

#[test]
fn looking_makes_no_data_folder() {
    let home = Home::new();
    let ran = home.run(&["health", "--json"]).expect(2);
    assert_eq!(ran.json()["status"], "fail");
    let folder = home.data().display().to_string();
    assert!(
        ran.stdout.contains(&folder),
        "which was looked for: {ran:?}"
    );
    assert!(!home.data().exists());
}

#[test]
fn a_server_without_a_worker_says_so_from_the_start() {
    let home = Home::new();
    let server = Serving::start(home.command(&["serve", "--no-worker"]));
    let ran = home.run(&["health"]).expect(1);
    assert!(ran.stdout.contains("no worker is there yet"), "{ran:?}");
    server.stop();
}
