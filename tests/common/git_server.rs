//! A real git server on loopback: `git http-backend` as a CGI program behind a
//! small HTTP server that can also redirect, ask for a password and hang.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt;

pub(crate) struct GitServer {
    inner: Arc<Inner>,
    port: u16,
    _serving: tokio_util::task::AbortOnDropHandle<()>,
}

struct Inner {
    folder: tempfile::TempDir,
    seen: Mutex<Vec<Seen>>,
    /// A request has been added to `seen`.
    arrived: tokio::sync::Notify,
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    /// Path prefixes and where they redirect to.
    redirects: HashMap<String, String>,
    /// The same, but only for git itself, which names its protocol version.
    late_redirects: HashMap<String, String>,
    /// `user:password`.
    login: Option<String>,
    /// Requests of git itself are never answered.
    hang: bool,
}

/// A request that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) user_agent: String,
}

impl GitServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let inner = Arc::new(Inner {
            folder: tempfile::tempdir().expect("a folder"),
            seen: Mutex::default(),
            arrived: tokio::sync::Notify::new(),
            rules: Mutex::default(),
        });
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("serving");
        });
        Self {
            inner,
            port,
            _serving: tokio_util::task::AbortOnDropHandle::new(serving),
        }
    }

    /// `host:port`, as `SOURCE_ALLOWED_HOSTS` takes it.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.host())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().expect("unpoisoned").clone()
    }

    pub(crate) fn redirect(&self, path: &str, to: &str) {
        let mut rules = self.inner.rules.lock().expect("unpoisoned");
        rules.redirects.insert(path.to_owned(), to.to_owned());
    }

    pub(crate) fn redirect_git_itself(&self, path: &str, to: &str) {
        let mut rules = self.inner.rules.lock().expect("unpoisoned");
        rules.late_redirects.insert(path.to_owned(), to.to_owned());
    }

    pub(crate) fn require_login(&self, login: &str) {
        self.inner.rules.lock().expect("unpoisoned").login = Some(login.to_owned());
    }

    /// Whether git itself gets no answer.
    pub(crate) fn hang(&self, hang: bool) {
        self.inner.rules.lock().expect("unpoisoned").hang = hang;
    }

    /// Returns once git itself has asked something.
    pub(crate) async fn asked_by_git(&self) {
        let asked = || {
            let seen = self.inner.seen.lock().expect("unpoisoned");
            seen.iter()
                .any(|seen| !seen.user_agent.contains("HiveSync"))
        };
        while !asked() {
            self.inner.arrived.notified().await;
        }
    }

    /// A new repository with one commit on `main`.
    pub(crate) fn repository(&self, name: &str) -> Work {
        let bare = self.inner.folder.path().join(format!("{name}.git"));
        let tree = self.inner.folder.path().join(format!("{name}.work"));
        let work = Work { bare, tree };
        std::fs::create_dir(&work.tree).expect("made");
        git_in(&work.tree, &["init", "--quiet", "--initial-branch=main"]);
        work.write("index.html", "<h1>one</h1>");
        work.commit("One");
        git_in(
            &work.tree,
            &[
                "clone",
                "--quiet",
                "--bare",
                ".",
                work.bare.to_str().expect("text"),
            ],
        );
        work.git(&["remote", "add", "origin", work.bare.to_str().expect("text")]);
        work
    }
}

/// A developer's clone of a served repository.
pub(crate) struct Work {
    bare: PathBuf,
    tree: PathBuf,
}

impl Work {
    pub(crate) fn tree(&self) -> &Path {
        &self.tree
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.tree.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub(crate) fn commit(&self, subject: &str) -> String {
        self.git(&["add", "--all", "--force"]);
        self.commit_index(subject)
    }

    pub(crate) fn commit_index(&self, subject: &str) -> String {
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Makes the served repository like this clone.
    pub(crate) fn push(&self) {
        self.git(&["push", "--quiet", "--mirror", "origin"]);
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git_in(&self.tree, args)
    }

    /// A tree object of these lines, in the form of `git ls-tree`: also one
    /// that no index would give.
    pub(crate) fn tree_of(&self, lines: &str) -> String {
        let mut list = tempfile::tempfile().expect("a temporary file");
        list.write_all(lines.as_bytes()).expect("written");
        list.seek(SeekFrom::Start(0)).expect("rewound");
        let output = Command::new("git")
            .current_dir(&self.tree)
            .arg("mktree")
            .stdin(list)
            .output()
            .expect("git mktree");
        let id = String::from_utf8(output.stdout).expect("text");
        id.trim().to_owned()
    }

    pub(crate) fn git_served(&self, args: &[&str]) -> String {
        git_in(&self.bare, args)
    }
}

pub(crate) fn git_in(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Test")
        .env("GIT_AUTHOR_EMAIL", "test@example.com")
        .env("GIT_COMMITTER_NAME", "Test")
        .env("GIT_COMMITTER_EMAIL", "test@example.com")
        .args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"])
        .args(args)
        .output()
        .expect("git");
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout)
        .expect("text")
        .trim()
        .to_owned()
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let authorization = text("authorization");
    let git_itself = text("git-protocol").is_some();
    inner.seen.lock().expect("unpoisoned").push(Seen {
        path: path.clone(),
        authorization: authorization.clone(),
        user_agent: text("user-agent").unwrap_or_default(),
    });
    inner.arrived.notify_one();
    let (redirect, login, hang) = {
        let rules = inner.rules.lock().expect("unpoisoned");
        let find = |map: &HashMap<String, String>| {
            map.iter().find_map(|(from, to)| {
                path.strip_prefix(from.as_str())
                    .map(|rest| format!("{to}{rest}?{query}"))
            })
        };
        let late = find(&rules.late_redirects).filter(|_| git_itself);
        let redirect = late.or_else(|| find(&rules.redirects));
        (redirect, rules.login.clone(), rules.hang && git_itself)
    };
    if hang {
        std::future::pending::<()>().await;
    }
    if let Some(to) = redirect {
        return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
    }
    if let Some(login) = login {
        let expected = format!("Basic {}", data_encoding::BASE64.encode(login.as_bytes()));
        if authorization != Some(expected) {
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
            return (StatusCode::UNAUTHORIZED, ask).into_response();
        }
    }
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let method = parts.method.as_str().to_owned();
    cgi(&inner, &method, &path, &query, &parts.headers, body).await
}

async fn cgi(
    inner: &Inner,
    method: &str,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let header_text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", inner.folder.path())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header_text("content-type"))
        .env("HTTP_CONTENT_ENCODING", header_text("content-encoding"))
        .env("GIT_PROTOCOL", header_text("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git http-backend");
    let mut stdin = child.stdin.take().expect("piped");
    let feed = tokio::spawn(async move {
        let _ = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await.expect("an answer");
    feed.await.expect("fed");
    let split = output
        .stdout
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a CGI answer");
    let head = String::from_utf8_lossy(&output.stdout[..split]).into_owned();
    let mut response = Response::builder();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        response = if name.eq_ignore_ascii_case("status") {
            response.status(value.split(' ').next().unwrap_or(value))
        } else {
            response.header(name, value)
        };
    }
    response
        .body(output.stdout[split + 4..].to_vec().into())
        .expect("a response")
}
