//! Names and redirects that lead to where nobody outside may look.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hivesync::config::SourceLimits;
use hivesync::error::Code;
use hivesync::git::Repos;
use hivesync::net::resolve::Resolver;

use super::{Linked, allowing, fetch};
use crate::git_server::GitServer;
use crate::sources::{Bench, limits};

/// Answers what the test says, and counts how often it was asked.
#[derive(Default)]
struct Names {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    /// One answer after the other; the last one for ever.
    fn answering(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |texts: &&[&str]| {
            texts
                .iter()
                .map(|t| t.parse().expect("an address"))
                .collect()
        };
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, _host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("unpoisoned");
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        Ok(answer.into_iter().map(|ip| (ip, port).into()).collect())
    }
}

fn with_names(limits: &SourceLimits, names: &Arc<Names>) -> Bench {
    let mut bench = Bench::with(limits);
    let resolver: Arc<dyn Resolver> = Arc::clone(names) as Arc<dyn Resolver>;
    bench.repos = Repos::new(&bench.data, limits).resolving_with(resolver);
    bench
}

#[tokio::test]
async fn names_that_lead_inside_are_refused_without_a_request() {
    let server = GitServer::start().await;
    server.repository("app");
    for answer in [
        ["127.0.0.1"].as_slice(),
        &["169.254.169.254"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::a9fe:a9fe"],
        // One bad address is enough, wherever it stands.
        &["1.1.1.1", "127.0.0.1"],
        &["127.0.0.1", "1.1.1.1"],
    ] {
        let names = Names::answering(&[answer]);
        let bench = with_names(&limits(), &names);
        let url = format!("https://innocent.test:{}/app.git", server.port());
        let failure = fetch(&bench, &url, &[], None).await.expect_err("refused");
        assert_eq!(failure.error.code, Code::InvalidInput, "{}", failure.error);
        assert!(!failure.transient);
        bench.assert_nothing_written();
    }
    assert!(server.seen().is_empty());
    // And by the machine's own name service.
    let bench = Bench::new();
    let url = format!("https://localhost:{}/app.git", server.port());
    let failure = fetch(&bench, &url, &[], None).await.expect_err("refused");
    assert_eq!(failure.error.code, Code::InvalidInput);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn git_goes_to_the_judged_address_whatever_the_name_says_later() {
    let server = GitServer::start().await;
    server.repository("app");
    // The system knows no such name, so only the pin can lead git there.
    let names = Names::answering(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let allowed = ["git.test".to_owned()];
    let bench = with_names(&allowing(&allowed), &names);
    let url = format!("http://git.test:{}/app.git", server.port());
    let fetched = fetch(&bench, &url, &allowed, None).await.expect("fetched");
    assert_eq!(fetched.branch, "main");
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
    assert!(
        server
            .seen()
            .iter()
            .any(|seen| seen.path.ends_with("git-upload-pack"))
    );
}

#[tokio::test]
async fn redirects_to_forbidden_places_are_not_followed() {
    let server = GitServer::start().await;
    let inside = GitServer::start().await;
    inside.repository("secret");
    let allowed = [server.host()];
    for (n, (to, why)) in [
        (format!("http://{}/secret.git", inside.host()), "plain http"),
        (format!("https://{}/secret.git", inside.host()), "address"),
        ("https://169.254.169.254/latest".to_owned(), "address"),
        ("https://[::ffff:127.0.0.1]/x".to_owned(), "address"),
        ("https://[64:ff9b::7f00:1]/x".to_owned(), "address"),
        ("file:///etc".to_owned(), "files of the server"),
        ("ssh://git@example.com/x".to_owned(), "ssh"),
        (
            "https://user:word@example.com/x".to_owned(),
            "user name or password",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/moved-{n}.git");
        server.redirect(&path, &to);
        let bench = Bench::with(&allowing(&allowed));
        let url = format!("http://{}{path}", server.host());
        let failure = fetch(&bench, &url, &allowed, None).await.expect_err(&to);
        assert_eq!(
            failure.error.code,
            Code::InvalidInput,
            "{to}: {}",
            failure.error
        );
        assert!(
            failure.error.message.contains(why),
            "{to}: {}",
            failure.error
        );
        assert!(!failure.transient);
        bench.assert_nothing_written();
    }
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_after_the_check_is_not_followed() {
    let linked = Linked::new().await;
    let inside = GitServer::start().await;
    inside.repository("app");
    linked
        .server
        .redirect_git_itself("/app.git", &inside.url("app"));
    let failure = linked.fetch().await.expect_err("refused");
    assert_eq!(failure.error.code, Code::SourceUnavailable);
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn endless_and_foreign_redirects_end() {
    let server = GitServer::start().await;
    let allowed = [server.host()];
    server.redirect("/loop.git", &server.url("loop"));
    server.redirect(
        "/page.git/info/refs",
        &format!("http://{}/login", server.host()),
    );
    for (name, why) in [("loop", "more than 5 times"), ("page", "not a repository")] {
        let bench = Bench::with(&allowing(&allowed));
        let failure = fetch(&bench, &server.url(name), &allowed, None).await;
        let failure = failure.expect_err(name);
        assert_eq!(failure.error.code, Code::SourceUnavailable);
        assert!(failure.error.message.contains(why), "{}", failure.error);
        assert!(!failure.transient);
    }
}

#[tokio::test]
async fn a_redirect_within_what_is_allowed_is_followed() {
    let linked = Linked::new().await;
    let server = &linked.server;
    server.redirect("/old/name.git", &server.url("app"));
    let url = format!("http://{}/old/name.git", server.host());
    let fetched = fetch(&linked.bench, &url, &linked.allowed, None).await;
    let main = linked.work.git(&["rev-parse", "main"]);
    assert_eq!(fetched.expect("fetched").commit, main);
}
