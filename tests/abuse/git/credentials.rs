//! A credential is told to its own host and to nobody else: no redirect, no
//! file, no error, no list of processes.

use hivesync::git::Credential;

use super::{Linked, allowing, fetch};
use crate::git_server::GitServer;
use crate::sources::{Bench, files_below};

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
    let linked = Linked::new().await;
    linked.server.require_login("ada:s3cr3t/word");

    let failure = linked.fetch().await.expect_err("none");
    let told = failure.error.message;
    assert!(told.contains("wants a login"), "{told}");
    let wrong = Credential::new("ada", "wr0ng/word");
    let failure = linked.fetch_as(&wrong).await.expect_err("wrong");
    assert!(!failure.transient);
    let told = failure.error.chain();
    assert!(told.contains("refuses the stored credential"), "{told}");
    assert!(!told.contains("wr0ng"), "{told}");

    let right = Credential::new("ada", "s3cr3t/word");
    let fetched = linked.fetch_as(&right).await.expect("fetched");
    assert_eq!(fetched.commit, linked.work.git(&["rev-parse", "main"]));
    let secrets = [
        "s3cr3t".to_owned(),
        data_encoding::BASE64.encode(b"ada:s3cr3t/word"),
    ];
    for path in files_below(&linked.bench.repo()) {
        let bytes = std::fs::read(&path).expect("readable");
        let text = String::from_utf8_lossy(&bytes);
        let told = secrets.iter().any(|secret| text.contains(secret));
        assert!(!told, "{}", path.display());
    }
}

#[tokio::test]
async fn a_credential_is_not_among_the_arguments() {
    let linked = Linked::with(|limits| limits.git_timeout *= 10).await;
    linked.server.hang(true);
    let credential = Credential::new("ada", "s3cr3t-argument");
    let url = linked.server.url("app");
    let encoded = data_encoding::BASE64.encode(b"ada:s3cr3t-argument");
    let look = async {
        // It runs and waits for an answer.
        linked.server.asked_by_git().await;
        let mut of_git = 0;
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
                continue;
            };
            let line = String::from_utf8_lossy(&line);
            of_git += usize::from(line.contains(&url));
            let told = line.contains("s3cr3t-argument") || line.contains(&encoded);
            assert!(!told, "{line}");
        }
        assert!(of_git > 0, "git is running");
    };
    tokio::select! {
        outcome = linked.fetch_as(&credential) => panic!("{outcome:?}"),
        () = look => {}
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
