//! The operator's own proxy, which stands between ours and the registries.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Bench, Setting, answer};
use crate::registry::fake::Registry;

#[tokio::test]
async fn the_operators_proxy_is_asked_with_its_password() {
    let registry = Registry::http().await;
    let (upstream, heads) = upstream_proxy(registry.address).await;
    let npmrc = format!("https-proxy=http://ada:p%40ss@{upstream}\n");
    let bench = Bench::open(Setting {
        npmrc: &npmrc,
        ..Setting::default()
    })
    .await;
    let mut stream = bench.tunnel("registry.npmjs.org:443").await;
    let request = "GET /open HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    assert_eq!(answer(&mut stream).await, (200, "open to all".to_owned()));
    // The proxy looks names up itself; ours has no say but the list.
    assert_eq!(bench.names.asked.load(Ordering::SeqCst), 0);
    assert_eq!(bench.ask("CONNECT evil.example:443").await.0, 403);
    bench.close().await;
    let heads = heads.lock().expect("unpoisoned").clone();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with("CONNECT registry.npmjs.org:443 HTTP/1.1\r\n"));
    let pair = BASE64.encode(b"ada:p@ss");
    assert!(heads[0].contains(&format!("Proxy-Authorization: Basic {pair}\r\n")));
}

/// Connects whoever asks to one address; keeps the heads of the questions.
async fn upstream_proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut near = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                near.read_line(&mut head).await.expect("a head");
            }
            kept.lock().expect("unpoisoned").push(head);
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n")
                .await
                .expect("sent");
            let mut far = TcpStream::connect(to).await.expect("the registry");
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    (address, heads)
}
