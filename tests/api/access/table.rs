//! The table: who may call which operation of the OpenAPI document.
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

use hivesync::domain::preview::PreviewStatus;
use hivesync::domain::{JobId, ProjectId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::PASSWORD;
use crate::world::Who;

/// What one call of a row is about.
pub(super) struct Scene {
    pub(super) who: Who,
    pub(super) project: ProjectId,
    pub(super) job: Option<JobId>,
    /// An API token of the caller, for `/auth/tokens/{id}`.
    pub(super) api_token: Option<i64>,
    /// A preview token, issued to the owner.
    pub(super) preview_token: String,
    pub(super) guest: i64,
    /// Different in every scene.
    pub(super) serial: usize,
}

/// The state of the scene's project.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Empty,
    /// It has a commit, and the call does not change it.
    Uploaded,
    /// Its source is a repository elsewhere.
    Linked,
}

#[derive(Clone, Copy)]
pub(super) enum Job {
    Preview(PreviewStatus),
    Sync,
}

pub(super) enum Body {
    None,
    Json(fn(&Scene) -> Value),
    Zip,
}

pub(super) struct Row {
    pub(super) operation: &'static str,
    pub(super) is_open: bool,
    /// Anonymous, other, viewer, editor, owner.
    pub(super) statuses: [u16; 5],
    pub(super) query: &'static str,
    pub(super) body: Body,
    pub(super) job: Job,
    pub(super) source: Source,
    /// The call ends the session it is made with.
    pub(super) own_session: bool,
}

fn row(operation: &'static str, is_open: bool, statuses: [u16; 5]) -> Row {
    Row {
        operation,
        is_open,
        statuses,
        query: "",
        body: Body::None,
        job: Job::Preview(PreviewStatus::Success),
        source: Source::Empty,
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
        self.source = Source::Uploaded;
        self
    }

    fn linked(mut self) -> Self {
        self.source = Source::Linked;
        self
    }

    fn own_session(mut self) -> Self {
        self.own_session = true;
        self
    }

    pub(super) fn method(&self) -> Method {
        let (method, _) = self.operation.split_once(' ').expect("METHOD /path");
        method.parse().expect("a method")
    }

    pub(super) fn path(&self) -> &'static str {
        self.operation.split_once(' ').expect("METHOD /path").1
    }

    pub(super) fn is_about_a_project(&self) -> bool {
        let path = self.path();
        path.contains("{job_id}") || path.contains("/projects/{id}")
    }
}

const READ: [u16; 4] = [403, 200, 200, 200];

pub(super) fn rows() -> Vec<Row> {
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
        project("GET /api/v1/preview/bytecode/{job_id}", READ),
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
