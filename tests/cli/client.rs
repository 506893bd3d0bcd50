//! The server's API as these tests use it: an account, a project, a build.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, PASSWORD, client};
use crate::process::{Home, Ran, Serving};

/// No build of a test takes longer; a deadline, never a wait.
const LONGEST: Duration = Duration::from_mins(9);

/// Runs a command that reads something from its standard input.
pub(crate) fn with_input(command: &mut Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    Ran::of(child.wait_with_output().expect("it ends"))
}

/// Makes an account beside a running server or without one.
pub(crate) fn create_user(home: &Home, username: &str, role: &str) -> Ran {
    let email = format!("{username}@example.com");
    let mut command = home.command(&["admin", "create-user", "--json", "--password-file", "-"]);
    command.args(["--username", username, "--email", &email, "--role", role]);
    with_input(&mut command, PASSWORD)
}

/// An account's session on a server process.
pub(crate) struct Session {
    base: String,
    token: String,
}

impl Session {
    pub(crate) async fn open(server: &Serving, username: &str) -> Self {
        let body = json!({"username_or_email": username, "password": PASSWORD});
        let request = client().post(server.url("/api/v1/auth/login")).json(&body);
        let answer = Answer::of(request).await.expect(200);
        Self {
            base: server.url("/api/v1"),
            token: answer["token"].as_str().expect("a token").to_owned(),
        }
    }

    /// The same session on the process that was started next.
    pub(crate) fn on(&self, server: &Serving) -> Self {
        Self {
            base: server.url("/api/v1"),
            token: self.token.clone(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        client()
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value, status: u16) -> Value {
        Answer::of(self.request(Method::POST, path).json(body))
            .await
            .expect(status)
    }

    /// A project of these files, uploaded.
    pub(crate) async fn project(&self, name: &str, files: &[(&str, &str)]) -> i64 {
        let project = self.configured(name, &json!({})).await;
        self.upload(project, files.iter().copied()).await;
        project
    }

    /// A project without files, whose build is configured so.
    pub(crate) async fn configured(&self, name: &str, config: &Value) -> i64 {
        let source = json!({"kind": "upload"});
        let body = json!({"name": name, "source": source, "config": config});
        let project = self.post("/projects", &body, 201).await;
        project["id"].as_i64().expect("an id")
    }

    /// Uploads these files as all there are.
    pub(crate) async fn upload(
        &self,
        project: i64,
        files: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>,
    ) {
        let upload = self
            .request(Method::PUT, &format!("/projects/{project}/source/archive"))
            .header("content-type", "application/gzip")
            .body(archive(files));
        Answer::of(upload).await.expect(201);
    }

    /// Asks for a web preview of what was uploaded; its job id.
    pub(crate) async fn build(&self, project: i64) -> String {
        self.build_for(project, "web").await
    }

    pub(crate) async fn build_for(&self, project: i64, platform: &str) -> String {
        let ask = json!({"project_id": project, "git_ref": "latest", "platform": platform});
        let token = self.post("/preview/token", &ask, 200).await["token"].clone();
        let accepted = self
            .post("/preview/build", &json!({"token": token}), 202)
            .await;
        accepted["job_id"].as_str().expect("a job id").to_owned()
    }

    pub(crate) async fn status(&self, job: &str) -> Value {
        let request = self.request(Method::GET, &format!("/preview/status/{job}"));
        Answer::of(request).await.expect(200)
    }

    /// Follows a stream of events until one holds `text`; the stream's text
    /// until there.
    pub(crate) async fn follow(&self, path: &str, text: &str) -> String {
        let request = self
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        let mut response = request.send().await.expect("a stream");
        let mut seen = String::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => seen.push_str(&String::from_utf8_lossy(&chunk)),
                end => panic!("the stream of {path} had no {text:?} ({end:?}): {seen}"),
            }
            if seen.contains(text) {
                return seen;
            }
        }
    }

    /// The whole log of a build.
    pub(crate) async fn log(&self, job: &str) -> String {
        let request = self.request(Method::GET, &format!("/preview/logs/{job}"));
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Waits for the end of a build; its last status. A stream of events ends
    /// with the client's patience: then there is another.
    pub(crate) async fn end_of(&self, job: &str) -> Value {
        let end = Instant::now() + LONGEST;
        loop {
            let status = self.status(job).await;
            if !status["completed_at"].is_null() {
                return status;
            }
            assert!(Instant::now() < end, "{status}\n{}", self.log(job).await);
            let request = self
                .request(Method::GET, &format!("/preview/events/{job}"))
                .header("accept", "text/event-stream");
            let mut response = request.send().await.expect("a stream");
            while let Ok(Some(chunk)) = response.chunk().await {
                if String::from_utf8_lossy(&chunk).contains("\"completed_at\":\"") {
                    break;
                }
            }
        }
    }
}

fn archive(files: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        let (name, content) = (name.as_ref(), content.as_ref());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).expect("packed");
    }
    let gzip = tar.into_inner().expect("packed");
    gzip.finish().expect("packed")
}
