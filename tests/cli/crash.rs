//! The process ends in the middle of a build, gently and not: the job ends
//! once, after the next start, and nothing half made is left.

use std::path::Path;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;

use crate::client::{Session, create_user};
use crate::common::Answer;
use crate::process::{Home, Serving};

const PACKAGE: &str = r#"{"name": "slow", "private": true, "scripts": {"build": "node build.js"}}"#;

/// The first attempt leaves a mark in the cache that a project keeps between
/// its builds, and then never ends; the second finds the mark.
const STUCK_ONCE: &str = "
const fs = require('fs'), path = require('path'), os = require('os');
const mark = path.join(os.tmpdir(), 'metro-cache', 'first-attempt');
if (fs.existsSync(mark)) {
  fs.mkdirSync('dist');
  fs.writeFileSync('dist/index.html', 'the second attempt');
} else {
  fs.writeFileSync(mark, '');
  fs.mkdirSync('dist');
  fs.writeFileSync('dist/torn.html', 'of the first attempt');
  console.log('stuck in the first attempt');
  setInterval(() => {}, 1000);
}
";

/// Ends as soon as somebody puts a file named `go` into the project's cache.
const WAITS_FOR_GO: &str = "
const fs = require('fs'), path = require('path'), os = require('os');
console.log('waiting for go');
setInterval(() => {
  if (!fs.existsSync(path.join(os.tmpdir(), 'metro-cache', 'go'))) return;
  fs.mkdirSync('dist');
  fs.writeFileSync('dist/index.html', 'drained');
  process.exit(0);
}, 20);
";

fn serve(home: &Home, grace_seconds: u32) -> Serving {
    let mut command = home.command(&["serve"]);
    command.env("SHUTDOWN_GRACE_SECONDS", grace_seconds.to_string());
    // A build that counts as warm must not run into its timeout before the
    // test has done what it is about.
    command.env("PREVIEW_MAX_TIMEOUT_MS", "60000");
    Serving::start(command)
}

/// A server with a build that has said `line`.
async fn building(home: &Home, grace: u32, script: &str, line: &str) -> (Serving, Session, String) {
    let server = serve(home, grace);
    create_user(home, "ada", "user").expect(0);
    let session = Session::open(&server, "ada").await;
    let files = [("package.json", PACKAGE), ("build.js", script)];
    let project = session.project("slow", &files).await;
    let job = session.build(project).await;
    let logs = format!("/preview/logs/{job}");
    session.follow(&logs, line).await;
    (server, session, job)
}

/// Everything of the ended build is there once, and nothing else.
async fn assert_ended_once(home: &Home, session: &Session, job: &str, page: &str) {
    let status = session.end_of(job).await;
    assert_eq!(status["status"], "success", "{status}");
    let download = session.request(Method::GET, &format!("/preview/download/{job}"));
    let bundle = Answer::of(download).await;
    assert_eq!(bundle.status, 200);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bundle.body)).expect("a whole zip");
    let names: Vec<String> = zip
        .file_names()
        .map(|name| name.expect("a name").into_owned())
        .collect();
    assert!(!names.iter().any(|n| n.contains("torn")), "{names:?}");
    let mut html = zip.by_name("dist/index.html").expect("the page");
    assert_eq!(std::io::read_to_string(&mut html).expect("text"), page);

    let list = session.request(
        Method::GET,
        &format!("/projects/{}/previews", status["project_id"]),
    );
    let list: Value = Answer::of(list).await.expect(200);
    assert_eq!(list["previews"].as_array().map(Vec::len), Some(1), "{list}");
    assert_one_bundle(home);
}

/// One bundle's index and its bytes, and nothing else, are stored.
fn assert_one_bundle(home: &Home) {
    let mut stored = files_named(&home.data().join("previews"), "");
    stored.sort_by_key(String::len);
    let [index, pack] = &stored[..] else {
        panic!("{stored:?}");
    };
    assert!(
        index == "bundle.index" && pack.strip_suffix(".pack").is_some(),
        "{stored:?}"
    );
}

/// Stops the server, which has then taken the build's folder away: a status
/// may be read before that.
fn stop_leaving_nothing(home: &Home, server: Serving) {
    server.stop();
    let leftovers = files_named(&home.data().join("tmp"), "");
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

/// The names of all files below a folder that contain `part`.
fn files_named(folder: &Path, part: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().expect("a kind").is_dir() {
            names.extend(files_named(&entry.path(), part));
        } else {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.retain(|name| name.contains(part));
    names
}

#[tokio::test]
async fn a_killed_server_ends_the_job_once_after_its_next_start() {
    let home = Home::new();
    let (server, session, job) = building(&home, 20, STUCK_ONCE, "stuck in the first").await;
    server.signal(Signal::KILL);
    server.wait();
    let server = serve(&home, 20);
    let session = session.on(&server);
    assert_ended_once(&home, &session, &job, "the second attempt").await;
    stop_leaving_nothing(&home, server);
}

#[tokio::test]
async fn a_build_that_outlasts_the_grace_is_handed_back_and_finished_later() {
    let home = Home::new();
    let (server, session, job) = building(&home, 0, STUCK_ONCE, "stuck in the first").await;
    server.stop();
    let server = serve(&home, 20);
    let session = session.on(&server);
    assert_ended_once(&home, &session, &job, "the second attempt").await;
    stop_leaving_nothing(&home, server);
}

#[tokio::test]
async fn a_build_that_ends_within_the_grace_is_drained() {
    let home = Home::new();
    let (mut server, session, job) = building(&home, 25, WAITS_FOR_GO, "waiting for go").await;
    let project = session.status(&job).await["project_id"].to_string();
    server.signal(Signal::TERM);
    server.wait_for("stopping");
    let cache = home
        .data()
        .join("cache/transform")
        .join(project)
        .join("metro");
    std::fs::write(cache.join("go"), "").expect("the project's cache is there");
    let status = server.wait();
    assert!(status.success(), "{status}");
    // The bundle was stored before the process ended.
    assert_one_bundle(&home);
    let server = serve(&home, 20);
    let session = session.on(&server);
    assert_ended_once(&home, &session, &job, "drained").await;
    stop_leaving_nothing(&home, server);
}
