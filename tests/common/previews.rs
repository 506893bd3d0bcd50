//! Previews without a worker: a test plays the worker itself, step by step.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::Write;
use std::time::Duration;

use hivesync::blobs::BlobKey;
use hivesync::domain::job::{JobFailure, Queue};
use hivesync::domain::preview::{BuildError, Bundle, Preview, PreviewStatus, SandboxLevel, Stage};
use hivesync::domain::project::ProjectKind;
use hivesync::domain::{JobId, ProjectId};
use hivesync::ephemeral::topic;
use hivesync::store::{Batch, Claim, ClaimRequest, Expect, Record};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Account, Answer, Setup, TestServer};
use crate::sources::{FILE, file_of, item, tar_gz};

/// A server with an account and a project of uploads.
pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) owner: Account,
    pub(crate) project: i64,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::new()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let server = setup.start().await;
        let owner = server.register("ada").await;
        let body = json!({"name": "Hive", "source": {"kind": "upload"}});
        let made = server.post("/projects", &owner.token, &body).await;
        let project = made.expect(201)["id"].as_i64().expect("an id");
        let world = Self {
            server,
            owner,
            project,
        };
        world.upload("first").await;
        world
    }

    /// A new commit of one page with this text on branch `upload`.
    pub(crate) async fn upload(&self, text: &str) -> String {
        self.upload_files(&[("index.html", text)]).await
    }

    /// The same of these files.
    pub(crate) async fn upload_files(&self, files: &[(&str, &str)]) -> String {
        let items: Vec<_> = files
            .iter()
            .map(|(name, text)| item(FILE, name, text.as_bytes()))
            .collect();
        let archive = tar_gz(&items);
        let app = &self.server.app;
        let imported = app
            .repos
            .import_archive(ProjectId(self.project), file_of(&archive), app.clock.now())
            .await
            .expect("a commit");
        imported.commit
    }

    pub(crate) async fn ask_token(&self, git_ref: &str, platform: &str) -> Answer {
        let body = json!({"project_id": self.project, "git_ref": git_ref, "platform": platform});
        self.server
            .post("/preview/token", &self.owner.token, &body)
            .await
    }

    pub(crate) async fn token(&self, git_ref: &str, platform: &str) -> String {
        let answer = self.ask_token(git_ref, platform).await.expect(200);
        answer["token"].as_str().expect("a token").to_owned()
    }

    pub(crate) async fn ask_build(&self, token: &str) -> Answer {
        let body = json!({"token": token});
        self.server
            .call(Method::POST, "/preview/build", None, Some(&body))
            .await
    }

    /// Asks with a new token; answers the body of the 202.
    pub(crate) async fn build(&self, git_ref: &str, platform: &str) -> Value {
        let token = self.token(git_ref, platform).await;
        self.ask_build(&token).await.expect(202)
    }

    pub(crate) async fn queued(&self) -> u64 {
        let stats = self.server.app.queue.stats(Queue::PreviewBuild).await;
        stats.expect("stats").queued
    }

    pub(crate) async fn preview(&self, id: &JobId) -> Preview {
        let found = self.server.app.store.preview(id).await.expect("a read");
        found.expect("a preview").value
    }

    /// Takes the next build, as a worker would.
    pub(crate) async fn claim(&self) -> Claim {
        let request = ClaimRequest {
            queues: vec![Queue::PreviewBuild],
            worker: "test".to_owned(),
            lease: Duration::from_mins(10),
            group_limit: 10,
        };
        let claimed = self
            .server
            .app
            .queue
            .claim(&request)
            .await
            .expect("a claim");
        claimed.expect("a queued build").0
    }

    async fn change(&self, claim: &Claim, change: impl FnOnce(&mut Preview)) -> Batch {
        let store = &self.server.app.store;
        let mut found = store
            .preview(&claim.job)
            .await
            .expect("a read")
            .expect("a row");
        change(&mut found.value);
        Batch::new().put(
            Record::Preview(found.value),
            Expect::Revision(found.revision),
        )
    }

    async fn announce(&self, id: &JobId) {
        let ephemeral = &self.server.app.ephemeral;
        for topic in [topic::preview(id), topic::log(id)] {
            ephemeral.publish(&topic, "").await.expect("published");
        }
    }

    /// Goes on to a stage.
    pub(crate) async fn enter(&self, claim: &Claim, stage: Stage) {
        let now = self.server.app.clock.now();
        let batch = self
            .change(claim, |preview| {
                preview.status = stage.status();
                preview.stage = Some(stage);
                preview.percent = stage.percent();
                preview.started_at.get_or_insert(now);
                preview.sandbox = Some(SandboxLevel::Isolated);
            })
            .await
            .under(claim);
        self.server.app.store.commit(batch).await.expect("written");
        self.announce(&claim.job).await;
    }

    /// Adds to the build log.
    pub(crate) async fn log(&self, id: &JobId, text: &str) {
        let path = self.server.app.data.build_log(id);
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("the log");
        file.write_all(text.as_bytes()).expect("written");
        drop(file);
        let topic = topic::log(id);
        let ephemeral = &self.server.app.ephemeral;
        ephemeral.publish(&topic, "").await.expect("published");
    }

    /// Ends the build with a bundle of these files.
    pub(crate) async fn succeed(&self, claim: &Claim, files: &[(&str, &[u8])]) -> Vec<u8> {
        let app = &self.server.app;
        let zip = zip_of(files);
        let aside = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(aside.path(), &zip).expect("written");
        let key = BlobKey::bundle(ProjectId(self.project), &claim.job);
        app.blobs
            .put_file(&key, aside.path())
            .await
            .expect("stored");
        let digest = ring::digest::digest(&ring::digest::SHA256, &zip);
        let now = app.clock.now();
        let bundle = Bundle {
            key: key.as_str().to_owned(),
            size: zip.len() as u64,
            sha256: data_encoding::HEXLOWER.encode(digest.as_ref()),
            kind: ProjectKind::Static,
            expires_at: now.after(app.config.previews.bundle_ttl),
            bytecode: None,
        };
        let batch = self
            .change(claim, |preview| {
                preview.status = PreviewStatus::Success;
                preview.stage = Some(Stage::Upload);
                preview.percent = 100;
                preview.warm = Some(false);
                preview.started_at.get_or_insert(now);
                preview.completed_at = Some(now);
                preview.bundle = Some(bundle);
            })
            .await;
        app.queue.complete(claim, batch).await.expect("completed");
        self.announce(&claim.job).await;
        zip
    }

    pub(crate) async fn fail(&self, claim: &Claim) {
        let now = self.server.app.clock.now();
        let (code, message) = ("PREVIEW_BUILD_FAILED", "the bundler ended with 1");
        let batch = self
            .change(claim, |preview| {
                preview.status = PreviewStatus::Failed;
                preview.completed_at = Some(now);
                preview.error = Some(BuildError {
                    code: code.to_owned(),
                    message: message.to_owned(),
                });
            })
            .await;
        let failure = JobFailure {
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let queue = &self.server.app.queue;
        queue
            .fail(claim, failure, None, batch)
            .await
            .expect("ended");
        self.announce(&claim.job).await;
    }

    /// A web preview of these files, built and stored.
    pub(crate) async fn web(&self, files: &[(&str, &[u8])]) -> (JobId, String) {
        let accepted = self.build("latest", "web").await;
        let claim = self.claim().await;
        self.succeed(&claim, files).await;
        assert_eq!(accepted["job_id"], claim.job.as_str());
        (claim.job, text(&accepted["access_token"]))
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

pub(crate) fn job_id(accepted: &Value) -> JobId {
    text(&accepted["job_id"]).parse().expect("a job id")
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default())
            .expect("an entry");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}
