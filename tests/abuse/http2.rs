//! What HTTP/2 adds to the means of wearing a server out. The frames are
//! written by hand: no honest client sends these.

use std::cell::Cell;
use std::time::Duration;

use hivesync::http::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{DEADLINE, Setup, TestServer};
use crate::connections::{ask, connect};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A header that no table remembers.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        let length = u8::try_from(text.len()).expect("short");
        assert!(length < 127, "longer ones are written otherwise");
        out.push(length);
        out.extend(text.as_bytes());
    }
    out
}

fn request(method: &str, path: &str) -> Vec<u8> {
    let pairs = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/json"),
    ];
    pairs
        .iter()
        .flat_map(|(name, value)| header(name, value))
        .collect()
}

async fn greeted(server: &TestServer) -> TcpStream {
    greeted_with(server, &[]).await
}

async fn greeted_with(server: &TestServer, settings: &[u8]) -> TcpStream {
    let mut stream = connect(server).await;
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, settings));
    stream.write_all(&hello).await.expect("written");
    stream
}

/// The kinds, flags and last words (an error's number) of the frames that come
/// until the server closes, or `enough` says so.
async fn answers(
    stream: &mut TcpStream,
    sent: Vec<u8>,
    enough: impl Fn(u8, u32) -> bool,
) -> Vec<(u8, u32)> {
    let (mut read, mut write) = stream.split();
    // The server may close long before all of it is written.
    let writing = async {
        let _ = write.write_all(&sent).await;
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut seen = Vec::new();
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if read.read_exact(&mut payload).await.is_err() {
                break;
            }
            let number = |bytes: Option<&[u8]>| {
                bytes.map_or(0, |b| u32::from_be_bytes(b.try_into().expect("four")))
            };
            let word = match head[3] {
                GOAWAY => number(payload.get(4..8)),
                RST_STREAM => number(payload.get(..4)),
                _ => 0,
            };
            seen.push((head[3], word));
            if enough(head[3], word) {
                break;
            }
        }
        seen
    };
    let reading = async {
        tokio::select! {
            seen = reading => seen,
            () = writing => unreachable!("it never ends"),
        }
    };
    timeout(DEADLINE, reading)
        .await
        .expect("the server says so")
}

/// Afterwards, somebody else is served.
async fn assert_it_serves(server: TestServer) {
    ask(&mut connect(&server).await, "/livez").await;
    server.stop().await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let server = TestServer::start().await;
    let mut stream = greeted(&server).await;
    let mut flood = Vec::new();
    for id in (1..20_000).step_by(2) {
        flood.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            id,
            &request("GET", "/health"),
        ));
        flood.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    }
    let seen = answers(&mut stream, flood, |_, _| false).await;
    assert!(
        seen.contains(&(GOAWAY, ENHANCE_YOUR_CALM)),
        "{:?}",
        seen.last()
    );
    assert_it_serves(server).await;
}

#[tokio::test]
async fn more_streams_than_agreed_are_refused() {
    let server = TestServer::start().await;
    let mut stream = greeted(&server).await;
    // Each waits for a body that never comes.
    let flood: Vec<u8> = (0..300)
        .flat_map(|n| {
            frame(
                HEADERS,
                END_HEADERS,
                2 * n + 1,
                &request("POST", "/api/v1/auth/login"),
            )
        })
        .collect();
    let refused = |kind, word| kind == RST_STREAM && word == REFUSED_STREAM;
    let seen = answers(&mut stream, flood, refused).await;
    assert!(
        seen.iter().any(|(kind, word)| refused(*kind, *word)),
        "{seen:?}"
    );
    drop(stream);
    assert_it_serves(server).await;
}

/// A client that is soon given up.
fn impatient() -> Limits {
    Limits {
        stall: Duration::from_millis(50),
        ..Limits::new(100)
    }
}

/// How much of each answer is taken without being asked for more.
fn initial_window(size: u32) -> Vec<u8> {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &size.to_be_bytes()].concat()
}

fn ask_for_much(stream: u32) -> Vec<u8> {
    let ask = request("GET", "/api/docs/swagger-ui-bundle.js");
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &ask)
}

/// A socket that is read from can hold as many answers as its streams.
#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let server = Setup::new().limits(impatient()).start().await;
    for window in [0, 1] {
        let mut stream = greeted_with(&server, &initial_window(window)).await;
        let seen = answers(&mut stream, ask_for_much(1), |_, _| false).await;
        assert!(seen.iter().any(|(kind, _)| *kind == HEADERS), "{seen:?}");
        assert!(seen.contains(&(RST_STREAM, CANCEL)), "{seen:?}");
    }
    assert_it_serves(server).await;
}

/// Behind a proxy they are other people's.
#[tokio::test]
async fn an_answer_that_nobody_takes_ends_no_other() {
    let server = Setup::new().limits(impatient()).start().await;
    for window in [0, 1] {
        let mut stream = greeted_with(&server, &initial_window(window)).await;
        let login = request("POST", "/api/v1/auth/login");
        let mut both = frame(HEADERS, END_HEADERS, 1, &login);
        both.extend(ask_for_much(3));
        let given_up = |kind, word| (kind, word) == (RST_STREAM, CANCEL);
        let seen = answers(&mut stream, both, given_up).await;
        assert!(seen.contains(&(RST_STREAM, CANCEL)), "{seen:?}");
        let body = frame(DATA, END_STREAM, 1, b"{}");
        let seen = answers(&mut stream, body, |kind, _| kind == HEADERS).await;
        assert_eq!(seen.last(), Some(&(HEADERS, 0)), "{seen:?}");
    }
    assert_it_serves(server).await;
}

#[tokio::test]
async fn streams_count_among_the_requests_of_their_address() {
    let limits = Limits::new(100).per_address(4, &[]);
    let server = Setup::new().limits(limits).start().await;
    let mut stream = greeted(&server).await;
    // Each waits for a body that never comes; six have no place to.
    let flood: Vec<u8> = (0..10)
        .flat_map(|n| {
            let login = request("POST", "/api/v1/auth/login");
            frame(HEADERS, END_HEADERS, 2 * n + 1, &login)
        })
        .collect();
    let refused = Cell::new(0);
    let six = |kind, _| {
        refused.set(refused.get() + u32::from(kind == HEADERS));
        refused.get() == 6
    };
    answers(&mut stream, flood, six).await;
    assert_eq!(refused.get(), 6);
    drop(stream);
    assert_it_serves(server).await;
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let server = TestServer::start().await;
    let mut stream = greeted(&server).await;
    let mut flood = frame(HEADERS, END_STREAM, 1, &request("GET", "/health"));
    let piece = header("x-filler", &"a".repeat(100)).repeat(100);
    for _ in 0..2000 {
        flood.extend(frame(CONTINUATION, 0, 1, &piece));
    }
    let seen = answers(&mut stream, flood, |_, _| false).await;
    assert!(seen.iter().any(|(kind, _)| *kind == GOAWAY), "{seen:?}");
    assert_it_serves(server).await;
}

#[tokio::test]
async fn empty_continuations_end_the_connection() {
    let server = TestServer::start().await;
    let mut stream = greeted(&server).await;
    let mut flood = frame(HEADERS, END_STREAM, 1, &request("GET", "/health"));
    flood.extend(frame(CONTINUATION, 0, 1, &[]).repeat(100_000));
    let seen = answers(&mut stream, flood, |_, _| false).await;
    assert!(seen.iter().any(|(kind, _)| *kind == GOAWAY), "{seen:?}");
    assert_it_serves(server).await;
}

#[tokio::test]
async fn a_header_list_over_the_limit_reaches_no_route() {
    let server = TestServer::start().await;
    let mut stream = greeted(&server).await;
    let mut flood = frame(HEADERS, END_STREAM, 1, &request("GET", "/health"));
    let piece = header("x-filler", &"a".repeat(100)).repeat(100);
    for _ in 0..8 {
        flood.extend(frame(CONTINUATION, 0, 1, &piece));
    }
    flood.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
    let last = |kind, _| matches!(kind, HEADERS | RST_STREAM | GOAWAY);
    let seen = answers(&mut stream, flood, last).await;
    assert!(last(seen.last().expect("an answer").0, 0), "{seen:?}");
    drop(stream);
    assert_it_serves(server).await;
}
