//! The end of the process: drained after one signal, at once after two.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustix::process::Signal;

use crate::process::{DEADLINE, Home, Serving};

/// A request whose head has arrived and whose body has not: the server runs it
/// until the rest comes.
fn begin_request(server: &Serving, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.host()).expect("connected");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    write!(
        stream,
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .expect("written");
    // The server asks for the body: the request is under way.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).expect("an interim answer");
    assert!(asked.starts_with(b"HTTP/1.1 100 "), "{asked:?}");
    stream
}

/// Looks again and again, because nothing tells of it.
fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_request_under_way_is_finished() {
    let body = r#"{"username_or_email": "nobody", "password": "nothing at all"}"#;
    let home = Home::new();
    let mut server = home.serve();
    let mut stream = begin_request(&server, body);
    server.signal(Signal::TERM);
    server.wait_for("stopping");
    // New clients are turned away while the old one is served.
    until("the address is closed", || {
        TcpStream::connect(server.host()).is_err()
    });
    // The operator is told until the end.
    let health = home.run(&["health"]).expect(2);
    let why = "the server is stopping";
    assert!(health.stdout.contains(why), "{health:#?}");
    stream.write_all(body.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("UNAUTHENTICATED"), "{answer}");
    let status = server.wait();
    assert!(status.success(), "{status}");
    assert!(!home.data().join("run/hivesync.sock").exists());
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = Home::new();
    // Without the second signal it would wait for an hour.
    let mut command = home.command(&["serve"]);
    command.env("SHUTDOWN_GRACE_SECONDS", "3600");
    let mut server = Serving::start(command);
    let stream = begin_request(&server, "{}");
    server.signal(Signal::TERM);
    server.wait_for("stopping");
    server.signal(Signal::INT);
    server.wait();
    drop(stream);
}

#[test]
fn the_grace_time_ends_what_hangs() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("SHUTDOWN_GRACE_SECONDS", "0");
    let server = Serving::start(command);
    let stream = begin_request(&server, "{}");
    server.signal(Signal::TERM);
    server.wait();
    drop(stream);
}

#[test]
fn idle_connections_do_not_hold_the_stop() {
    let home = Home::new();
    let server = home.serve();
    let silent = TcpStream::connect(server.host()).expect("connected");
    let mut half = TcpStream::connect(server.host()).expect("connected");
    half.write_all(b"GET /health HTTP/1.1\r\nhost:")
        .expect("written");
    server.stop();
    drop((silent, half));
}
