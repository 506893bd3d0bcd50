//! Ten thousand connections that say nothing, to the real binary.

use std::net::{Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

use crate::connections::{ask, connect_between, last_words};
use crate::process::{Home, Serving};

const CROWD: usize = 10_000;
const PER_ADDRESS: usize = 500;

/// Descriptors for the crowd on this side; the server sees to its own.
fn make_room() {
    let needed = CROWD as u64 + 500;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|files| files >= needed) {
        return;
    }
    let wanted = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    setrlimit(Resource::Nofile, wanted).expect("up to the hard limit");
    assert!(
        now.maximum.is_none_or(|files| files >= needed),
        "this test needs {needed} open files: raise the hard limit (ulimit -Hn)"
    );
}

/// The n-th address of the crowd.
fn address(n: usize) -> Ipv4Addr {
    let last = u8::try_from(n / PER_ADDRESS + 1).expect("few addresses");
    Ipv4Addr::new(127, 0, 7, last)
}

#[tokio::test]
async fn ten_thousand_idle_connections_leave_room_for_others() {
    make_room();
    let home = Home::new();
    let mut command = home.command(&["serve", "--no-worker"]);
    command
        .env("MAX_CONNECTIONS", (CROWD + 10).to_string())
        .env("MAX_CONNECTIONS_PER_ADDRESS", PER_ADDRESS.to_string());
    let server = Serving::start(command);
    let to: SocketAddr = server.host().parse().expect("an address");

    let mut crowd: Vec<TcpStream> = Vec::with_capacity(CROWD);
    for n in 0..CROWD {
        crowd.push(connect_between(address(n), to).await);
    }
    // An address that has all that it gets is told so; another is served. Those
    // who came last: silence is ended after a while, and a crowd takes its time.
    let mut greedy = connect_between(address(CROWD - 1), to).await;
    let refusal = last_words(&mut greedy).await;
    assert!(refusal.starts_with("HTTP/1.1 429 "), "{refusal}");
    assert!(refusal.contains("RATE_LIMIT_EXCEEDED"), "{refusal}");
    let other = Ipv4Addr::new(127, 0, 8, 1);
    ask(&mut connect_between(other, to).await, "/readyz").await;
    // Those who wait have not lost their place either.
    ask(crowd.last_mut().expect("a crowd"), "/readyz").await;

    drop(crowd);
    ask(&mut connect_between(other, to).await, "/readyz").await;
    server.stop();
}
