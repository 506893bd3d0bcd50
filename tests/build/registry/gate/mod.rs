//! The proxy by itself: asked over its port, as a package manager asks it.

mod credentials;
mod limits;
mod lists;
mod upstream;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use data_encoding::BASE64;
use hivesync::bundle::log::{BuildLog, LogWriter};
use hivesync::bundle::npmrc::Npmrc;
use hivesync::bundle::redact::Redactor;
use hivesync::bundle::registry::{Gate, Limits, Place, Registries};
use hivesync::bundle::sandbox::WayOut;
use hivesync::clock::SystemEntropy;
use hivesync::net::resolve::Resolver;
use hivesync::net::tls;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

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
        tls::choose_provider();
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
