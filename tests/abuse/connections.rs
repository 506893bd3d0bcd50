//! What a client may do to a connection before the server ends it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hivesync::http::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::common::{Answer, DEADLINE, Setup, TestServer};

pub(crate) async fn connect(server: &TestServer) -> TcpStream {
    let address: SocketAddr = *server.app.listening.get().expect("it listens");
    TcpStream::connect(address).await.expect("connected")
}

/// From another address of this machine.
pub(crate) async fn connect_from(server: &TestServer, from: Ipv4Addr) -> TcpStream {
    let address: SocketAddr = *server.app.listening.get().expect("it listens");
    connect_between(from, address).await
}

pub(crate) async fn connect_between(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("bound");
    socket.connect(to).await.expect("connected")
}

/// One good request, whose answer comes and leaves the connection open.
pub(crate) async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
}

/// What the server says until it closes.
pub(crate) async fn last_words(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn short(header: Duration, idle: Duration) -> Limits {
    Limits {
        header,
        idle,
        ..Limits::new(100)
    }
}

#[tokio::test]
async fn half_sent_heads_are_closed() {
    let limits = short(Duration::from_millis(50), Duration::from_mins(1));
    let server = Setup::new().limits(limits).start().await;
    // Nothing, less than tells the protocol, a piece of the first line, a
    // piece of the headers.
    for sent in [
        "",
        "PRI",
        "GET / HT",
        "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(sent.as_bytes()).await.expect("written");
        let answer = last_words(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{sent:?}: {answer}");
    }
    // The same after a whole request, where silence would be borne with.
    let mut stream = connect(&server).await;
    let sent = "GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\n";
    let (first, second) = sent.split_at(sent.find("\r\n\r\n").expect("an end") + 4);
    stream.write_all(first.as_bytes()).await.expect("written");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    stream.write_all(second.as_bytes()).await.expect("written");
    last_words(&mut stream).await;
    server.stop().await;
}

#[tokio::test]
async fn quiet_connections_are_closed() {
    let limits = short(Duration::from_mins(1), Duration::from_millis(50));
    let server = Setup::new().limits(limits).start().await;
    let mut stream = connect(&server).await;
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("written");
    let answer = last_words(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let limits = Limits {
        connections: 2,
        ..Limits::new(0)
    };
    let server = Setup::new().limits(limits).start().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&server).await;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .expect("written");
        // Answered: the connection has its place, and keeps it.
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut third = connect(&server).await;
    let refusal = last_words(&mut third).await;
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
    assert!(refusal.contains("retry-after"), "{refusal}");
    assert!(refusal.contains("DEPENDENCY_FAILURE"), "{refusal}");

    // A place that becomes free is given again.
    drop(held);
    let answered = async {
        loop {
            let mut stream = connect(&server).await;
            let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            if stream.write_all(request).await.is_ok()
                && last_words(&mut stream).await.starts_with("HTTP/1.1 200")
            {
                break;
            }
        }
    };
    timeout(DEADLINE, answered).await.expect("a free place");
    server.stop().await;
}

/// The same, from one address: others have their places.
#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let limits = Limits::new(100).per_address(1, &[]);
    let server = Setup::new().limits(limits).start().await;
    let mut first = connect(&server).await;
    ask(&mut first, "/health").await;
    let mut second = connect(&server).await;
    let refusal = last_words(&mut second).await;
    assert!(refusal.starts_with("HTTP/1.1 429 "), "{refusal}");
    assert!(refusal.contains("RATE_LIMIT_EXCEEDED"), "{refusal}");
    let mut other = connect_from(&server, Ipv4Addr::new(127, 0, 0, 2)).await;
    ask(&mut other, "/health").await;
    drop((first, other));
    server.stop().await;
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge() {
    let server = TestServer::start().await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .expect("a client");
    let answer = client
        .get(server.url("/health"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_refused_body_does_not_hide_the_refusal() {
    let server = TestServer::start().await;
    let request = server
        .client
        .post(server.url("/api/v1/auth/login"))
        .header("content-type", "application/json")
        .body(vec![b' '; 20 * 1024 * 1024]);
    Answer::of(request)
        .await
        .expect_error(413, "PAYLOAD_TOO_LARGE");
    server.stop().await;
}
