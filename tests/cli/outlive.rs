//! No process of a build outlives its server, at any level of the sandbox, and
//! none is given what the server was started with.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::json;

use crate::client::{Session, create_user};
use crate::process::{Home, Serving, ends_by, wardens_of};

/// A worker that is gone loses its job after that.
const LEASE: Duration = Duration::from_secs(30);

/// A home whose data folder the users of builds can get to.
fn home() -> Home {
    let home = Home::new();
    let mode = fs::Permissions::from_mode(0o711);
    fs::set_permissions(home.path(), mode).expect("it is ours");
    home
}

/// A server at this level, started by a shell that has left files open.
fn serve(home: &Home, level: &str) -> Serving {
    let plain = home.command(&["serve"]);
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec 7</etc/passwd 9>&1; exec \"$0\" serve"])
        .arg(plain.get_program())
        .env_clear()
        .envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("SANDBOX", level)
        .env("LOCAL_DEV_MODE", "true")
        .env("WARM_BUNDLERS", "1")
        .current_dir(home.path());
    Serving::start(command)
}

/// Ways out of a process group, a session and a family; `mark` names them all.
fn script(mark: &str) -> String {
    format!(
        r#"
cp "$(command -v sleep)" ./{mark}
setsid sh -c './{mark} 3000 > /dev/null 2>&1 &' > /dev/null 2>&1 &
(setsid ./{mark} 3000 > /dev/null 2>&1 &) &
env -i ./{mark} 3000 > /dev/null 2>&1 &
ls /proc/self/fd | tr '\n' ' '
echo "are open in $HIVESYNC_BUILD"
exec ./{mark} 3000
"#
    )
}

/// A handle on each process of this machine that was started as `./mark`.
fn alive(mark: &str) -> Vec<OwnedFd> {
    let name = format!("./{mark}\0");
    fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| {
            let id: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let words = fs::read(format!("/proc/{id}/cmdline")).ok()?;
            words.starts_with(name.as_bytes()).then_some(())?;
            pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()
        })
        .collect()
}

/// Waits for the end of each.
fn all_end(processes: &[OwnedFd], within: Duration) {
    let deadline = Instant::now() + within;
    for process in processes {
        let ended = ends_by(process, deadline);
        assert!(ended, "a process of the build outlives the server");
    }
}

async fn a_killed_server_takes_its_builds_along(level: &str) {
    let home = home();
    let mut server = serve(&home, level);
    server.wait_for(&format!("  sandbox  {level}"));
    create_user(&home, "ada", "user").expect(0);
    let session = Session::open(&server, "ada").await;
    let mark = format!("hive-{level}-{}", std::process::id());
    let package = r#"{"name": "outlive", "scripts": {"build": "sh ./build.sh"}}"#;
    let files = [("package.json", package), ("build.sh", &script(&mark))];
    let project = session.project("outlive", &files).await;
    let job = session.build(project).await;
    // The fourth is that of the listing.
    let logs = format!("/preview/logs/{job}");
    session.follow(&logs, "0 1 2 3 are open in").await;
    let mut running = alive(&mark);
    let deadline = Instant::now() + LEASE;
    while running.len() < 4 && Instant::now() < deadline {
        // They are being started; each look is a new one.
        tokio::task::yield_now().await;
        running = alive(&mark);
    }
    assert_eq!(running.len(), 4);
    server.signal(Signal::KILL);
    server.wait();
    all_end(&running, LEASE);
    assert_eq!(alive(&mark).len(), 0);
}

#[tokio::test]
async fn a_killed_server_takes_isolated_builds_along() {
    a_killed_server_takes_its_builds_along("isolated").await;
}

#[tokio::test]
async fn a_killed_server_takes_restricted_builds_along() {
    a_killed_server_takes_its_builds_along("restricted").await;
}

#[tokio::test]
async fn a_killed_server_takes_unwalled_builds_along() {
    a_killed_server_takes_its_builds_along("none").await;
}

macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../fixtures/holding-bundler/", $name)),
        )
    };
}

/// See its `config/index.js`.
const HOLDING: [(&str, &str); 7] = [
    fixture!("package.json"),
    fixture!("index.js"),
    fixture!("rn/package.json"),
    fixture!("rn/cli.js"),
    fixture!("cli/package.json"),
    fixture!("cli/index.js"),
    fixture!("config/package.json"),
];
const CONFIG: (&str, &str) = fixture!("config/index.js");

/// A server with a bundler that never comes up, and the process which that has
/// started.
async fn serve_bundler(home: &Home, level: &str, mark: &str) -> (Serving, Vec<OwnedFd>) {
    let mut server = serve(home, level);
    server.wait_for(&format!("  sandbox  {level}"));
    create_user(home, "ada", "user").expect(0);
    let session = Session::open(&server, "ada").await;
    let config = CONFIG.1.replace("./holding", &format!("./{mark}"));
    let files = HOLDING.into_iter().chain([(CONFIG.0, config.as_str())]);
    let project = session.configured("holding", &json!({})).await;
    session.upload(project, files).await;
    let job = session.build_for(project, "ios").await;
    let end = session.end_of(&job).await;
    assert_eq!(end["status"], "success", "{}", session.log(&job).await);
    let deadline = Instant::now() + LEASE;
    let mut running = alive(mark);
    while running.is_empty() && Instant::now() < deadline {
        tokio::task::yield_now().await;
        running = alive(mark);
    }
    assert_eq!(running.len(), 1);
    (server, running)
}

#[tokio::test]
async fn a_killed_server_takes_its_bundlers_along() {
    for level in ["isolated", "restricted", "none"] {
        let home = home();
        let mark = format!("hive-bond-{level}-{}", std::process::id());
        let (server, running) = serve_bundler(&home, level, &mark).await;
        server.signal(Signal::KILL);
        server.wait();
        all_end(&running, LEASE);
    }
}

/// Where the warden was killed as well.
#[tokio::test]
async fn the_next_server_ends_what_a_bundler_has_left() {
    let home = home();
    let mark = format!("hive-left-{}", std::process::id());
    let (server, running) = serve_bundler(&home, "restricted", &mark).await;
    let wardens = wardens_of(server.id());
    assert_eq!(wardens.len(), 1);
    for signal in [Signal::STOP, Signal::KILL] {
        for warden in &wardens {
            kill_process(*warden, signal).expect("it is ours");
        }
        server.signal(signal);
    }
    server.wait();
    assert_eq!(alive(&mark).len(), 1);
    let server = serve(&home, "restricted");
    all_end(&running, LEASE);
    server.stop();
}

/// The ladder, by what the server finds on its `PATH`.
#[test]
fn without_bubblewrap_builds_are_restricted_and_health_says_why() {
    let home = home();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    let node = std::env::split_paths(&std::env::var_os("PATH").expect("a PATH"))
        .map(|dir| dir.join("node"))
        .find(|file| file.is_file());
    if let Some(node) = node {
        std::os::unix::fs::symlink(node, bin.join("node")).expect("a link");
    }
    for (wanted, expected) in [("auto", Some("restricted")), ("isolated", None)] {
        let mut command = home.command(&["serve"]);
        command.env("PATH", &bin).env("SANDBOX", wanted);
        let server = Serving::start(command);
        let health = home.run(&["health", "--json"]).json();
        assert_eq!(health["sandbox"].as_str(), expected, "{health}");
        let said = health.to_string();
        assert!(said.contains("install the package `bubblewrap`"), "{said}");
        let plain = said.contains("no PID and network isolation");
        assert_eq!(plain, expected.is_some(), "{said}");
        server.stop();
    }
}
