//! Real projects on a server that is an ordinary user and has no bubblewrap:
//! in `restricted`, where a build's files and the server's have one owner.

use hivesync::config::SandboxChoice::Restricted;
use serde_json::{Value, json};

use crate::builder::Tree;
use crate::unprivileged::Unprivileged;

async fn start() -> Unprivileged {
    Unprivileged::start(Restricted, &[]).await
}

/// Uploads `tree`, builds it and expects a success; its log.
async fn built(server: &Unprivileged, project: i64, tree: &Tree, platform: &str) -> String {
    let session = &server.session;
    session.upload(project, tree.files()).await;
    let job = session.build_for(project, platform).await;
    let status: Value = session.end_of(&job).await;
    let log = session.log(&job).await;
    assert_eq!(status["status"], "success", "{status}\n{log}");
    assert_eq!(status["sandbox"], "restricted", "{status}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vite_project_builds_cold_and_warm() {
    let server = start().await;
    let project = server.session.configured("web", &json!({})).await;
    let mut tree = Tree::folder("tests/fixtures/vite-web");
    let cold = built(&server, project, &tree, "web").await;
    assert!(cold.contains("$ pnpm install --frozen-lockfile"), "{cold}");
    tree.replace("index.html", "</title>", " again</title>");
    let warm = built(&server, project, &tree, "web").await;
    assert!(!warm.contains("pnpm install"), "{warm}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expo_project_builds_cold_and_warm() {
    let server = start().await;
    let project = server.session.configured("app", &json!({})).await;
    let mut tree = Tree::folder("examples/hello-expo");
    let cold = built(&server, project, &tree, "ios").await;
    assert!(cold.contains("$ npm ci"), "{cold}");
    let file = "src/greeting.js";
    let edited = format!("{}\nexport const MORE = 1;\n", tree.text(file));
    tree.put(file, &edited);
    let warm = built(&server, project, &tree, "ios").await;
    assert!(warm.contains("are cached"), "{warm}");
    server.stop();
}
