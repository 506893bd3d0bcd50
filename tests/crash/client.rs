//! A client whose server may die at any moment.

use std::io::Write;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::common;
use crate::ledger::Ledger;
use crate::process::Home;
use crate::server::Server;

/// The server has died before it answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

/// A logged-in user. Its session outlives the server's processes.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

struct Answer {
    status: u16,
    etag: String,
    body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    fn expect(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Client {
    /// Before there is an account.
    pub(crate) fn nobody() -> Self {
        Self {
            http: common::client(),
            base: String::new(),
            token: String::new(),
        }
    }

    /// Makes the account `ada`, beside the running server.
    pub(crate) async fn register(home: &Home, server: &Server) -> Self {
        crate::session::create_user(home, "ada", "user").expect(0);
        let client = Self::nobody().on(server);
        let body = json!({"username_or_email": "ada", "password": common::PASSWORD});
        let answer = client.call(Method::POST, "/auth/login", &body).await;
        let answer = answer.expect("a server").expect(200);
        Self {
            token: answer["token"].as_str().expect("a token").to_owned(),
            ..client
        }
    }

    /// The same on the process that was started next.
    pub(crate) fn on(&self, server: &Server) -> Self {
        Self {
            base: format!("{}/api/v1", server.address),
            ..self.clone()
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Gone> {
        let request = request.bearer_auth(&self.token);
        let response = request.send().await.map_err(|_| Gone)?;
        let etag = response.headers().get("etag");
        Ok(Answer {
            status: response.status().as_u16(),
            etag: etag.map_or_else(String::new, |e| e.to_str().expect("text").to_owned()),
            body: response.bytes().await.map_err(|_| Gone)?.to_vec(),
        })
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Answer, Gone> {
        let request = self.http.request(method, format!("{}{path}", self.base));
        self.send(request.json(body)).await
    }

    async fn get(&self, path: &str) -> Result<Answer, Gone> {
        self.send(self.http.get(format!("{}{path}", self.base)))
            .await
    }

    pub(crate) async fn new_project(&self, ledger: &Ledger, name: &str) -> Result<i64, Gone> {
        let body = json!({"name": name, "source": {"kind": "upload"}});
        self.project_of(ledger, &body).await
    }

    pub(crate) async fn project_of(&self, ledger: &Ledger, body: &Value) -> Result<i64, Gone> {
        let answer = self.call(Method::POST, "/projects", body).await?;
        let id = answer.expect(201)["id"].as_i64().expect("an id");
        ledger.project(id);
        Ok(id)
    }

    /// A new project that must be refused: nothing can be written.
    pub(crate) async fn refused_project(&self, name: &str) -> Value {
        let body = json!({"name": name, "source": {"kind": "upload"}});
        let answer = self.call(Method::POST, "/projects", &body).await;
        let answer = answer.expect("a server that lives");
        assert!(matches!(answer.status, 503 | 507), "{}", answer.status);
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// What the server says when it is asked whether it is ready: nothing, or
    /// its error.
    pub(crate) async fn readiness(&self) -> Option<Value> {
        let root = self.base.trim_end_matches("/api/v1");
        let request = self.http.get(format!("{root}/readyz"));
        let answer = self.send(request).await.expect("a server that lives");
        match answer.status {
            200 => None,
            _ => Some(answer.expect(503)["error"].clone()),
        }
    }

    /// Uploads a tree whose build gives `page`; its commit.
    pub(crate) async fn upload(
        &self,
        ledger: &Ledger,
        project: i64,
        tree: &Tree,
    ) -> Result<String, Gone> {
        let path = format!("{}/projects/{project}/source/archive", self.base);
        let request = self
            .http
            .put(path)
            .header("content-type", "application/gzip")
            .body(tree.archive());
        let answer = self.send(request).await?.expect(201);
        let commit = answer["commit"].as_str().expect("a commit").to_owned();
        ledger.uploaded(&commit, &tree.page);
        Ok(commit)
    }

    /// Asks for a preview of the newest commit; its job.
    pub(crate) async fn build(&self, ledger: &Ledger, project: i64) -> Result<String, Gone> {
        self.build_for("web", ledger, project).await
    }

    pub(crate) async fn build_for(
        &self,
        platform: &str,
        ledger: &Ledger,
        project: i64,
    ) -> Result<String, Gone> {
        let ask = json!({"project_id": project, "git_ref": "latest", "platform": platform});
        let token = self.call(Method::POST, "/preview/token", &ask).await?;
        let token = json!({"token": token.expect(200)["token"]});
        let asked = self.call(Method::POST, "/preview/build", &token).await;
        let job = asked.map(|answer| {
            let body = answer.expect(202);
            body["job_id"].as_str().expect("a job").to_owned()
        });
        ledger.asked(project, &job);
        job
    }

    /// A new project and its build, which has said `word` by now.
    pub(crate) async fn begun(
        &self,
        ledger: &Ledger,
        name: &str,
        tree: &Tree,
        word: &str,
    ) -> Result<(i64, String), Gone> {
        let project = self.new_project(ledger, name).await?;
        self.upload(ledger, project, tree).await?;
        let job = self.build(ledger, project).await?;
        self.follow(&format!("/preview/logs/{job}"), word).await?;
        Ok((project, job))
    }

    /// Cancels a build; it may have ended by itself.
    pub(crate) async fn cancel(&self, ledger: &Ledger, job: &str) -> Result<(), Gone> {
        ledger.cancels(job);
        let path = format!("/preview/cancel/{job}");
        let answer = self.call(Method::POST, &path, &Value::Null).await?;
        match answer.status {
            200 => ledger.cancelled(job),
            _ => drop(answer.expect(409)),
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, project: i64) -> Result<(), Gone> {
        let path = format!("/projects/{project}");
        let answer = self.call(Method::DELETE, &path, &Value::Null).await?;
        // Deleted already by a request whose answer was lost.
        assert!(
            matches!(answer.status, 200 | 202 | 204 | 404),
            "{}",
            answer.status
        );
        Ok(())
    }

    pub(crate) async fn sync(&self, project: i64) -> Result<String, Gone> {
        let path = format!("/projects/{project}/sync");
        let answer = self
            .call(Method::POST, &path, &json!({}))
            .await?
            .expect(202);
        Ok(answer["job_id"].as_str().expect("a job").to_owned())
    }

    /// Fetches the linked repository and waits for the end of that.
    pub(crate) async fn synced(&self, project: i64) -> Result<(), Gone> {
        let job = self.sync(project).await?;
        loop {
            // A round trip each time: the server does something meanwhile.
            let state = self.get(&format!("/jobs/{job}")).await?.expect(200);
            match state["status"].as_str().unwrap_or_default() {
                "succeeded" => return Ok(()),
                "queued" | "running" => {}
                other => panic!("the sync has ended as {other}: {state}"),
            }
        }
    }

    pub(crate) async fn status(&self, job: &str) -> Result<Value, Gone> {
        Ok(self
            .get(&format!("/preview/status/{job}"))
            .await?
            .expect(200))
    }

    /// The zip and its `ETag`.
    pub(crate) async fn download(&self, job: &str) -> Result<(String, Vec<u8>), Gone> {
        let answer = self.get(&format!("/preview/download/{job}")).await?;
        assert_eq!(answer.status, 200, "{job}");
        Ok((answer.etag, answer.body))
    }

    /// The digest of the bytecode as it is downloaded, if there is any.
    pub(crate) async fn bytecode(&self, job: &str) -> Result<Option<String>, Gone> {
        let answer = self.get(&format!("/preview/bytecode/{job}")).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        assert_eq!(answer.status, 200, "{job}");
        let digest = ring::digest::digest(&ring::digest::SHA256, &answer.body);
        Ok(Some(data_encoding::HEXLOWER.encode(digest.as_ref())))
    }

    /// All previews of a project.
    pub(crate) async fn previews(&self, project: i64) -> Result<Vec<Value>, Gone> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/projects/{project}/previews?limit=200{cursor}");
            let answer = self.get(&path).await?;
            if answer.status == 404 {
                return Ok(found);
            }
            let answer = answer.expect(200);
            found.extend(answer["previews"].as_array().expect("a list").clone());
            match answer["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(found),
            }
        }
    }

    /// Follows a build's events, or its log, up to `text`.
    pub(crate) async fn follow(&self, path: &str, text: &str) -> Result<(), Gone> {
        let request = self
            .http
            .get(format!("{}{path}", self.base))
            .header("accept", "text/event-stream")
            .bearer_auth(&self.token);
        let mut response = request.send().await.map_err(|_| Gone)?;
        let mut seen = String::new();
        while !seen.contains(text) {
            let chunk = response.chunk().await.map_err(|_| Gone)?.ok_or(Gone)?;
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
        Ok(())
    }

    /// Waits for the end of a build; its last status.
    pub(crate) async fn end_of(&self, job: &str) -> Result<Value, Gone> {
        let status = self.status(job).await?;
        if !status["completed_at"].is_null() {
            return Ok(status);
        }
        let path = format!("/preview/events/{job}");
        self.follow(&path, "\"completed_at\":\"").await?;
        self.status(job).await
    }
}

/// A source tree, and the page that its build gives.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    files: Vec<(&'static str, String)>,
    /// `index.html`, or an app's JavaScript.
    page: String,
}

impl Tree {
    /// No build tool at all: fast.
    pub(crate) fn page(text: &str) -> Self {
        Self {
            files: vec![("index.html", text.to_owned())],
            page: text.to_owned(),
        }
    }

    /// A web project whose build is this shell script.
    pub(crate) fn script(script: &str, page: &str) -> Self {
        let package = r#"{"name": "shelled", "scripts": {"build": "sh ./build.sh"}}"#;
        Self {
            files: vec![
                ("package.json", package.to_owned()),
                ("build.sh", script.to_owned()),
            ],
            page: page.to_owned(),
        }
    }

    /// A web project that is built in a process of its own.
    pub(crate) fn built(text: &str) -> Self {
        let script = format!("mkdir dist; printf %s '{text}' > dist/index.html");
        Self::script(&script, text)
    }

    /// An app with a small compiler of its own.
    pub(crate) fn app(text: &str) -> Self {
        let file = |name: &'static str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hermes-app");
            let text = std::fs::read_to_string(path.join(name)).expect("a fixture");
            (name, text)
        };
        let mut files = vec![("index.js", text.to_owned())];
        files.extend(
            [
                "package.json",
                "react-native/package.json",
                "react-native/cli.js",
                "hermes-compiler/package.json",
                "hermes-compiler/hermesc/linux64-bin/hermesc",
            ]
            .map(file),
        );
        Self {
            files,
            page: text.to_owned(),
        }
    }

    /// Nothing that could be built.
    pub(crate) fn hopeless() -> Self {
        Self {
            files: vec![("notes.txt", "no page".to_owned())],
            page: String::new(),
        }
    }

    fn archive(&self) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (name, content) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes())
                .expect("packed");
        }
        let mut gzip = tar.into_inner().expect("packed");
        gzip.flush().expect("packed");
        gzip.finish().expect("packed")
    }
}
