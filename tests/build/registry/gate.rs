//! The proxy by itself: asked over its port, as a package manager asks it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64;
use hivesync::bundle::log::{BuildLog, LogWriter};
use hivesync::bundle::npmrc::Npmrc;
use hivesync::bundle::redact::Redactor;
use hivesync::bundle::registry::{Gate, Limits, Place, Registries};
use hivesync::bundle::sandbox::WayOut;
use hivesync::clock::SystemEntropy;
use hivesync::net::resolve::Resolver;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use url::Url;

use super::fake::{PACKAGE, Registry, TOKEN};
use crate::common;

/// Every name that a test uses, and nothing of the machine's.
struct Names {
    known: HashMap<String, Vec<IpAddr>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let known = self.known.get(host).ok_or(io::ErrorKind::NotFound)?;
        Ok(known.iter().map(|ip| (*ip, port).into()).collect())
    }
}

struct Bench {
    gate: Gate,
    names: Arc<Names>,
    log: BuildLog,
    writer: LogWriter,
    folder: tempfile::TempDir,
}

#[derive(Default)]
struct Setting<'a> {
    npmrc: &'a str,
    extra: &'a [&'a str],
    names: &'a [(&'a str, &'a str)],
    limits: Limits,
    socket: bool,
}

impl Bench {
    async fn open(setting: Setting<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut known: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (name, ip) in setting.names.iter().chain(&[("localhost", "127.0.0.1")]) {
            let ip = ip.parse().expect("an address");
            known.entry((*name).to_owned()).or_default().push(ip);
        }
        let names = Arc::new(Names {
            known,
            asked: AtomicUsize::new(0),
        });
        let npmrc = Npmrc::of(setting.npmrc);
        let secrets = npmrc.secrets();
        let (log, writer) = BuildLog::open(
            &folder.path().join("log"),
            1 << 20,
            Redactor::new(secrets.iter().map(String::as_str)),
            Box::new(|| Box::pin(async {})),
        )
        .await
        .expect("a log");
        let extra: Vec<String> = setting.extra.iter().map(ToString::to_string).collect();
        let registries = Registries::new(&extra, Arc::new(SystemEntropy::new()))
            .resolving_with(Arc::clone(&names) as Arc<dyn Resolver>)
            .limited_to(setting.limits);
        // Longer than an address of a Unix socket may be.
        let socket = folder.path().join("s".repeat(90));
        let place = if setting.socket {
            Place::Socket(&socket)
        } else {
            Place::Loopback
        };
        let gate = Gate::open(&registries, &npmrc, place, &log)
            .await
            .expect("a gate");
        Self {
            gate,
            names,
            log,
            writer,
            folder,
        }
    }

    fn port(&self) -> u16 {
        match self.gate.entrance() {
            WayOut::Port(port) => *port,
            WayOut::Socket(_) => panic!("a port was asked for"),
        }
    }

    /// The value of `Proxy-Authorization`.
    fn pass(&self) -> String {
        let url = Url::parse(&self.gate.url(1)).expect("an address");
        let pair = format!("{}:{}", url.username(), url.password().expect("a pass"));
        format!("Basic {}", BASE64.encode(pair.as_bytes()))
    }

    async fn connection(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port())).await;
        BufReader::new(stream.expect("the gate is open"))
    }

    /// Asks one thing on a connection of its own; answers the status and the
    /// body, if there is one.
    async fn ask(&self, line: &str) -> (u16, String) {
        let mut stream = self.connection().await;
        let request = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {}\r\nConnection: close\r\n\r\n",
            self.pass()
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it listens");
        answer(&mut stream).await
    }

    /// A tunnel that stands.
    async fn tunnel(&self, place: &str) -> BufReader<TcpStream> {
        let mut stream = self.connection().await;
        connect(&mut stream, place, &self.pass()).await;
        stream
    }

    /// A client that goes through the gate and believes what an install does.
    fn client(&self) -> reqwest::Client {
        let _ = common::client();
        let mut builder = reqwest::Client::builder()
            .timeout(common::DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .proxy(reqwest::Proxy::all(self.gate.url(self.port())).expect("a proxy"));
        if let Some(pem) = self.gate.certificate() {
            let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).expect("PEM");
            builder = builder.tls_certs_only([certificate]);
        }
        builder.build().expect("a client")
    }

    /// Closes the gate; answers the lines of the log.
    async fn close(self) -> Vec<String> {
        let Self {
            gate, log, writer, ..
        } = self;
        log.flush().await;
        let text = fs::read_to_string(self.folder.path().join("log")).expect("the log");
        drop(gate);
        drop(log);
        // Whatever still held the log was a connection of the gate.
        tokio::time::timeout(common::DEADLINE, writer.finish())
            .await
            .expect("the gate ends its connections");
        text.lines().map(str::to_owned).collect()
    }
}

async fn connect<S>(stream: &mut BufReader<S>, place: &str, pass: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request =
        format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nProxy-Authorization: {pass}\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it listens");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = stream.read_line(&mut head).await.expect("an answer");
        assert_ne!(read, 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let mut text = Vec::new();
    // A refusal may come with a reset behind it.
    let _ = stream.read_to_end(&mut text).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or(0), body.to_owned())
}

/// A service of the host's that no build may reach; counts who comes.
async fn service() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let visitors = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visitors);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(b"inner secret").await;
        }
    });
    (port, visitors)
}

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
    ] {
        assert_eq!(bench.ask(&line).await.0, refused, "{line}");
    }
    let (status, _) = bench.ask(&format!("GET {base}/redirect/in")).await;
    assert_eq!(status, 200);
    assert_eq!(
        registry.lines(),
        ["GET /@corp%2fsauce", "GET /redirect/in", "GET /open"]
    );
    let told = registry.asked().into_iter();
    for (line, said) in told {
        assert_eq!(said, Some(format!("Bearer {TOKEN}")), "{line}");
    }
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
async fn upstream_proxy(to: SocketAddr) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
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
        std::os::fd::AsRawFd::as_raw_fd(&folder),
        path.file_name().and_then(|n| n.to_str()).expect("a name")
    );
    let mut stream = BufReader::new(UnixStream::connect(short).await.expect("it listens"));
    let place = format!("localhost:{}", registry.address.port());
    connect(&mut stream, &place, &bench.pass()).await;
    drop(stream);
    bench.close().await;
}
