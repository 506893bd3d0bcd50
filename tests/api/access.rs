//! Who may call what: a row for every operation of the OpenAPI document.
//!
//! A route without a row fails the test, and so does a row without a route.
//! To add one for a new route, write its method and path as the document has
//! them and say what it answers:
//!
//! - [`open`]: needs no credential; the same status for everybody;
//! - [`signed_in`]: any account; without one 401;
//! - [`project`]: depends on the project's members; the four statuses are for
//!   somebody else, a viewer, an editor and the owner. Without a credential it
//!   is 401, and somebody else gets 403 or 404, whatever the row says.
//!
//! `{id}` is filled with a fresh project, `{job_id}` with a fresh preview of it
//! (see [`Scene`]), each shared with the viewer and the editor; `.body`,
//! `.query` and the like say what else the call needs. Every call has a scene
//! of its own, so a row may delete what it is given (but an `.uploaded` row may
//! not: those share their project). Paths with a project or
//! job must also answer 404 for an id that nothing has.

use std::collections::BTreeSet;
use std::time::Duration;

use hivesync::domain::preview::PreviewStatus;
use hivesync::domain::{JobId, ProjectId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{PASSWORD, Setup, TestServer, manual_clock};
use crate::world::{self, People, Who};

/// What one call of a row is about.
struct Scene {
    who: Who,
    project: ProjectId,
    job: Option<JobId>,
    /// An API token of the caller, for `/auth/tokens/{id}`.
    api_token: Option<i64>,
    /// A preview token, issued to the owner.
    preview_token: String,
    guest: i64,
    /// Different in every scene.
    serial: usize,
}

#[derive(Clone, Copy)]
enum Job {
    Preview(PreviewStatus),
    Sync,
}

enum Body {
    None,
    Json(fn(&Scene) -> Value),
    Zip,
}

struct Row {
    operation: &'static str,
    is_open: bool,
    /// Anonymous, other, viewer, editor, owner.
    statuses: [u16; 5],
    query: &'static str,
    body: Body,
    job: Job,
    /// The project has a commit, and the call does not change it.
    uploaded: bool,
    /// The project's source is a repository elsewhere.
    linked: bool,
    /// The call ends the session it is made with.
    own_session: bool,
}

fn row(operation: &'static str, is_open: bool, statuses: [u16; 5]) -> Row {
    Row {
        operation,
        is_open,
        statuses,
        query: "",
        body: Body::None,
        job: Job::Preview(PreviewStatus::Success),
        uploaded: false,
        linked: false,
        own_session: false,
    }
}

fn open(operation: &'static str, status: u16) -> Row {
    row(operation, true, [status; 5])
}

fn signed_in(operation: &'static str, status: u16) -> Row {
    row(operation, false, [401, status, status, status, status])
}

fn project(operation: &'static str, [other, viewer, editor, owner]: [u16; 4]) -> Row {
    row(operation, false, [401, other, viewer, editor, owner])
}

impl Row {
    fn query(mut self, query: &'static str) -> Self {
        self.query = query;
        self
    }

    fn body(mut self, body: fn(&Scene) -> Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    /// The body is an archive of a tree.
    fn archive(mut self) -> Self {
        self.body = Body::Zip;
        self
    }

    fn job(mut self, job: Job) -> Self {
        self.job = job;
        self
    }

    fn uploaded(mut self) -> Self {
        self.uploaded = true;
        self
    }

    fn linked(mut self) -> Self {
        self.linked = true;
        self
    }

    fn own_session(mut self) -> Self {
        self.own_session = true;
        self
    }

    fn method(&self) -> Method {
        let (method, _) = self.operation.split_once(' ').expect("METHOD /path");
        method.parse().expect("a method")
    }

    fn path(&self) -> &'static str {
        self.operation.split_once(' ').expect("METHOD /path").1
    }

    fn is_about_a_project(&self) -> bool {
        let path = self.path();
        path.contains("{job_id}") || path.contains("/projects/{id}")
    }
}

const READ: [u16; 4] = [403, 200, 200, 200];

fn rows() -> Vec<Row> {
    let mut rows = about_accounts();
    rows.extend(about_projects());
    rows.extend(about_sources());
    rows.extend(about_previews());
    rows.extend(about_health());
    rows
}

fn about_accounts() -> Vec<Row> {
    vec![
        // A secret that is not the setup link's; there is no admin yet.
        open("POST /api/v1/setup", 403).body(|_| {
            json!({"token": "x", "email": "x@example.com", "username": "xyz", "password": PASSWORD})
        }),
        open("POST /api/v1/auth/register", 201).body(|scene| {
            let name = format!("new{}", scene.serial);
            json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD})
        }),
        open("POST /api/v1/auth/login", 200)
            .body(|_| json!({"username_or_email": "guest", "password": PASSWORD})),
        signed_in("POST /api/v1/auth/logout", 204).own_session(),
        signed_in("GET /api/v1/auth/me", 200),
        signed_in("PATCH /api/v1/auth/me", 200).body(|_| json!({"preferences": {"a": 1}})),
        signed_in("POST /api/v1/auth/change-password", 204)
            .body(|_| json!({"current_password": PASSWORD, "new_password": PASSWORD})),
        signed_in("GET /api/v1/auth/tokens", 200),
        signed_in("POST /api/v1/auth/tokens", 201).body(|_| json!({"name": "x", "scope": "read"})),
        signed_in("DELETE /api/v1/auth/tokens/{id}", 204),
        signed_in("GET /api/v1/users/search", 200).query("?q=ow"),
    ]
}

fn about_projects() -> Vec<Row> {
    vec![
        signed_in("GET /api/v1/projects", 200),
        signed_in("POST /api/v1/projects", 201).body(|_| json!({"name": "x"})),
        project("GET /api/v1/projects/{id}", READ),
        project("PATCH /api/v1/projects/{id}", [403, 403, 200, 200]).body(|_| json!({"name": "x"})),
        project("DELETE /api/v1/projects/{id}", [403, 403, 403, 204]),
        project("GET /api/v1/projects/{id}/members", READ),
        project("POST /api/v1/projects/{id}/members", [403, 403, 403, 201])
            .body(|scene| json!({"user_id": scene.guest, "role": "editor"})),
        project(
            "DELETE /api/v1/projects/{id}/members/{user_id}",
            [403, 403, 403, 204],
        ),
    ]
}

fn about_sources() -> Vec<Row> {
    vec![
        project(
            "PUT /api/v1/projects/{id}/source/archive",
            [403, 403, 201, 201],
        )
        .archive(),
        project("POST /api/v1/projects/{id}/sync", [403, 403, 202, 202]).linked(),
        project("GET /api/v1/jobs/{job_id}", READ).job(Job::Sync),
        project("GET /api/v1/projects/{id}/refs", READ).uploaded(),
        project("GET /api/v1/projects/{id}/tree", READ).uploaded(),
        project("GET /api/v1/projects/{id}/file", READ)
            .uploaded()
            .query("?path=index.html"),
    ]
}

fn about_previews() -> Vec<Row> {
    vec![
        project("POST /api/v1/preview/token", READ).uploaded().body(
            |scene| json!({"project_id": scene.project, "git_ref": "latest", "platform": "web"}),
        ),
        // The token is the key, whoever shows it.
        open("POST /api/v1/preview/build", 202)
            .uploaded()
            .body(|scene| json!({"token": scene.preview_token})),
        project("GET /api/v1/preview/status/{job_id}", READ),
        project("GET /api/v1/preview/events/{job_id}", READ),
        project("GET /api/v1/preview/download/{job_id}", READ),
        project("GET /api/v1/preview/logs/{job_id}", READ),
        project("POST /api/v1/preview/cancel/{job_id}", READ)
            .job(Job::Preview(PreviewStatus::Queued)),
        project("POST /api/v1/preview/retry/{job_id}", READ)
            .job(Job::Preview(PreviewStatus::Cancelled)),
        project("GET /api/v1/projects/{id}/previews", READ),
    ]
}

fn about_health() -> Vec<Row> {
    vec![
        open("GET /livez", 200),
        open("GET /readyz", 200),
        open("GET /health", 200),
        open("GET /health/db", 200),
        open("GET /health/redis", 200),
        // For admins alone.
        signed_in("GET /health/deep", 403),
        open("GET /api/v1/health", 200),
        open("GET /api/v1/health/db", 200),
        open("GET /api/v1/health/redis", 200),
        signed_in("GET /api/v1/health/deep", 403),
    ]
}

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
        let project = if row.uploaded {
            self.uploaded
        } else {
            world::project(server, people, "scene").await
        };
        if row.linked {
            world::link(server, project).await;
        }
        let mut preview_token = String::new();
        if row.uploaded {
            let ask = json!({"project_id": project, "git_ref": "latest", "platform": "web"});
            let issued = server
                .post("/preview/token", &people.owner.token, &ask)
                .await;
            preview_token = issued.expect(200)["token"]
                .as_str()
                .expect("text")
                .to_owned();
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
        answer["token"].as_str().expect("a token").to_owned()
    }
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
                "{operation}: no row in tests/api/access.rs says who may call it"
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
