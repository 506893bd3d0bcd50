//! How much, how long and where: the limits of a gate, its end and its place.

use std::fs;
use std::os::fd::AsRawFd;
use std::time::Duration;

use hivesync::bundle::registry::Limits;
use hivesync::bundle::sandbox::WayOut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixStream};

use super::{Bench, Setting, answer, connect, service};
use crate::common;
use crate::registry::fake::{PACKAGE, Registry};

#[tokio::test]
async fn an_install_has_its_share_and_no_more() {
    let registry = Registry::http().await;
    let bench = Bench::open(Setting {
        npmrc: &registry.npmrc(),
        limits: Limits {
            bytes: 1000,
            ..Limits::default()
        },
        ..Setting::default()
    })
    .await;
    let url = format!("{}/{PACKAGE}", registry.base());
    let client = bench.client();
    let mut whole = 0;
    for _ in 0..5 {
        let read = async { client.get(&url).send().await?.bytes().await };
        whole += usize::from(read.await.is_ok());
    }
    assert!(whole < 5);
    let log = bench.close().await;
    let told = log
        .iter()
        .filter(|line| line.contains("the limit of one install"));
    assert_eq!(told.count(), 1, "{log:?}");
}

#[tokio::test]
async fn a_tunnel_that_lies_still_is_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let bench = Bench::open(Setting {
        npmrc: &format!("registry=http://{address}/\n"),
        limits: Limits {
            idle: Duration::from_millis(20),
            ..Limits::default()
        },
        ..Setting::default()
    })
    .await;
    let mut stream = bench.tunnel(&address.to_string()).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(common::DEADLINE, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok());
    bench.close().await;
}

#[tokio::test]
async fn a_closed_gate_ends_what_goes_through_it() {
    let (port, _) = service().await;
    let bench = Bench::open(Setting {
        npmrc: &format!("registry=http://127.0.0.1:{port}/\n"),
        ..Setting::default()
    })
    .await;
    let mut stream = bench.tunnel(&format!("127.0.0.1:{port}")).await;
    let mut hello = [0; 12];
    stream
        .read_exact(&mut hello)
        .await
        .expect("the tunnel stands");
    bench.close().await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(common::DEADLINE, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty());
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let bench = Bench::open(Setting::default()).await;
    let mut stream = bench.connection().await;
    let long = format!("GET http://x/ HTTP/1.1\r\nX: {}", "a".repeat(100_000));
    let _ = stream.write_all(long.as_bytes()).await;
    let (status, _) = answer(&mut stream).await;
    assert!(matches!(status, 0 | 400 | 431), "{status}");
    bench.close().await;
}

#[tokio::test]
async fn a_gate_stands_at_a_socket_however_long_its_path() {
    let registry = Registry::http().await;
    let bench = Bench::open(Setting {
        npmrc: &registry.npmrc(),
        socket: true,
        ..Setting::default()
    })
    .await;
    let WayOut::Socket(path) = bench.gate.entrance() else {
        panic!("a socket was asked for");
    };
    let folder = fs::File::open(path.parent().expect("a folder")).expect("it is there");
    let short = format!(
        "/proc/self/fd/{}/{}",
        folder.as_raw_fd(),
        path.file_name().and_then(|n| n.to_str()).expect("a name")
    );
    let mut stream = BufReader::new(UnixStream::connect(short).await.expect("it listens"));
    let place = format!("localhost:{}", registry.address.port());
    connect(&mut stream, &place, &bench.pass()).await;
    drop(stream);
    bench.close().await;
}
