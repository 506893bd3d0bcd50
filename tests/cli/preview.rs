//! `hivesync login` and `hivesync preview`: a folder becomes a preview.

use std::process::Command;

use crate::client::{create_user, with_input};
use crate::common::PASSWORD;
use crate::process::{Home, Ran, Serving};

/// A folder with a page, and a server to preview it on.
fn start() -> (Home, Serving) {
    let home = Home::new();
    let server = home.serve();
    create_user(&home, "ada", "user").expect(0);
    let site = home.path().join("site");
    std::fs::create_dir(&site).expect("a folder");
    std::fs::write(site.join("index.html"), "<h1>Hello</h1>").expect("written");
    (home, server)
}

fn client(home: &Home, server: &Serving, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env("HIVESYNC_SERVER", &server.address);
    command
}

fn login(home: &Home, server: &Serving) -> Ran {
    let arguments = ["login", "--username", "ada", "--password-file", "-"];
    with_input(&mut client(home, server, &arguments), PASSWORD)
}

fn run(mut command: Command) -> Ran {
    Ran::of(command.output().expect("the binary runs"))
}

#[test]
fn a_folder_becomes_a_bundle_a_url_and_a_qr_code() {
    let (home, server) = start();
    login(&home, &server).expect(0);
    let arguments = [
        "preview",
        "site",
        "--platform",
        "web",
        "--output",
        "bundles",
    ];
    let told = run(client(&home, &server, &arguments)).expect(0);
    assert!(told.stdout.contains("✓ web: ready"), "{told:#?}");
    assert!(told.stdout.contains(&server.address), "{told:#?}");
    assert!(
        told.stdout.contains('▀') || told.stdout.contains('█'),
        "a QR code: {told:#?}"
    );
    let saved: Vec<_> = std::fs::read_dir(home.path().join("bundles"))
        .expect("the output folder")
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert!(
        matches!(&saved[..], [name] if name.ends_with("-web.zip")),
        "{saved:?}"
    );

    // The same folder again is the same commit, and so the same job.
    let first = run(client(
        &home,
        &server,
        &["preview", "site", "--platform", "web", "--json"],
    ));
    let again = run(client(
        &home,
        &server,
        &["preview", "site", "--platform", "web", "--json"],
    ));
    let (first, again) = (first.expect(0).json(), again.expect(0).json());
    assert_eq!(first["previews"][0]["status"], "success");
    assert_eq!(
        first["previews"][0]["job_id"],
        again["previews"][0]["job_id"]
    );
    server.stop();
}

#[test]
fn a_failed_build_is_told_with_its_code_and_a_failing_exit() {
    let (home, server) = start();
    login(&home, &server).expect(0);
    std::fs::remove_file(home.path().join("site/index.html")).expect("removed");
    std::fs::write(home.path().join("site/notes.txt"), "no project").expect("written");
    let told = run(client(
        &home,
        &server,
        &["preview", "site", "--platform", "web"],
    ))
    .expect(1);
    assert!(
        told.stdout.contains("INVALID_PROJECT_STRUCTURE"),
        "{told:#?}"
    );
    assert!(told.stdout.contains("/preview/logs/"), "{told:#?}");
    server.stop();
}

#[test]
fn without_a_login_the_next_step_is_named() {
    let (home, server) = start();
    let told = run(client(&home, &server, &["preview", "site"])).expect(1);
    assert!(told.stderr.contains("hivesync login"), "{told:#?}");
    let wrong = ["login", "--username", "ada", "--password-file", "-"];
    let refused = with_input(&mut client(&home, &server, &wrong), "not the password").expect(1);
    assert!(refused.stderr.contains("UNAUTHENTICATED"), "{refused:#?}");
    assert!(!refused.stderr.contains("not the password"), "{refused:#?}");
    server.stop();
}

#[test]
fn logging_out_deletes_the_token_on_both_sides() {
    let (home, server) = start();
    login(&home, &server).expect(0);
    let file = home.path().join(".config/hivesync/credentials.toml");
    let kept = std::fs::read_to_string(&file).expect("the credentials");
    let token = kept
        .lines()
        .find_map(|line| line.strip_prefix("token = \""))
        .expect("a token")
        .trim_end_matches('"')
        .to_owned();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&file).expect("the file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    run(client(&home, &server, &["logout"])).expect(0);
    let left = std::fs::read_to_string(&file).expect("the credentials");
    assert!(!left.contains(&token));
    let mut command = client(&home, &server, &["preview", "site"]);
    command.env("HIVESYNC_TOKEN", &token);
    let told = run(command).expect(1);
    assert!(told.stderr.contains("UNAUTHENTICATED"), "{told:#?}");
    assert!(!told.stderr.contains(&token), "{told:#?}");
    server.stop();
}
