//! `hivesync login` and `hivesync preview`: a folder becomes a preview.

use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::client::{Session, create_user, with_input};
use crate::common::{Answer, PASSWORD, client as http};
use crate::git_server::GitServer;
use crate::process::{Home, Ran, Serving};

/// A folder with a page, and a server to preview it on.
pub(crate) fn start() -> (Home, Serving) {
    start_with(&["serve"])
}

pub(crate) fn start_with(arguments: &[&str]) -> (Home, Serving) {
    let home = Home::new();
    let serve = home.command(arguments);
    serving(home, serve)
}

fn start_with_settings(settings: &[(&str, &str)]) -> (Home, Serving) {
    let home = Home::new();
    let mut serve = home.command(&["serve"]);
    serve.envs(settings.iter().copied());
    serving(home, serve)
}

fn serving(home: Home, serve: Command) -> (Home, Serving) {
    let server = Serving::start(serve);
    create_user(&home, "ada", "user").expect(0);
    let site = home.path().join("site");
    std::fs::create_dir(&site).expect("a folder");
    std::fs::write(site.join("index.html"), "<h1>Hello</h1>").expect("written");
    (home, server)
}

pub(crate) fn client(home: &Home, server: &Serving, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env("HIVESYNC_SERVER", &server.address);
    command
}

pub(crate) fn login(home: &Home, server: &Serving) -> Ran {
    let arguments = ["login", "--username", "ada", "--password-file", "-"];
    with_input(&mut client(home, server, &arguments), PASSWORD)
}

pub(crate) fn run(mut command: Command) -> Ran {
    Ran::of(command.output().expect("the binary runs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_becomes_a_bundle_a_url_and_a_qr_code() {
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
    assert!(told.stdout.contains("this link opens until"), "{told:#?}");
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

    // Its link leads to the preview, and not to a button that builds it again.
    let link = told.stdout.lines().find(|line| line.contains("/t/"));
    let page = Answer::of(http().get(link.expect("a link").trim())).await;
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("data-started=\"true\""),
        "{}",
        page.text()
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

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_is_told_with_its_code_and_a_failing_exit() {
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
    let log = told.stdout.lines().find_map(|l| l.strip_prefix("  log: "));
    let log = Answer::of(http().get(log.expect("where the log is"))).await;
    assert_eq!(log.status, 200, "without a login");
    assert!(log.text().contains("== checkout failed"), "{}", log.text());
    assert!(
        told.stdout.contains("  | == checkout") && told.stdout.contains("  page: "),
        "where the log stops, and who has no token may look: {told:#?}"
    );
    let told = run(client(&home, &server, &["preview", "site/notes.txt"])).expect(1);
    assert!(told.stderr.contains("INVALID_INPUT"), "{told:#?}");
    assert!(told.stderr.contains("name the project's folder"));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_refused_leaves_no_project() {
    let (home, server) = start_with_settings(&[("UPLOAD_MAX_FILES", "2")]);
    login(&home, &server).expect(0);
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let told = run(client(&home, &server, &["preview", "empty"])).expect(1);
    assert!(told.stderr.contains("no files to upload"), "{told:#?}");
    for number in 0..3 {
        std::fs::write(empty.join(number.to_string()), "x").expect("written");
    }
    let told = run(client(&home, &server, &["preview", "empty"])).expect(1);
    assert!(told.stderr.contains("more than 2 files"), "{told:#?}");
    let session = Session::open(&server, "ada").await;
    let projects = || async { Answer::of(session.request(Method::GET, "/projects")).await };
    assert_eq!(projects().await.expect(200)["projects"], json!([]));

    // One that was there before stays.
    run(client(&home, &server, &["preview", "site"])).expect(0);
    for number in 0..3 {
        let file = home.path().join("site").join(number.to_string());
        std::fs::write(file, "x").expect("written");
    }
    run(client(&home, &server, &["preview", "site"])).expect(1);
    assert_eq!(projects().await.expect(200)["projects"][0]["name"], "site");
    server.stop();
}

#[test]
fn files_of_secrets_that_cannot_be_read_are_named() {
    let (home, server) = start();
    for arguments in [
        &["login", "--username", "ada", "--password-file", "missing"][..],
        &["preview", "site", "--token-file", "missing"],
    ] {
        let told = run(client(&home, &server, arguments)).expect(1);
        let (code, what) = ("error[INVALID_INPUT]", "cannot read missing: No such file");
        assert!(
            told.stderr.contains(code) && told.stderr.contains(what),
            "{told:#?}"
        );
    }
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
    let told = run(client(&home, &server, &["preview", "site", "--json"])).expect(1);
    assert!(told.stderr.contains("hivesync login"), "{told:#?}");
    assert_eq!(told.json()["error"]["code"], "UNAUTHENTICATED");
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
