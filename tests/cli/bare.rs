//! The first start: a bare binary is ready and says where to look.

use std::process::Command;

use crate::common::{Answer, client};
use crate::process::{Home, Serving};

/// No variable, no file, no folder: alone on a machine with an empty `/data`.
/// Bubblewrap gives it one without touching this machine's.
#[test]
fn no_environment_is_needed() {
    let home = Home::new();
    let mut command = Command::new("bwrap");
    command
        .args(["--dev-bind", "/", "/", "--tmpfs", "/data"])
        .args([
            "--unshare-net",
            "--unshare-pid",
            "--proc",
            "/proc",
            "--die-with-parent",
        ])
        .args(["--clearenv", "--setenv", "PATH"])
        .arg(std::env::var_os("PATH").unwrap_or_default())
        .arg("--chdir")
        .arg(home.path())
        .args(["--", env!("CARGO_BIN_EXE_hivesync"), "serve"]);
    let mut server = Serving::start(command);
    assert_eq!(server.address, "http://127.0.0.1:4000");
    server.wait_for("/setup?token=");
    let banner = server.banner.join("\n");
    assert!(banner.contains("data "), "{banner}");
}

#[tokio::test]
async fn the_banner_tells_where_to_look() {
    let home = Home::new();
    let mut server = home.serve();
    server.wait_for("/setup?token=");
    let banner = server.banner.join("\n");
    assert!(
        banner.contains(home.data().to_str().expect("a plain path")),
        "{banner}"
    );
    let answer = Answer::of(client().get(server.url("/health"))).await;
    assert_eq!(answer.expect(200)["status"], "ok");
    let answer = Answer::of(client().get(server.url("/readyz"))).await;
    answer.expect(200);
    server.stop();
}

#[test]
fn the_banner_warns_of_builds_without_walls() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("SANDBOX", "none");
    let mut server = Serving::start(command);
    let told = server
        .banner
        .iter()
        .find(|line| line.starts_with("  sandbox"))
        .cloned()
        .unwrap_or_else(|| server.wait_for("  sandbox"));
    assert!(
        told.contains("Warning: builds are not walled off"),
        "{told}"
    );
    server.stop();
}

#[tokio::test]
async fn json_logs_are_lines_of_json_and_keep_secrets_out() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("LOG_FORMAT", "json").env("LOG_LEVEL", "trace");
    let mut server = Serving::start(command);
    let secret = "eyJ-a-token-in-an-address";
    let url = server.url(&format!("/api/v1/preview/status/{secret}?access={secret}"));
    let answer = Answer::of(
        client()
            .get(url)
            .header("x-request-id", "request-of-the-test"),
    )
    .await;
    assert!(answer.status.is_client_error());
    assert_eq!(answer.header("x-request-id"), "request-of-the-test");
    server.wait_for("\"answered\"");
    let lines: Vec<serde_json::Value> = server
        .banner
        .iter()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    for field in ["time", "level", "service"] {
        assert!(lines.iter().all(|l| l[field].is_string()), "{field}");
    }
    let access = lines
        .iter()
        .find(|line| line["message"] == "answered")
        .expect("the access log");
    assert_eq!(access["trace_id"], "request-of-the-test");
    assert_eq!(access["method"], "GET");
    assert_eq!(access["status"], answer.status.as_u16());
    assert!(access["duration_ms"].is_u64());
    let everything = server.banner.join("\n");
    assert!(!everything.contains(secret), "{everything}");
    server.stop();
}

#[test]
fn a_taken_port_is_named_with_the_next_step() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("an address").port().to_string();
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    let ran = crate::process::Ran::of(
        command
            .env("PORT", &port)
            .output()
            .expect("the binary runs"),
    )
    .expect(1);
    assert!(
        ran.stderr.contains(&port) && ran.stderr.contains("PORT="),
        "{ran:?}"
    );
}

#[test]
fn a_second_server_on_the_folder_is_refused() {
    let home = Home::new();
    let first = home.serve();
    let ran = home.run(&["serve"]).expect(1);
    assert!(ran.stderr.contains("another HiveSync server"), "{ran:?}");
    first.stop();
    home.serve().stop();
}

#[test]
fn a_dead_servers_socket_is_replaced() {
    let home = Home::new();
    let server = home.serve();
    server.signal(rustix::process::Signal::KILL);
    assert!(!server.wait().success());
    let socket = home.data().join("run/hivesync.sock");
    assert!(socket.exists(), "a killed server leaves its socket");
    let server = home.serve();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&socket)
            .expect("the socket")
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    server.stop();
    assert!(!socket.exists(), "a stopped server takes its socket away");
}

/// The numbers of projects begin anew with a database: the first project of
/// the next owner would be given the repository of another.
#[test]
fn a_folder_that_lost_its_database_is_not_taken_for_a_new_one() {
    let home = Home::new();
    home.serve().stop();
    let database = home.data().join("db/hivesync.redb");
    std::fs::remove_file(&database).expect("the database");
    home.serve().stop();
    std::fs::remove_file(&database).expect("the database");
    std::fs::create_dir(home.data().join("repos/1")).expect("a repository");
    let refused = home.run(&["serve"]).expect(1);
    assert!(
        refused.stderr.contains("hivesync.redb is missing"),
        "{refused:#?}"
    );
    assert!(!database.exists());
}
