//! `hivesync login` and `hivesync preview`: a folder becomes a preview.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::client::{Session, create_user, with_input};
use crate::common::PASSWORD;
use crate::git_server::GitServer;
use crate::process::{Home, Ran, Serving};

/// A folder with a page, and a server to preview it on.
fn start() -> (Home, Serving) {
    start_with(&["serve"])
}

fn start_with(arguments: &[&str]) -> (Home, Serving) {
    let home = Home::new();
    let server = Serving::start(home.command(arguments));
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
    let again = run(client(&home, &server, &["preview", "site"])).expect(0);
    assert!(
        again.stdout.contains("✓ web: ready, built before"),
        "web is what a page is for: {again:#?}"
    );
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
    assert!(
        told.stdout.contains("  | == checkout") && told.stdout.contains("  page: "),
        "where the log stops, and who has no token may look: {told:#?}"
    );
    let told = run(client(&home, &server, &["preview", "site/notes.txt"])).expect(1);
    assert!(told.stderr.contains("INVALID_INPUT"), "{told:#?}");
    assert!(told.stderr.contains("name the project's folder"));
    server.stop();
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (home, server) = start();
    login(&home, &server).expect(0);
    let mut command = client(&home, &server, &["preview", "site", "--platform", "web"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command.stdout(writer);
    run(command).expect(0);
    server.stop();
}

#[test]
fn an_interrupted_wait_says_where_the_build_is_seen() {
    let (home, server) = start_with(&["serve", "--no-worker"]);
    login(&home, &server).expect(0);
    let mut command = client(&home, &server, &["preview", "site", "--platform", "web"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut told = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    told.find(|line| line.as_ref().is_ok_and(|line| line.contains("queued")))
        .expect("the first event")
        .expect("text");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("sent");
    let rest: Vec<String> = told.map(|line| line.expect("text")).collect();
    let ended = child.wait().expect("an end");
    let place = rest.iter().any(|line| line.contains("/t/"));
    assert!(place, "{ended}: {rest:#?}");
    assert_eq!(ended.code(), Some(130));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_repository_is_fetched_before_its_ref_is_built() {
    let git = GitServer::start().await;
    let work = git.repository("shop");
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("SOURCE_ALLOWED_HOSTS", git.host());
    let server = Serving::start(command);
    create_user(&home, "ada", "user").expect(0);
    login(&home, &server).expect(0);
    let body = json!({"name": "shop", "source": {"kind": "git", "url": git.url("shop")}});
    let session = Session::open(&server, "ada").await;
    session.post("/projects", &body, 201).await;
    let web = ["preview", "--project", "shop", "--ref", "main", "--json"];
    let web = [&web[..], &["--platform", "web"]].concat();
    let commit = |told: Ran| told.expect(0).json()["previews"][0]["commit"].clone();
    let first = commit(run(client(&home, &server, &web)));
    assert_eq!(first, work.git(&["rev-parse", "main"]));
    work.write("index.html", "<h1>two</h1>");
    work.commit("Two");
    work.push();
    let second = commit(run(client(&home, &server, &web)));
    assert_eq!(second, work.git(&["rev-parse", "main"]));
    assert_ne!(first, second);
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
