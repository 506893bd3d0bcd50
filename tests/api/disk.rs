//! A disk under its floor: nothing new begins, everything else goes on.

use reqwest::Method;
use serde_json::json;

use crate::common::{Answer, Setup, TestServer};
use crate::sources::{FILE, item, zip};

async fn upload(server: &TestServer, project: i64, token: &str) -> Answer {
    let path = format!("/projects/{project}/source/archive");
    let request = server
        .request(Method::PUT, &path)
        .bearer_auth(token)
        .header("content-type", "application/zip")
        .body(zip(&[item(FILE, "index.html", b"<h1>hi</h1>")]));
    Answer::of(request).await
}

#[tokio::test]
async fn below_the_floor_uploads_syncs_and_builds_are_refused() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "site").await;
    upload(&server, project, &ada.token).await.expect(201);

    let full = Setup::on(server.stop_and_keep().await)
        .config(|config| config.min_free_disk_bytes = u64::MAX)
        .start()
        .await;
    let refused = "STORAGE_FULL";
    upload(&full, project, &ada.token)
        .await
        .expect_error(507, refused);
    let body = json!({"project_id": project, "git_ref": "latest", "platform": "web"});
    let issued = full.post("/preview/token", &ada.token, &body).await;
    let token = issued.expect(200)["token"].clone();
    let body = json!({"token": token});
    full.call(Method::POST, "/preview/build", None, Some(&body))
        .await
        .expect_error(507, refused);
    let linked =
        json!({"name": "linked", "source": {"kind": "git", "url": "https://git.example/a.git"}});
    let linked = full
        .post("/projects", &ada.token, &linked)
        .await
        .expect(201);
    let sync = format!("/projects/{}/sync", linked["id"]);
    full.post(&sync, &ada.token, &json!({}))
        .await
        .expect_error(507, refused);
    full.get(&format!("/projects/{project}"), &ada.token)
        .await
        .expect(200);
    full.stop().await;
}
