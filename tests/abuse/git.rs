//! Repository URLs that are more than they seem, and repositories that want to
//! do more than be read.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hivesync::config::SourceLimits;
use hivesync::error::Code;
use hivesync::git::{Credential, EntryKind, FetchError, Fetched, Link, Remote, Repos};
use hivesync::net::resolve::Resolver;

use crate::git_server::GitServer;
use crate::sources::{Bench, PROJECT, files_below, limits};

fn allowing(hosts: &[String]) -> SourceLimits {
    let mut limits = limits();
    limits.allowed_hosts = hosts.to_vec();
    limits
}

async fn fetch(
    bench: &Bench,
    url: &str,
    allowed: &[String],
    credential: Option<&Credential>,
) -> Result<Fetched, FetchError> {
    let remote = Remote::parse(url, allowed)?;
    let link = Link {
        remote: &remote,
        branch: None,
        credential,
    };
    bench.repos.fetch(PROJECT, &link).await
}

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

#[test]
fn urls_that_run_commands_or_read_files_are_refused() {
    for (url, why) in [
        ("ext::sh -c 'touch /tmp/x'", "space"),
        ("ext::sh%20-c%20id", "transport helpers"),
        ("fd::17", "transport helpers"),
        ("https::https://example.com/a", "transport helpers"),
        ("file:///etc", "files of the server"),
        ("/etc", "files of the server"),
        ("../other", "files of the server"),
        ("--upload-pack=touch /tmp/x", "space"),
        ("--upload-pack=id", "dash"),
        ("-oProxyCommand=id", "dash"),
        ("ssh://-oProxyCommand=id/x", "ssh"),
        ("ssh://git@example.com/a.git", "ssh"),
        ("git@example.com:a/b.git", "ssh"),
        ("git://example.com/a.git", "only repositories behind https"),
        ("ftp://example.com/a.git", "only repositories behind https"),
        ("http://example.com/a.git", "plain http"),
        ("https://user:secret@example.com/a.git", "source.credential"),
        ("https://token@example.com/a.git", "source.credential"),
        ("https://example.com/a.git?x=1", "leave out"),
        ("https://example.com/a.git#x", "leave out"),
        ("https://example.com/a\r\nHost: evil", "control character"),
        (
            "https://example.com/a%0d%0aHost:%20evil",
            "control character",
        ),
        ("https://example.com/a%00b", "control character"),
        ("https://", "not a URL"),
        ("", "not a URL"),
        ("nonsense", "not a URL"),
    ] {
        let error = Remote::parse(url, &[]).expect_err(url);
        assert_eq!(error.code, Code::InvalidInput, "{url}");
        assert_eq!(error.details["field"], "source.url");
        assert!(error.message.contains(why), "{url}: {error}");
        assert!(!error.message.contains("secret"), "{error}");
    }
    assert!(Remote::parse(&format!("https://h/{}", "a".repeat(3000)), &[]).is_err());
}

#[test]
fn forbidden_addresses_are_refused_before_anything_is_asked() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
        "255.255.255.255",
    ] {
        let url = format!("https://{host}/a.git");
        let error = Remote::parse(&url, &[]).expect_err(&url);
        assert_eq!(error.code, Code::InvalidInput, "{url}");
        assert!(
            error.message.contains("SOURCE_ALLOWED_HOSTS"),
            "{url}: {error}"
        );
    }
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
    let server = GitServer::start().await;
    server.repository("app");
    let inside = GitServer::start().await;
    inside.repository("app");
    server.redirect_git_itself("/app.git", &inside.url("app"));
    let allowed = [server.host()];
    let bench = Bench::with(&allowing(&allowed));
    let failure = fetch(&bench, &server.url("app"), &allowed, None).await;
    let failure = failure.expect_err("refused");
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
    let server = GitServer::start().await;
    let work = server.repository("app");
    server.redirect("/old/name.git", &server.url("app"));
    let allowed = [server.host()];
    let bench = Bench::with(&allowing(&allowed));
    let url = format!("http://{}/old/name.git", server.host());
    let fetched = fetch(&bench, &url, &allowed, None).await.expect("fetched");
    assert_eq!(fetched.commit, work.git(&["rev-parse", "main"]));
}

#[tokio::test]
async fn a_credential_is_told_to_its_own_host_only() {
    let server = GitServer::start().await;
    server.require_login("ada:s3cr3t/word");
    let other = GitServer::start().await;
    other.repository("app");
    server.redirect("/app.git", &other.url("app"));
    let allowed = [server.host(), other.host()];
    let bench = Bench::with(&allowing(&allowed));
    let credential = Credential::new("ada", "s3cr3t/word");
    fetch(&bench, &server.url("app"), &allowed, Some(&credential))
        .await
        .expect("fetched from the other host");
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.authorization.is_some())
    );
    assert!(!other.seen().is_empty());
    for seen in other.seen() {
        assert_eq!(seen.authorization, None, "{seen:?}");
    }
}

#[tokio::test]
async fn a_private_repository_needs_its_credential() {
    let server = GitServer::start().await;
    let work = server.repository("app");
    server.require_login("ada:s3cr3t/word");
    let allowed = [server.host()];
    let bench = Bench::with(&allowing(&allowed));
    let url = server.url("app");

    let failure = fetch(&bench, &url, &allowed, None).await.expect_err("none");
    assert!(
        failure.error.message.contains("wants a login"),
        "{}",
        failure.error
    );
    let wrong = Credential::new("ada", "wr0ng/word");
    let failure = fetch(&bench, &url, &allowed, Some(&wrong)).await;
    let failure = failure.expect_err("wrong");
    assert!(!failure.transient);
    let told = failure.error.chain();
    assert!(told.contains("refuses the stored credential"), "{told}");
    assert!(!told.contains("wr0ng"), "{told}");

    let right = Credential::new("ada", "s3cr3t/word");
    let fetched = fetch(&bench, &url, &allowed, Some(&right)).await;
    assert_eq!(
        fetched.expect("fetched").commit,
        work.git(&["rev-parse", "main"])
    );
    let secrets = [
        "s3cr3t".to_owned(),
        data_encoding::BASE64.encode(b"ada:s3cr3t/word"),
    ];
    for path in files_below(&bench.repo()) {
        let bytes = std::fs::read(&path).expect("readable");
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !secrets.iter().any(|secret| text.contains(secret)),
            "{path:?}"
        );
    }
}

#[tokio::test]
async fn a_credential_is_not_among_the_arguments() {
    let server = GitServer::start().await;
    server.repository("app");
    server.hang(true);
    let allowed = [server.host()];
    let mut limits = allowing(&allowed);
    limits.git_timeout = Duration::from_mins(10);
    let bench = Bench::with(&limits);
    let credential = Credential::new("ada", "s3cr3t-argument");
    let url = server.url("app");
    let encoded = data_encoding::BASE64.encode(b"ada:s3cr3t-argument");
    let look = async {
        // It runs and waits for an answer.
        server.asked_by_git().await;
        let mut of_git = 0;
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
                continue;
            };
            let line = String::from_utf8_lossy(&line);
            of_git += usize::from(line.contains(&url));
            assert!(
                !line.contains("s3cr3t-argument") && !line.contains(&encoded),
                "{line}"
            );
        }
        assert!(of_git > 0, "git is running");
    };
    tokio::select! {
        outcome = fetch(&bench, &url, &allowed, Some(&credential)) => panic!("{outcome:?}"),
        () = look => {}
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let server = GitServer::start().await;
    server.repository("app");
    server.hang(true);
    let allowed = [server.host()];
    let mut limits = allowing(&allowed);
    limits.git_timeout = Duration::from_millis(300);
    let bench = Bench::with(&limits);
    let failure = fetch(&bench, &server.url("app"), &allowed, None).await;
    let failure = failure.expect_err("given up");
    assert_eq!(failure.error.code, Code::SourceUnavailable);
    assert!(failure.transient);
    assert!(failure.error.message.contains("GIT_TIMEOUT_SECONDS"));
    bench.assert_nothing_written();
}

#[tokio::test]
async fn a_repository_that_is_too_large_is_given_up() {
    let server = GitServer::start().await;
    server.repository("app");
    let allowed = [server.host()];
    let mut limits = allowing(&allowed);
    limits.max_repo_bytes = 10;
    let bench = Bench::with(&limits);
    let failure = fetch(&bench, &server.url("app"), &allowed, None).await;
    let failure = failure.expect_err("given up");
    assert!(
        failure.error.message.contains("GIT_MAX_REPO_MB"),
        "{}",
        failure.error
    );
    assert!(!failure.transient);
}

#[tokio::test]
async fn submodules_are_neither_fetched_nor_checked_out() {
    let server = GitServer::start().await;
    let inside = GitServer::start().await;
    inside.repository("inside");
    let work = server.repository("app");
    work.write(
        ".gitmodules",
        &format!(
            "[submodule \"sub\"]\n\tpath = sub\n\turl = {}\n",
            inside.url("inside")
        ),
    );
    work.git(&["add", ".gitmodules"]);
    let id = work.git(&["rev-parse", "HEAD"]);
    work.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{id},sub"),
    ]);
    let commit = work.commit_index("With a submodule");
    work.push();
    let allowed = [server.host(), inside.host()];
    let bench = Bench::with(&allowing(&allowed));
    fetch(&bench, &server.url("app"), &allowed, None)
        .await
        .expect("fetched");
    let into = bench.folder.path().join("out");
    std::fs::create_dir(&into).expect("made");
    let checkout = bench.repos.checkout(PROJECT, &commit, &into).await;
    assert_eq!(checkout.expect("a checkout").submodules, ["sub"]);
    assert!(into.join("sub").is_dir());
    assert!(files_below(&into.join("sub")).is_empty());
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn hooks_and_filters_do_not_run() {
    let server = GitServer::start().await;
    let work = server.repository("app");
    let bench_folder = tempfile::tempdir().expect("a folder");
    let marker = bench_folder.path().join("ran");
    work.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
    work.write("a.txt", "plain");
    let commit = work.commit("With filters");
    work.push();
    let allowed = [server.host()];
    let bench = Bench::with(&allowing(&allowed));
    fetch(&bench, &server.url("app"), &allowed, None)
        .await
        .expect("fetched");
    // Even where somebody has put hooks into the repository itself.
    let hooks = bench.repo().join("hooks");
    std::fs::create_dir_all(&hooks).expect("made");
    for hook in [
        "reference-transaction",
        "post-checkout",
        "post-index-change",
        "pre-auto-gc",
    ] {
        let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
        std::fs::write(hooks.join(hook), script).expect("written");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(hooks.join(hook), executable).expect("executable");
    }
    work.write("b.txt", "new");
    work.commit("More");
    work.push();
    fetch(&bench, &server.url("app"), &allowed, None)
        .await
        .expect("fetched");
    let into = bench.folder.path().join("out");
    std::fs::create_dir(&into).expect("made");
    bench
        .repos
        .checkout(PROJECT, &commit, &into)
        .await
        .expect("a checkout");
    assert_eq!(
        std::fs::read_to_string(into.join("a.txt")).expect("read"),
        "plain"
    );
    assert!(!marker.exists());
}

#[tokio::test]
async fn links_that_lead_outside_are_not_checked_out() {
    let server = GitServer::start().await;
    let work = server.repository("app");
    for (target, link) in [
        ("/etc/passwd", "absolute"),
        ("../../secret", "climbing"),
        ("sub/../../x", "winding"),
        (".git/config", "repository"),
        ("index.html", "inner"),
    ] {
        symlink(target, work.tree().join(link)).expect("linked");
    }
    let commit = work.commit("With links");
    work.push();
    let allowed = [server.host()];
    let bench = Bench::with(&allowing(&allowed));
    fetch(&bench, &server.url("app"), &allowed, None)
        .await
        .expect("fetched");
    let into = bench.folder.path().join("out");
    std::fs::create_dir(&into).expect("made");
    let checkout = bench.repos.checkout(PROJECT, &commit, &into).await;
    let checkout = checkout.expect("a checkout");
    assert_eq!(
        checkout.left_out,
        ["absolute", "climbing", "repository", "winding"]
    );
    let mut names: Vec<_> = std::fs::read_dir(&into)
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["index.html", "inner"]);
    // Shown, but as what it is.
    let shown = bench
        .repos
        .file(PROJECT, &commit, "absolute")
        .await
        .expect("shown");
    assert_eq!(
        (shown.kind, shown.content.as_slice()),
        (EntryKind::Symlink, b"/etc/passwd".as_slice())
    );
}

#[tokio::test]
async fn a_tree_that_multiplies_is_not_checked_out() {
    let server = GitServer::start().await;
    let work = server.repository("app");
    // Ten levels of ten folders, all the same: ten objects, 10^10 files.
    let mut tree = work.git(&["rev-parse", "HEAD^{tree}"]);
    for _ in 0..10 {
        let lines: Vec<String> = (0..10)
            .map(|n| format!("040000 tree {tree}\td{n}\n"))
            .collect();
        let list = work.tree().join("list");
        std::fs::write(&list, lines.concat()).expect("written");
        let output = std::process::Command::new("git")
            .current_dir(work.tree())
            .arg("mktree")
            .stdin(std::fs::File::open(&list).expect("open"))
            .output()
            .expect("git mktree");
        tree = String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned();
    }
    let commit = work.git(&["commit-tree", "-m", "bomb", &tree]);
    work.git(&["update-ref", "refs/heads/main", &commit]);
    work.push();
    let allowed = [server.host()];
    let bench = Bench::with(&allowing(&allowed));
    fetch(&bench, &server.url("app"), &allowed, None)
        .await
        .expect("fetched");
    let into = bench.folder.path().join("out");
    std::fs::create_dir(&into).expect("made");
    let error = bench.repos.checkout(PROJECT, &commit, &into).await;
    assert_eq!(error.expect_err("a bomb").code, Code::SourceUnavailable);
    assert!(files_below(&into).is_empty());
}

#[tokio::test]
async fn a_tree_with_a_git_folder_in_it_is_not_fetched() {
    let server = GitServer::start().await;
    let work = server.repository("app");
    let blob = work.git(&["hash-object", "-w", "index.html"]);
    let list = work.tree().join("list");
    for name in [".git", ".GIT", "..", "git~1"] {
        std::fs::write(&list, format!("100644 blob {blob}\t{name}\n")).expect("written");
        let output = std::process::Command::new("git")
            .current_dir(work.tree())
            .arg("mktree")
            .stdin(std::fs::File::open(&list).expect("open"))
            .output()
            .expect("git mktree");
        let tree = String::from_utf8(output.stdout).expect("text");
        let commit = work.git(&["commit-tree", "-m", "evil", tree.trim()]);
        work.git(&["update-ref", "refs/heads/main", &commit]);
        work.push();
        let allowed = [server.host()];
        let bench = Bench::with(&allowing(&allowed));
        let outcome = fetch(&bench, &server.url("app"), &allowed, None).await;
        if let Err(failure) = outcome {
            assert_eq!(failure.error.code, Code::SourceUnavailable, "{name}");
            continue;
        }
        let into = bench.folder.path().join("out");
        std::fs::create_dir(&into).expect("made");
        let error = bench.repos.checkout(PROJECT, &commit, &into).await;
        assert_eq!(
            error.expect_err(name).code,
            Code::SourceUnavailable,
            "{name}"
        );
        assert!(files_below(&into).is_empty());
    }
}

#[tokio::test]
async fn a_withheld_credential_is_explained() {
    let server = GitServer::start().await;
    let other = GitServer::start().await;
    other.repository("app");
    other.require_login("ada:s3cr3t");
    server.redirect("/app.git", &other.url("app"));
    let allowed = [server.host(), other.host()];
    let bench = Bench::with(&allowing(&allowed));
    let credential = Credential::new("ada", "s3cr3t");
    let failure = fetch(&bench, &server.url("app"), &allowed, Some(&credential)).await;
    let failure = failure.expect_err("withheld");
    assert!(
        failure.error.message.contains("final URL"),
        "{}",
        failure.error
    );
    assert!(other.seen().iter().all(|seen| seen.authorization.is_none()));
}
