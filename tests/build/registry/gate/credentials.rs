//! Who is let in, and which requests get the operator's credential.

use std::fs;

use tokio::io::AsyncWriteExt;

use super::{Bench, Setting, answer};
use crate::registry::fake::{PACKAGE, Registry, TOKEN};

#[tokio::test]
async fn only_the_install_itself_is_let_in() {
    let registry = Registry::http().await;
    let bench = Bench::open(Setting {
        npmrc: &registry.npmrc(),
        ..Setting::default()
    })
    .await;
    for said in ["", "Proxy-Authorization: Basic YnVpbGQ6eA==\r\n"] {
        let mut stream = bench.connection().await;
        let request = format!(
            "GET {}/{PACKAGE} HTTP/1.1\r\nHost: x\r\n{said}Connection: close\r\n\r\n",
            registry.base()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        assert_eq!(answer(&mut stream).await.0, 407);
    }
    assert_eq!(registry.asked(), []);
    bench.close().await;
}

#[tokio::test]
async fn a_credential_is_added_to_reading_packages_and_to_nothing_else() {
    let registry = Registry::http().await;
    let base = registry.base().to_owned();
    let bench = Bench::open(Setting {
        npmrc: &registry.npmrc(),
        ..Setting::default()
    })
    .await;
    let (status, body) = bench.ask(&format!("GET {base}/@corp%2fsauce")).await;
    assert!(status == 200 && body.contains("1.0.0"), "{status} {body}");
    for (line, refused) in [
        (format!("PUT {base}/{PACKAGE}"), 405),
        (format!("DELETE {base}/{PACKAGE}/-rev/1"), 405),
        (format!("POST {base}/-/npm/v1/tokens"), 405),
        (format!("TRACE {base}/"), 405),
        (format!("GET {base}/-/npm/v1/tokens"), 403),
        (format!("GET {base}/%2d/whoami"), 403),
        (format!("GET {base}/x%2f..%2f-/whoami"), 403),
        (format!("GET {base}//-/whoami"), 403),
        (format!("GET {base}/%2f-/whoami"), 403),
        (format!("GET {base}/x/..;/..;/api/security/apiKey"), 403),
        (format!("GET {base}/-;a/whoami"), 403),
        (format!("GET {base}/x/..%00/y"), 403),
        (format!("GET {base}/x/..%20/y"), 403),
        (format!("GET {base}/x/%c0%ae%c0%ae/y"), 403),
        (format!("GET {base}/x/-/npm/v1/tokens"), 403),
        (format!("GET {base}/redirect/account"), 403),
        (format!("GET {base}/redirect/beside"), 403),
    ] {
        assert_eq!(bench.ask(&line).await.0, refused, "{line}");
    }
    let (status, _) = bench.ask(&format!("GET {base}/redirect/in")).await;
    assert_eq!(status, 200);
    assert_eq!(
        registry.lines(),
        [
            "GET /@corp%2fsauce",
            "GET /redirect/account",
            "GET /redirect/beside",
            "GET /redirect/in",
            "GET /open"
        ]
    );
    let told = registry.asked().into_iter();
    for (line, said) in told {
        assert_eq!(said, Some(format!("Bearer {TOKEN}")), "{line}");
    }
    bench.close().await;
}

/// What a server in front of the registry may take for another request.
#[tokio::test]
async fn nothing_that_changes_a_request_goes_along_with_a_credential() {
    let registry = Registry::http().await;
    let bench = Bench::open(Setting {
        npmrc: &registry.npmrc(),
        ..Setting::default()
    })
    .await;
    let request = format!(
        "GET {}/{PACKAGE} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {}\r\n\
         Connection: close, authorization\r\nAccept: application/json\r\nUser-Agent: npm\r\n\
         Content-Length: 0\r\nX-HTTP-Method-Override: PUT\r\nX-Original-URL: /admin\r\n\r\n",
        registry.base(),
        bench.pass()
    );
    let mut stream = bench.connection().await;
    stream.write_all(request.as_bytes()).await.expect("sent");
    assert_eq!(answer(&mut stream).await.0, 200);
    assert_eq!(
        registry.headers(),
        [["accept", "authorization", "host", "user-agent"]]
    );
    bench.close().await;
}

/// Over TLS on both sides, with the operator's CA file on the far one.
#[tokio::test]
async fn the_proxy_stands_in_for_a_registry_over_tls() {
    let registry = Registry::https().await;
    let folder = tempfile::tempdir().expect("a folder");
    let cafile = folder.path().join("ca.pem");
    fs::write(&cafile, registry.ca.as_ref().expect("a CA")).expect("a file");
    let npmrc = format!("{}cafile={}\n", registry.npmrc(), cafile.display());
    let bench = Bench::open(Setting {
        npmrc: &npmrc,
        ..Setting::default()
    })
    .await;
    let answer = bench
        .client()
        .get(format!("{}/{PACKAGE}", registry.base()))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.expect("a body").contains("1.0.0"));
    assert_eq!(
        registry.asked(),
        [(format!("GET /{PACKAGE}"), Some(format!("Bearer {TOKEN}")))]
    );
    bench.close().await;
    // Without the CA file nobody stands for the registry.
    let bench = Bench::open(Setting {
        npmrc: &registry.npmrc(),
        ..Setting::default()
    })
    .await;
    let url = format!("{}/{PACKAGE}", registry.base());
    let answer = bench.client().get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 502);
    assert_eq!(registry.asked().len(), 1);
    bench.close().await;
}

/// Some package managers make a tunnel to a registry that speaks http.
#[tokio::test]
async fn a_tunnel_to_a_plain_registry_gets_the_credential_too() {
    let registry = Registry::http().await;
    let bench = Bench::open(Setting {
        npmrc: &registry.npmrc(),
        ..Setting::default()
    })
    .await;
    let place = format!("localhost:{}", registry.address.port());
    let mut stream = bench.tunnel(&place).await;
    let request = format!("GET /{PACKAGE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    assert_eq!(answer(&mut stream).await.0, 200);
    bench.close().await;
}
