//! Verbs that need no server: help, completions, manual, configuration.

use std::os::unix::fs::symlink;

use crate::process::{Home, Ran};

#[test]
fn help_names_every_verb() {
    let ran = Home::new().run(&["--help"]).expect(0);
    for verb in [
        "serve",
        "config",
        "health",
        "admin",
        "preview",
        "project",
        "cancel",
        "retry",
        "login",
        "logout",
        "completions",
        "man",
    ] {
        assert!(
            ran.stdout.lines().any(|l| l.trim_start().starts_with(verb)),
            "{verb}: {}",
            ran.stdout
        );
    }
    assert!(!ran.stdout.contains('\u{1b}'), "colours in a pipe");
}

#[test]
fn wrong_usage_is_2_and_proposes_the_nearest() {
    let ran = Home::new().run(&["sevre"]).expect(2);
    assert!(ran.stderr.contains("serve"), "{ran:?}");
}

#[test]
fn completions_know_the_verbs_of_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Home::new().run(&["completions", shell]).expect(0);
        assert!(ran.stdout.contains("decode-payload"), "{shell}");
    }
}

#[test]
fn the_manual_is_a_page_or_a_folder_of_them() {
    let home = Home::new();
    let ran = home.run(&["man"]).expect(0);
    assert!(ran.stdout.contains(".TH hivesync 1"), "{}", ran.stdout);
    home.run(&["man", "pages"]).expect(0);
    for page in [
        "hivesync.1",
        "hivesync-serve.1",
        "hivesync-admin-create-user.1",
    ] {
        assert!(home.path().join("pages").join(page).exists(), "{page}");
    }
}

#[test]
fn config_is_shown_with_its_sources() {
    let home = Home::new();
    let ran = home.run(&["config", "show", "--json"]).expect(0);
    let settings = ran.json()["settings"].as_array().expect("a list").clone();
    let port = settings
        .iter()
        .find(|row| row["name"] == "PORT")
        .expect("PORT");
    assert_eq!(port["value"], "0");
    assert!(!home.data().exists(), "showing makes nothing");
}

#[test]
fn config_check_proposes_the_nearest_name() {
    let home = Home::new();
    home.run(&["config", "check"]).expect(0);
    std::fs::write(home.path().join(".env"), "PROT=4001\n").expect("written");
    let ran = home.run(&["config", "check"]).expect(1);
    assert!(
        ran.stderr.contains("PROT") && ran.stderr.contains("PORT"),
        "{ran:?}"
    );
}

#[test]
fn config_check_names_what_only_looks_like_a_setting() {
    let home = Home::new();
    let check = |name: &str| {
        let mut command = home.command(&["config", "check"]);
        Ran::of(command.env(name, "1").output().expect("it runs"))
    };
    for (name, says) in [
        (
            "HIVESYNC_FOO",
            "`HIVESYNC_FOO` is not a setting of HiveSync",
        ),
        ("HIVESYNC_DATA_DIR", "did you mean `DATA_DIR`?"),
    ] {
        let ran = check(name).expect(1);
        assert!(ran.stderr.contains(says), "{ran:?}");
    }
    // The client's own, and what Kubernetes tells of a service of this name.
    for name in [
        "HIVESYNC_TOKEN",
        "HIVESYNC_SERVER",
        "HIVESYNC_PORT_4000_TCP",
    ] {
        check(name).expect(0);
    }
}

#[test]
fn a_login_without_a_terminal_says_how_else() {
    let home = Home::new();
    let mut command = home.command(&["login"]);
    command.stdin(std::process::Stdio::null());
    let ran = Ran::of(command.output().expect("it runs")).expect(1);
    let told = ran.stderr.contains("INVALID_INPUT") && ran.stderr.contains("--username");
    assert!(told, "{ran:?}");
}

#[test]
fn the_port_of_the_command_line_counts() {
    let home = Home::new();
    let mut command = home.command(&["serve", "--port", "0"]);
    command.env("PORT", "many");
    let server = crate::process::Serving::start(command);
    server.stop();
}

#[test]
fn a_bad_setting_stops_the_server_with_its_name() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    let output = command.env("PORT", "many").output().expect("it runs");
    let ran = Ran::of(output).expect(1);
    assert!(ran.stderr.contains("PORT"), "{ran:?}");
}

#[test]
fn links_are_verbs() {
    let home = Home::new();
    for (link, arguments) in [
        ("hivesync-health", vec!["-json"]),
        ("hivesync-admin", vec!["preview-jobs", "--json"]),
    ] {
        let path = home.path().join(link);
        symlink(env!("CARGO_BIN_EXE_hivesync"), &path).expect("a link");
        let mut command = std::process::Command::new(&path);
        let output = command
            .args(&arguments)
            .env_clear()
            .env("DATA_DIR", home.data())
            .current_dir(home.path())
            .output()
            .expect("it runs");
        let ran = Ran::of(output);
        assert!(ran.json().is_object(), "{ran:?}");
    }
}
