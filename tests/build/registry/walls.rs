//! What the code that an install runs can reach beside the registries: nothing,
//! neither past the proxy nor through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hivesync::config::SandboxChoice;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;
use tokio::net::TcpListener;

use crate::builder::{Builder, Tree};

/// Tries every place in both ways; writes `name: how it went` for each.
const KNOCK: &str = r"
const http = require('http'), net = require('net'), fs = require('fs');
const proxy = new URL(process.env.HTTPS_PROXY);
const pass = 'Basic ' + Buffer.from(proxy.username + ':' + proxy.password).toString('base64');
const past = (host, port) => new Promise((done) => {
  const socket = net.connect({ host, port, timeout: 3000 }, () => done('reached'));
  socket.on('error', (e) => done(e.code)).on('timeout', () => done('silent'));
});
const through = (host, port) => new Promise((done) => {
  http.request({
    host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: `${host}:${port}`,
    headers: { 'Proxy-Authorization': pass },
  }).on('connect', (answer) => done(answer.statusCode)).on('error', (e) => done(e.code)).end();
});
(async () => {
  const out = [];
  for (const [host, port] of JSON.parse(process.argv[2])) {
    out.push(`${host} past: ${await past(host, port)} through: ${await through(host, port)}`);
  }
  fs.writeFileSync('found.txt', out.join('\n') + '\n');
  process.exit(0);
})();
";

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_install_script_reaches_nothing_but_registries() {
    knock(SandboxChoice::Isolated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_install_script_reaches_nothing_but_registries() {
    knock(SandboxChoice::Restricted).await;
}

async fn knock(sandbox: SandboxChoice) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let inner = listener.local_addr().expect("an address").port();
    let visitors = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visitors);
    let serving = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    // Listed by the operator, and leading to this machine: a name is no pass.
    let listed = format!("localhost:{inner}");
    let builder = Builder::with(|config| {
        config.builds.registries = vec![listed];
        config.builds.sandbox = sandbox;
    })
    .await;
    let server = builder.app().listening.get().expect("it listens").port();
    let places = format!(
        r#"[["127.0.0.1", {inner}], ["localhost", {inner}], ["127.0.0.1", {server}],
            ["169.254.169.254", 80], ["10.0.0.1", 443], ["192.168.0.1", 80], ["1.1.1.1", 443],
            ["example.com", 443], ["registry.npmjs.org", 22]]"#
    );
    let mut tree = Tree::of(&[
        (
            "package.json",
            r#"{"name": "a", "version": "1.0.0", "dependencies": {"ms": "2.1.3"},
                "scripts": {"postinstall": "node knock.js \"$(cat places.json)\"",
                            "build": "mkdir dist && cp found.txt dist/index.html"}}"#,
        ),
        ("knock.js", KNOCK),
    ]);
    tree.put("places.json", &places);
    let id = builder
        .project(ProjectConfig {
            install_scripts: true,
            ..ProjectConfig::default()
        })
        .await;
    let built = builder.build(id, &tree, Platform::Web).await;
    let found = built.text("dist/index.html");
    assert_eq!(found.lines().count(), 9, "{found}");
    for line in found.lines() {
        assert!(!line.contains("past: reached"), "{found}");
        assert!(line.ends_with("through: 403"), "{found}");
    }
    assert_eq!(visitors.load(Ordering::SeqCst), 0);
    for told in [
        "the install tried to reach example.com:443, which is not on this server's list",
        "the install tried to reach 169.254.169.254:80,",
        &format!("the install tried to reach localhost:{inner}, whose address is loopback"),
    ] {
        assert!(built.log.contains(told), "{}", built.log);
    }
    serving.abort();
    builder.stop().await;
}

/// Connects in the ways that a wall made for TCP's `connect` does not know.
const OTHER_WAYS: &str = r#"
use Socket;
my $there = sockaddr_in($ARGV[0], INADDR_LOOPBACK);
open(my $out, '>', 'found.txt');
my $mptcp = 262;
if (socket(my $s, PF_INET, SOCK_STREAM, $mptcp) && connect($s, $there)) { print $out "MPTCP
"; }
my $fast_open = 0x20000000;
if (socket(my $s, PF_INET, SOCK_STREAM, 0) && defined(send($s, "x", $fast_open, $there))) {
  print $out "TCP Fast Open
";
}
if (socket(my $s, PF_INET, SOCK_DGRAM, 0) && defined(send($s, "x", 0, $there))) { print $out "UDP
"; }
print $out "done
";
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_install_script_has_no_other_way_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let builder = Builder::with(|config| config.builds.sandbox = SandboxChoice::Restricted).await;
    let manifest = format!(
        r#"{{"name": "a", "version": "1.0.0", "dependencies": {{"ms": "2.1.3"}},
            "scripts": {{"postinstall": "perl knock.pl {port}",
                         "build": "mkdir dist && cp found.txt dist/index.html"}}}}"#
    );
    let tree = Tree::of(&[("package.json", &manifest), ("knock.pl", OTHER_WAYS)]);
    let id = builder
        .project(ProjectConfig {
            install_scripts: true,
            ..ProjectConfig::default()
        })
        .await;
    let built = builder.build(id, &tree, Platform::Web).await;
    assert_eq!(built.text("dist/index.html"), "done\n", "{}", built.log);
    builder.stop().await;
}

/// A project that asks for another registry is told why it gets nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_nobody_listed_is_named_in_the_log() {
    let builder = Builder::start().await;
    let id = builder.project(ProjectConfig::default()).await;
    let tree = Tree::of(&[
        (
            "package.json",
            r#"{"name": "a", "version": "1.0.0", "dependencies": {"@x/y": "1.0.0"},
                "scripts": {"build": "true"}}"#,
        ),
        (
            ".npmrc",
            "@x:registry=https://registry.evil.example/\nfetch-retries=0\n",
        ),
    ]);
    let (code, _, log) = builder.failure(id, &tree, Platform::Web).await;
    assert_eq!(code, "MISSING_DEPENDENCIES");
    let told = "the install tried to reach registry.evil.example:443, which is not on";
    assert_eq!(log.matches(told).count(), 1, "{log}");
    assert!(log.contains("BUILD_REGISTRIES"), "{log}");
    builder.stop().await;
}
