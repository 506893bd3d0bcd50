//! What is reached: hosts of the list, at addresses that may be spoken to.

use std::sync::atomic::Ordering;

use super::{Bench, Setting, service};
use crate::registry::fake::Registry;

#[tokio::test]
async fn what_is_not_listed_is_refused_and_said_once() {
    let (port, visitors) = service().await;
    let bench = Bench::open(Setting {
        names: &[("evil.example", "127.0.0.1")],
        ..Setting::default()
    })
    .await;
    for line in [
        "CONNECT evil.example:443".to_owned(),
        "CONNECT EVIL.example:443".to_owned(),
        "GET http://evil.example:443/".to_owned(),
        format!("CONNECT 127.0.0.1:{port}"),
        format!("GET http://127.0.0.1:{port}/"),
        format!("CONNECT localhost:{port}"),
        format!("CONNECT [::1]:{port}"),
        format!("GET http://0x7f.1:{port}/"),
        "CONNECT 169.254.169.254:80".to_owned(),
        "GET http://169.254.169.254/latest/meta-data/".to_owned(),
        "CONNECT 10.0.0.1:443".to_owned(),
        "CONNECT registry.npmjs.org:22".to_owned(),
        "GET http://registry.npmjs.org/ms".to_owned(),
    ] {
        let (status, body) = bench.ask(&line).await;
        assert_eq!(status, 403, "{line}: {body}");
        assert!(body.contains("BUILD_REGISTRIES"), "{body}");
    }
    assert_eq!(bench.names.asked.load(Ordering::SeqCst), 0);
    assert_eq!(visitors.load(Ordering::SeqCst), 0);
    let log = bench.close().await;
    let told = |what: &str| log.iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        told("evil.example:443, which is not on this server's list"),
        1
    );
    assert_eq!(told("169.254.169.254:80"), 1);
    assert_eq!(told(&format!("127.0.0.1:{port},")), 1);
}

#[tokio::test]
async fn a_log_is_not_flooded_with_hosts() {
    let bench = Bench::open(Setting::default()).await;
    for at in 0..100 {
        bench.ask(&format!("CONNECT h{at}.example:443")).await;
    }
    let log = bench.close().await;
    assert_eq!(log.len(), 21, "{log:?}");
}

#[tokio::test]
async fn a_listed_host_at_an_inner_address_is_refused() {
    let (port, visitors) = service().await;
    let inner = [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "fd00:ec2::254",
        "fe80::1",
    ];
    let host = format!("mirror.example:{port}");
    for ip in inner {
        let bench = Bench::open(Setting {
            extra: &[&host],
            // One good address does not make up for a bad one.
            names: &[("mirror.example", "1.1.1.1"), ("mirror.example", ip)],
            ..Setting::default()
        })
        .await;
        for line in [format!("CONNECT {host}"), format!("GET http://{host}/")] {
            let (status, body) = bench.ask(&line).await;
            assert_eq!(status, 403, "{ip} {line}: {body}");
            assert!(body.contains("whose address is"), "{body}");
        }
        assert_eq!(bench.close().await.len(), 1, "{ip}");
    }
    assert_eq!(visitors.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_named_registry_may_lie_here_but_not_at_the_clouds_own_addresses() {
    let registry = Registry::http().await;
    let port = registry.address.port();
    let npmrc = format!(
        "registry=http://npm.lan:{port}/\n@a:registry=http://meta.lan/\n@b:registry=http://169.254.169.254/\n"
    );
    let bench = Bench::open(Setting {
        npmrc: &npmrc,
        names: &[("npm.lan", "127.0.0.1"), ("meta.lan", "169.254.169.254")],
        ..Setting::default()
    })
    .await;
    let (status, body) = bench.ask(&format!("GET http://npm.lan:{port}/open")).await;
    assert_eq!((status, body.as_str()), (200, "open to all"));
    // Looked up once: what was judged is what was connected to.
    assert_eq!(bench.names.asked.load(Ordering::SeqCst), 1);
    for line in [
        "GET http://meta.lan/",
        "CONNECT meta.lan:80",
        "CONNECT 169.254.169.254:80",
    ] {
        assert_eq!(bench.ask(line).await.0, 403, "{line}");
    }
    // Another service of the same host stays out of reach.
    let (other, visitors) = service().await;
    assert_eq!(bench.ask(&format!("CONNECT npm.lan:{other}")).await.0, 403);
    assert_eq!(visitors.load(Ordering::SeqCst), 0);
    bench.close().await;
}

#[tokio::test]
async fn a_registry_cannot_send_an_install_inside() {
    let registry = Registry::http().await;
    let bench = Bench::open(Setting {
        npmrc: &format!(
            "{}@x:registry=http://127.0.0.1:9/\n",
            registry.npmrc().replace("localhost", "npm.lan")
        ),
        names: &[("npm.lan", "127.0.0.1")],
        ..Setting::default()
    })
    .await;
    let base = registry.base().replace("localhost", "npm.lan");
    let client = bench.client();
    let answer = client
        .get(format!("{base}/redirect/in"))
        .send()
        .await
        .expect("an answer");
    assert!(answer.headers().get("set-cookie").is_none());
    let answer = client
        .get(format!("{base}/redirect/out"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 502);
    bench.close().await;
}
