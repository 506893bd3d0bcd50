//! A registry of one package, on loopback, that writes down what it is asked.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// What a registry wants to be told.
pub(crate) const TOKEN: &str = "npm_Tk7QbVw2fake9Rr0Zz";
pub(crate) const PACKAGE: &str = "@corp/sauce";

/// One request: its line, and what it said in `Authorization`.
pub(crate) type Asked = (String, Option<String>);

pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    /// The CA that its certificate is of; `None`: it speaks http.
    pub(crate) ca: Option<String>,
    inner: Arc<Inner>,
    serving: AbortHandle,
}

struct Inner {
    base: String,
    tarball: Bytes,
    asked: Mutex<Vec<Asked>>,
    /// The names of each request's headers, in order.
    headers: Mutex<Vec<Vec<String>>>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Registry {
    pub(crate) async fn http() -> Self {
        Self::start(None).await
    }

    /// Its certificate is for `localhost`.
    pub(crate) async fn https() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a CA");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["localhost".to_owned()])
            .and_then(|params| params.signed_by(&key, &issuer))
            .expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("a TLS server");
        Self::start(Some((ca.pem(), TlsAcceptor::from(Arc::new(config))))).await
    }

    async fn start(tls: Option<(String, TlsAcceptor)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (ca, acceptor) = tls.unzip();
        let scheme = if ca.is_some() { "https" } else { "http" };
        let inner = Arc::new(Inner {
            // Programs check certificates of bare addresses in odd ways.
            base: format!("{scheme}://localhost:{}", address.port()),
            tarball: tarball(address),
            asked: Mutex::default(),
            headers: Mutex::default(),
        });
        let shared = Arc::clone(&inner);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (inner, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(inner, stream).await;
                            }
                        }
                        None => serve(inner, stream).await,
                    }
                });
            }
        });
        Self {
            address,
            ca,
            inner,
            serving: serving.abort_handle(),
        }
    }

    /// Without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.inner.base
    }

    /// The lines of a `BUILD_NPMRC` that name it for `@corp`, with its token.
    pub(crate) fn npmrc(&self) -> String {
        let port = self.address.port();
        format!(
            "@corp:registry={}/\n//localhost:{port}/:_authToken={TOKEN}\n",
            self.base()
        )
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().expect("unpoisoned").clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|(line, _)| line).collect()
    }

    pub(crate) fn headers(&self) -> Vec<Vec<String>> {
        self.inner.headers.lock().expect("unpoisoned").clone()
    }

    pub(crate) fn integrity(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA512, &self.inner.tarball);
        let text = data_encoding::BASE64.encode(digest.as_ref());
        format!("sha512-{text}")
    }

    pub(crate) fn tarball_url(&self) -> String {
        format!("{}/{PACKAGE}/-/sauce-1.0.0.tgz", self.base())
    }
}

async fn serve(inner: Arc<Inner>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = inner.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Inner {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let authorization = request
            .headers()
            .get("authorization")
            .map(|value| value.to_str().expect("text").to_owned());
        let mut names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
        names.sort();
        self.headers.lock().expect("unpoisoned").push(names);
        let path = request.uri().path().to_owned();
        let line = format!("{} {path}", request.method());
        let known = authorization.as_deref() == Some(&format!("Bearer {TOKEN}"));
        self.asked
            .lock()
            .expect("unpoisoned")
            .push((line, authorization));
        let plain = path.replace("%2f", "/").replace("%2F", "/");
        match plain.as_str() {
            "/open" => answer(200, "open to all"),
            // Where no install may come.
            "/redirect/out" => redirect("http://127.0.0.1:9/stolen"),
            "/redirect/in" => redirect("/open"),
            "/redirect/beside" => redirect("http://localhost:9/taken"),
            "/redirect/account" => redirect("/-/whoami"),
            _ if !known => answer(401, "who are you?"),
            "/@corp/sauce" => Response::new(Full::from(self.packument())),
            "/@corp/sauce/-/sauce-1.0.0.tgz" => Response::new(Full::new(self.tarball.clone())),
            _ => answer(404, "no such package"),
        }
    }

    fn packument(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA512, &self.tarball);
        let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.tarball);
        json!({
            "name": PACKAGE,
            "dist-tags": { "latest": "1.0.0" },
            "time": { "1.0.0": "2020-01-01T00:00:00.000Z" },
            "versions": { "1.0.0": {
                "name": PACKAGE,
                "version": "1.0.0",
                "dist": {
                    "tarball": format!("{}/{PACKAGE}/-/sauce-1.0.0.tgz", self.base),
                    "shasum": data_encoding::HEXLOWER.encode(sha1.as_ref()),
                    "integrity": format!(
                        "sha512-{}",
                        data_encoding::BASE64.encode(digest.as_ref())
                    ),
                },
            }},
        })
        .to_string()
    }
}

fn answer(status: u16, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

fn redirect(to: &str) -> Response<Full<Bytes>> {
    let mut answer = answer(302, "");
    let headers = answer.headers_mut();
    headers.insert("location", to.parse().expect("an address"));
    headers.insert("set-cookie", "session=secret".parse().expect("a cookie"));
    answer
}

/// No two registries have the same: what a cache has of one is not another's.
fn tarball(of: SocketAddr) -> Bytes {
    let main = format!("module.exports = 'the secret sauce'; // of {of}\n");
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in [
        (
            "package/package.json",
            r#"{"name": "@corp/sauce", "version": "1.0.0", "main": "index.js"}"#,
        ),
        ("package/index.js", main.as_str()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, text.as_bytes())
            .expect("an entry");
    }
    let mut gzip = tar.into_inner().expect("a tar");
    gzip.flush().expect("all of it");
    Bytes::from(gzip.finish().expect("a gzip"))
}
