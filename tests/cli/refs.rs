//! `hivesync preview --ref`: of repositories and folders that are brought in
//! before the build.

use serde_json::{Value, json};

use crate::client::{Session, create_user};
use crate::git_server::GitServer;
use crate::preview::{client, login, run};
use crate::process::{Home, Ran, Serving};

/// A project of `source`, on a server with these settings.
async fn project(source: Value, settings: &[(&str, &str)]) -> (Home, Serving) {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.envs(settings.iter().copied());
    let server = Serving::start(command);
    create_user(&home, "ada", "user").expect(0);
    login(&home, &server).expect(0);
    let session = Session::open(&server, "ada").await;
    let body = json!({"name": "shop", "source": source});
    session.post("/projects", &body, 201).await;
    (home, server)
}

/// `hivesync preview --project shop` with more arguments.
fn preview(home: &Home, server: &Serving, more: &[&str]) -> Ran {
    let arguments = [&["preview", "--project", "shop", "--no-qr"], more].concat();
    run(client(home, server, &arguments))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_built_for_what_it_is() {
    let git = GitServer::start().await;
    let work = git.repository("shop");
    let source = json!({"kind": "git", "url": git.url("shop")});
    let host = git.host();
    let (home, server) = project(source, &[("SOURCE_ALLOWED_HOSTS", &host)]).await;
    work.write("index.html", "<h1>one</h1>");
    work.commit("One");
    work.push();
    let told = preview(&home, &server, &["--ref", "main"]).expect(0);
    assert!(told.stderr.contains("Building for web"), "{told:#?}");
    assert!(told.stdout.contains("web: ready"), "{told:#?}");

    // Where the app is, the repository's own file says.
    work.write("hivesync.toml", "root = 'apps/mobile'\n");
    let manifest = r#"{"dependencies": {"expo": "56.0.0"}}"#;
    work.write("apps/mobile/package.json", manifest);
    work.commit("An app");
    work.push();
    let told = preview(&home, &server, &["--ref", "main", "--no-wait"]).expect(0);
    assert!(told.stderr.contains("Building for ios"), "{told:#?}");

    let told = preview(&home, &server, &["--ref", "nowhere"]).expect(1);
    assert!(told.stderr.contains("fetched right now"), "{told:#?}");
    assert!(!told.stderr.contains("sync"), "it has: {told:#?}");
    let twice = ["--ref", "main", "--platform", "web,web", "--no-wait"];
    let told = preview(&home, &server, &twice).expect(0);
    assert_eq!(told.stdout.matches("was accepted").count(), 1, "{told:#?}");

    // The folder cannot become its newest commit.
    let told = preview(&home, &server, &[]).expect(1);
    assert!(told.stderr.contains("CONFLICT"), "{told:#?}");
    assert!(told.stderr.contains("--ref latest"), "{told:#?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_was_never_reached_is_what_is_wrong() {
    let git = GitServer::start().await;
    let source = json!({"kind": "git", "url": git.url("missing")});
    let host = git.host();
    let (home, server) = project(source, &[("SOURCE_ALLOWED_HOSTS", &host)]).await;
    let told = preview(&home, &server, &["--ref", "main", "--json"]).expect(1);
    assert_eq!(told.json()["error"]["code"], "SOURCE_UNAVAILABLE");
    let ended = "error[SOURCE_UNAVAILABLE]: shop was not fetched";
    assert!(told.stderr.contains(ended), "{told:#?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_folder_is_built_as_it_is_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("index.html");
    std::fs::write(&page, "<h1>one</h1>").expect("written");
    let source = json!({"kind": "local", "path": folder.path()});
    let (home, server) = project(source, &[("LOCAL_DEV_MODE", "true")]).await;
    let commit = || {
        let told = preview(&home, &server, &["--ref", "local", "--json"]).expect(0);
        told.json()["previews"][0]["commit"].clone()
    };
    let first = commit();
    std::fs::write(&page, "<h1>two</h1>").expect("written");
    assert_ne!(first, commit());

    let told = preview(&home, &server, &["--ref", "nowhere"]).expect(1);
    assert!(told.stderr.contains("REF_NOT_FOUND"), "{told:#?}");
    assert!(told.stderr.contains("--ref local"), "{told:#?}");
    let told = preview(&home, &server, &[]).expect(1);
    assert!(told.stderr.contains("--ref local"), "{told:#?}");
    server.stop();
}
