//! Bodies and heads that are too large, too slow, too deep or not what they
//! say they are.

use std::time::Duration;

use futures::stream;
use hivesync::http::server::{Limits, Pace};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::common::{Answer, Setup, TestServer};
use crate::connections::{connect, last_words};
use crate::sources::files_below;

const HUNDRED: usize = 100 << 20;

/// A body of this length that does not say so beforehand.
fn unannounced(length: usize) -> Body {
    const PIECE: usize = 64 << 10;
    let pieces = (0..length / PIECE).map(|_| Ok::<_, std::io::Error>(vec![b' '; PIECE]));
    Body::wrap_stream(stream::iter(pieces))
}

#[tokio::test]
async fn a_hundred_megabytes_of_json_are_refused() {
    let server = TestServer::start().await;
    let login = || {
        let request = server.request(Method::POST, "/auth/login");
        request.header("content-type", "application/json")
    };
    for request in [
        login().body(vec![b' '; HUNDRED]),
        login().body(unannounced(HUNDRED)),
    ] {
        Answer::of(request)
            .await
            .expect_error(413, "PAYLOAD_TOO_LARGE");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_archive_over_the_limit_is_refused_and_leaves_nothing() {
    let setup = Setup::new().config(|config| config.sources.max_upload_bytes = 1 << 20);
    let server = setup.start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "app").await;
    let path = format!("/projects/{project}/source/archive");
    let upload = || {
        let request = server.request(Method::PUT, &path).bearer_auth(&ada.token);
        request.header("content-type", "application/zip")
    };
    for request in [
        upload().body(vec![b'P'; 2 << 20]),
        upload().body(unannounced(HUNDRED)),
        // Who may not upload is told so before the body is read.
        server
            .request(Method::PUT, &path)
            .body(unannounced(HUNDRED)),
    ] {
        let answer = Answer::of(request).await;
        assert!(
            matches!(answer.status.as_u16(), 413 | 401),
            "{}",
            answer.text()
        );
    }
    assert!(files_below(&server.app.data.tmp()).is_empty());
    assert!(files_below(&server.app.data.repos()).is_empty());
    server.stop().await;
}

/// What a server with these limits says to a body of which only the beginning
/// comes.
async fn begun(pace: Pace) -> String {
    let limits = Limits {
        body: pace,
        ..Limits::new(100)
    };
    let server = Setup::new().limits(limits).start().await;
    let mut stream = connect(&server).await;
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\n\
                content-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("written");
    let answer = last_words(&mut stream).await;
    server.stop().await;
    answer
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let answer = begun(Pace {
        stall: Duration::from_millis(50),
        grace: Duration::from_mins(5),
        bytes_per_second: 1,
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("BAD_REQUEST"), "{answer}");
}

/// Each piece would be in time; all of them together are not.
#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let answer = begun(Pace {
        stall: Duration::from_mins(5),
        grace: Duration::from_millis(50),
        bytes_per_second: 1 << 20,
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("BAD_REQUEST"), "{answer}");
}

#[tokio::test]
async fn json_that_nests_without_end_is_refused() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    for open in ["[", r#"{"a":"#] {
        let deep = open.repeat(200_000 / open.len());
        for text in [
            deep.clone(),
            format!(r#"{{"username_or_email": {deep}"#),
            format!(r#"{{"name": "x", "config": {deep}"#),
        ] {
            for path in ["/auth/login", "/projects"] {
                let request = server
                    .request(Method::POST, path)
                    .bearer_auth(&ada.token)
                    .header("content-type", "application/json")
                    .body(text.clone());
                let answer = Answer::of(request).await;
                let error = answer.expect(answer.status.as_u16());
                let code = error["error"]["code"].as_str().unwrap_or_default();
                assert!(
                    matches!(code, "BAD_REQUEST" | "INVALID_INPUT"),
                    "{path}: {code}"
                );
            }
        }
    }
    let listed = server.get("/projects", &ada.token).await.expect(200);
    assert_eq!(listed["projects"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn heads_over_the_limit_are_refused() {
    let server = TestServer::start().await;
    let long = format!("x-long: {}\r\n", "a".repeat(100 << 10));
    let many: Vec<String> = (0..500).map(|n| format!("x-{n}: 1\r\n")).collect();
    let cookies = "cookie: a=b\r\n".repeat(5000);
    for headers in [long, many.concat(), cookies] {
        let mut stream = connect(&server).await;
        let request = format!("GET /health HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        // The server may close before all of it is written.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = last_words(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let path = "a".repeat(100 << 10);
    let mut stream = connect(&server).await;
    let _ = stream
        .write_all(format!("GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .await;
    let answer = last_words(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    server.stop().await;
}

/// A proxy may have let it through for the sake of the other.
#[tokio::test]
async fn a_request_for_two_hosts_or_none_is_refused() {
    let server = TestServer::start().await;
    for hosts in ["host: one\r\nhost: two\r\n", ""] {
        let mut stream = connect(&server).await;
        let request = format!("GET /livez HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let answer = last_words(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("BAD_REQUEST"), "{answer}");
    }
    server.stop().await;
}

/// By DNS rebinding, where everybody may register and name a folder.
#[tokio::test]
async fn a_website_does_not_reach_a_developers_server_by_its_own_name() {
    for (mode, status) in [(true, 403), (false, 200)] {
        let setup = Setup::new().config(|config| config.server.local_dev_mode = mode);
        let server = setup.start().await;
        let ask = |host: &str| {
            let request = server.client.get(server.url("/livez"));
            Answer::of(request.header("host", host))
        };
        let long = format!("{}evil.example:4000", "a.".repeat(120));
        for evil in ["evil.example:4000", "a!b.evil.example", &long] {
            assert_eq!(ask(evil).await.status, status, "{evil}");
        }
        assert_eq!(ask("localhost:4000").await.status, 200);
        server.stop().await;
    }
}

/// A proxy in front may believe one header and we the other: what follows the
/// shorter body must not be taken for a request.
#[tokio::test]
async fn a_request_within_a_body_is_not_answered() {
    let server = TestServer::start().await;
    let inner = "GET /livez HTTP/1.1\r\nhost: smuggled\r\n\r\n";
    for headers in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "content-length: 0\r\ncontent-length: 60\r\n",
        "content-length: 0, 60\r\n",
        "content-length: +5\r\n",
        "content-length: 5 5\r\n",
        "transfer-encoding: identity, chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: x\r\n",
        "transfer-encoding : chunked\r\n",
    ] {
        let mut stream = connect(&server).await;
        let request = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\n{headers}\
             content-type: application/json\r\n\r\n0\r\n\r\n{inner}"
        );
        stream.write_all(request.as_bytes()).await.expect("written");
        let answer = last_words(&mut stream).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{headers:?}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 4"), "{headers:?}: {answer}");
    }
    // Chunks that overflow, or lie about their length.
    for chunk in [
        "fffffffffffffffff\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        "5 \nhello\r\n",
    ] {
        let mut stream = connect(&server).await;
        let request = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\
             content-type: application/json\r\n\r\n{chunk}0\r\n\r\n{inner}"
        );
        stream.write_all(request.as_bytes()).await.expect("written");
        let answer = last_words(&mut stream).await;
        assert!(
            answer.matches("HTTP/1.1 ").count() <= 1,
            "{chunk:?}: {answer}"
        );
        assert!(!answer.starts_with("HTTP/1.1 2"), "{chunk:?}: {answer}");
    }
    server.stop().await;
}

/// `Content-Encoding` of a request is not undone: there is nothing to explode.
#[tokio::test]
async fn a_compressed_body_is_taken_as_it_is() {
    let server = TestServer::start().await;
    let bomb = crate::sources::gzip(&vec![b' '; 64 << 20]);
    let request = server
        .request(Method::POST, "/auth/login")
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(bomb);
    let answer: Value = Answer::of(request).await.expect_error(400, "BAD_REQUEST");
    assert!(answer["message"].is_string());
    server.stop().await;
}
