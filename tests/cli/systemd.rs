//! What systemd is told, over its notification socket.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::process::{DEADLINE, Home, Serving};

fn next(socket: &UnixDatagram) -> String {
    let mut message = [0; 512];
    let length = socket.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

fn wait_for(socket: &UnixDatagram, wanted: &str) {
    while !next(socket).lines().any(|line| line == wanted) {}
}

#[test]
fn readiness_life_and_the_stop_are_notified() {
    let home = Home::new();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bound");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut command = home.command(&["serve"]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "40000");
    let server = Serving::start(command);
    wait_for(&socket, "READY=1");
    wait_for(&socket, "WATCHDOG=1");
    wait_for(&socket, "WATCHDOG=1");
    server.signal(Signal::TERM);
    wait_for(&socket, "STOPPING=1");
    let status = server.wait();
    assert!(status.success(), "{status}");
}
