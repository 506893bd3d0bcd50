//! Every operation of the OpenAPI document, called by everybody. [`table`] says
//! what each gets, and how a new route gets its row.

mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use hivesync::domain::{JobId, ProjectId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{PASSWORD, Setup, TestServer, manual_clock};
use crate::world::{self, People, Who};
use table::{Body, Job, Row, Scene, Source, rows};

/// Every operation of the document, and whether it needs no credential.
async fn documented(server: &TestServer) -> Vec<(String, bool)> {
    let answer = server.call(Method::GET, "/openapi.json", None, None).await;
    let document = answer.expect(200);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let is_open = operation["security"]
                .as_array()
                .is_some_and(|any| any.iter().any(|needs| needs == &json!({})));
            found.push((format!("{} {path}", method.to_uppercase()), is_open));
        }
    }
    found
}

struct Stage {
    server: TestServer,
    people: People,
    /// Bringing in a commit takes a while, so the rows that only read one share
    /// this project.
    uploaded: ProjectId,
    serial: usize,
}

impl Stage {
    async fn scene(&mut self, row: &Row, who: Who) -> Scene {
        let (server, people) = (&self.server, &self.people);
        self.serial += 1;
        let project = if row.source == Source::Uploaded {
            self.uploaded
        } else {
            world::project(server, people, "scene").await
        };
        if row.source == Source::Linked {
            world::link(server, project).await;
        }
        let mut preview_token = String::new();
        if row.source == Source::Uploaded {
            let ask = json!({"project_id": project, "git_ref": "latest", "platform": "web"});
            let issued = server
                .post("/preview/token", &people.owner.token, &ask)
                .await;
            preview_token = text(&issued.expect(200)["token"]);
        }
        let job = match row.job {
            _ if !row.path().contains("{job_id}") => None,
            Job::Preview(status) => Some(world::preview(server, people, project, status).await),
            Job::Sync => Some(world::sync_job(server, project).await),
        };
        let mut api_token = None;
        if row.path().contains("/auth/tokens/{id}")
            && let Some(token) = people.token(who)
        {
            let body = json!({"name": "x", "scope": "read"});
            let made = server.post("/auth/tokens", token, &body).await.expect(201);
            api_token = made["id"].as_i64();
        }
        Scene {
            who,
            project,
            job,
            api_token,
            preview_token,
            guest: people.guest.id.0,
            serial: self.serial,
        }
    }

    /// The status of the row's call; `path` is its path without parameters.
    async fn status(&self, row: &Row, scene: &Scene, path: &str) -> u16 {
        let url = self.server.url(&format!("{path}{}", row.query));
        let mut request = self.server.client.request(row.method(), url);
        if let Some(account) = self.people.account(scene.who) {
            let token = if row.own_session {
                self.log_in(&account.username).await
            } else {
                account.token.clone()
            };
            request = request.bearer_auth(token);
        }
        request = match &row.body {
            Body::None => request,
            Body::Json(body) => request.json(&body(scene)),
            Body::Zip => request
                .header("content-type", "application/zip")
                .body(world::archive()),
        };
        // Only the status: a stream of events has no end.
        request.send().await.expect("an answer").status().as_u16()
    }

    async fn log_in(&self, username: &str) -> String {
        let body = json!({"username_or_email": username, "password": PASSWORD});
        let answer = self
            .server
            .call(Method::POST, "/auth/login", None, Some(&body))
            .await
            .expect(200);
        text(&answer["token"])
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn filled(row: &Row, scene: &Scene) -> String {
    let id = scene.api_token.unwrap_or(scene.project.0).to_string();
    let job = scene.job.as_ref().map_or("", JobId::as_str);
    row.path()
        .replace("{id}", &id)
        .replace("{job_id}", job)
        .replace("{user_id}", &scene.guest.to_string())
}

/// The same path with ids that nothing has.
fn unknown(row: &Row, scene: &Scene) -> String {
    row.path()
        .replace("{id}", "999999999")
        .replace("{job_id}", &format!("job_{}", "0".repeat(26)))
        .replace("{user_id}", &scene.guest.to_string())
}

#[tokio::test]
async fn every_operation_has_its_row() {
    let server = TestServer::start().await;
    let rows = rows();
    let documented = documented(&server).await;
    let names: BTreeSet<_> = rows.iter().map(|row| row.operation).collect();
    assert_eq!(names.len(), rows.len(), "an operation has two rows");
    let mut complaints = Vec::new();
    for (operation, is_open) in &documented {
        match rows.iter().find(|row| row.operation == operation) {
            None => complaints.push(format!(
                "{operation}: no row in tests/api/access/table.rs says who may call it"
            )),
            Some(row) if row.is_open != *is_open => complaints.push(format!(
                "{operation}: open in the {} alone",
                if row.is_open {
                    "row"
                } else {
                    "OpenAPI document"
                }
            )),
            Some(_) => {}
        }
    }
    for row in &rows {
        if !documented
            .iter()
            .any(|(operation, _)| operation == row.operation)
        {
            complaints.push(format!("{}: a row without a route", row.operation));
        }
        if row.is_about_a_project() && !matches!(row.statuses[1], 403 | 404) {
            complaints.push(format!("{}: open to somebody else", row.operation));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    server.stop().await;
}

#[tokio::test]
async fn everybody_gets_what_the_table_says() {
    let clock = manual_clock();
    let server = Setup::new().clock(clock.clone()).start().await;
    let people = People::register(&server).await;
    let uploaded = world::project(&server, &people, "uploaded").await;
    world::upload(&server, uploaded).await;
    let mut stage = Stage {
        server,
        people,
        uploaded,
        serial: 0,
    };
    let mut complaints = Vec::new();
    for row in rows() {
        // Past every rate window.
        clock.advance(Duration::from_hours(1));
        for (who, expected) in Who::ALL.into_iter().zip(row.statuses) {
            let scene = stage.scene(&row, who).await;
            let status = stage.status(&row, &scene, &filled(&row, &scene)).await;
            if status != expected {
                complaints.push(format!(
                    "{}: {who:?} gets {status}, not {expected}",
                    row.operation
                ));
            }
        }
        if row.is_about_a_project() {
            let scene = stage.scene(&row, Who::Owner).await;
            let status = stage.status(&row, &scene, &unknown(&row, &scene)).await;
            if status != 404 {
                complaints.push(format!(
                    "{}: {status} for an id that nothing has, not 404",
                    row.operation
                ));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    stage.server.stop().await;
}
