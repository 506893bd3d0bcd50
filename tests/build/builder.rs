//! A server with a worker, projects made of files, and what came of building
//! them.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use hivesync::app::App;
use hivesync::blobs::BlobKey;
use hivesync::clock::Timestamp;
use hivesync::config::{Config, SandboxChoice};
use hivesync::domain::preview::{NewPreview, Platform, Preview, PreviewStatus, TokenFacts};
use hivesync::domain::project::{Project, ProjectConfig, Source};
use hivesync::domain::{JobId, ProjectId, UserId};
use hivesync::ephemeral::topic;
use hivesync::jobs::JobKind;
use hivesync::jobs::preview::PreviewJob;
use hivesync::lifecycle::Ending;
use hivesync::store::{Batch, Expect, Record, Sequence};
use serde_json::Value;

use crate::common::{Setup, TestServer};
use crate::npm;
pub(crate) use crate::tree::Tree;

/// No build of a test takes longer, on a machine that does other things too.
const DEADLINE: Duration = Duration::from_mins(9);

pub(crate) struct Builder {
    pub(crate) server: TestServer,
}

impl Builder {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The server with a worker, the machine's own npm settings, and limits
    /// that no honest build meets on a busy machine.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::Builder::new()
            .prefix("hivesync-build-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a data folder beside the shared caches");
        npm::share_downloads(data.path());
        let npmrc = npm::npmrc(data.path());
        let setup = Setup::on(data).worker().config(|config| {
            config.builds.sandbox = SandboxChoice::Isolated;
            config.builds.npmrc = npmrc;
            config.previews.warm_timeout = Duration::from_mins(2);
            // Most tests build once: a bundler would be started for nothing.
            config.builds.warm.count = 0;
            change(config);
        });
        Self {
            server: setup.start().await,
        }
    }

    /// The same server again, on what another one has left.
    pub(crate) async fn resume(data: tempfile::TempDir) -> Self {
        Self::resume_at(SandboxChoice::Isolated, data).await
    }

    pub(crate) async fn resume_at(level: SandboxChoice, data: tempfile::TempDir) -> Self {
        let setup = Setup::on(data).worker().config(|config| {
            config.builds.sandbox = level;
            // It binds none of these builds, however filled their caches are.
            config.previews.warm_timeout = Duration::from_millis(1);
            config.builds.warm.count = 0;
        });
        Self {
            server: setup.start().await,
        }
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.server.app
    }

    pub(crate) async fn project(&self, config: ProjectConfig) -> ProjectId {
        self.put_project(config, false).await
    }

    pub(crate) async fn trusted_project(&self) -> ProjectId {
        self.put_project(ProjectConfig::default(), true).await
    }

    async fn put_project(&self, config: ProjectConfig, trusted: bool) -> ProjectId {
        let app = self.app();
        let id = ProjectId(app.store.allocate(Sequence::Project).await.expect("an id"));
        let now = app.clock.now();
        let project = Project {
            id,
            name: format!("project {id}"),
            owner_id: UserId(1),
            source: Source::Upload,
            config,
            trusted,
            created_at: now,
            updated_at: now,
            synced_at: None,
        };
        let batch = Batch::new().put(Record::Project(project), Expect::Absent);
        app.store.commit(batch).await.expect("a new project");
        id
    }

    /// Uploads a tree; answers its commit.
    pub(crate) async fn upload(&self, project: ProjectId, tree: &Tree) -> String {
        let imported = self
            .app()
            .repos
            .import_archive(project, tree.archive(), Timestamp::from_secs(1_700_000_000))
            .await
            .expect("an upload");
        imported.commit
    }

    /// Asks for a build of `commit`.
    pub(crate) async fn request(
        &self,
        project: ProjectId,
        commit: &str,
        platform: Platform,
    ) -> JobId {
        let app = self.app();
        let now = app.clock.now();
        let id = JobId::generate(&*app.random, now);
        let preview = Preview::queued(NewPreview {
            id: id.clone(),
            project_id: project,
            requested_by: UserId(1),
            git_ref: "upload".to_owned(),
            branch: Some("upload".to_owned()),
            commit: commit.to_owned(),
            platform,
            build_key: format!("{project} {commit} {platform}"),
            token: TokenFacts {
                issued_at: now,
                expires_at: now,
                version: 1,
            },
            estimated_seconds: 30,
            created_at: now,
        });
        let job = PreviewJob {
            project_id: project,
        };
        let batch = Batch::new()
            .put(Record::Preview(preview), Expect::Absent)
            .enqueue(job.into_new_job(id.clone()).expect("a job"));
        app.store.commit(batch).await.expect("a queued build");
        id
    }

    pub(crate) async fn preview(&self, id: &JobId) -> Preview {
        let found = self.app().store.preview(id).await.expect("a read");
        found.expect("the preview").value
    }

    /// Waits until the row or the log is as `is` wants it.
    pub(crate) async fn until(&self, id: &JobId, is: impl Fn(&Preview, &str) -> bool) -> Preview {
        let ephemeral = &self.app().ephemeral;
        let rows = ephemeral
            .subscribe(&topic::preview(id))
            .await
            .expect("events");
        let logs = ephemeral.subscribe(&topic::log(id)).await.expect("events");
        let mut events = futures::stream::select(rows, logs);
        let waiting = async {
            loop {
                let preview = self.preview(id).await;
                if is(&preview, &self.log(id)) {
                    return preview;
                }
                let _ = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, waiting).await;
        waited.unwrap_or_else(|_| panic!("waited too long; the log:\n{}", self.log(id)))
    }

    pub(crate) async fn ended(&self, id: &JobId) -> Preview {
        self.until(id, |preview, _| preview.status.is_final()).await
    }

    /// Uploads, builds and expects a success.
    pub(crate) async fn build(&self, project: ProjectId, tree: &Tree, platform: Platform) -> Built {
        let commit = self.upload(project, tree).await;
        let id = self.request(project, &commit, platform).await;
        self.success(&id).await
    }

    pub(crate) async fn success(&self, id: &JobId) -> Built {
        let preview = self.ended(id).await;
        let log = self.log(id);
        assert_eq!(
            preview.status,
            PreviewStatus::Success,
            "{:?}\n{log}",
            preview.error
        );
        Built {
            files: self.bundle(&preview).await,
            preview,
            log,
        }
    }

    /// Uploads, builds and expects a failure; answers its code and message.
    pub(crate) async fn failure(
        &self,
        project: ProjectId,
        tree: &Tree,
        platform: Platform,
    ) -> (String, String, String) {
        let commit = self.upload(project, tree).await;
        let id = self.request(project, &commit, platform).await;
        let preview = self.ended(&id).await;
        let log = self.log(&id);
        assert_eq!(preview.status, PreviewStatus::Failed, "{log}");
        assert!(preview.bundle.is_none() && preview.completed_at.is_some());
        let error = preview.error.expect("the reason");
        (error.code, error.message, log)
    }

    pub(crate) fn log(&self, id: &JobId) -> String {
        fs::read_to_string(self.app().data.build_log(id)).unwrap_or_default()
    }

    async fn bundle(&self, preview: &Preview) -> BTreeMap<String, Vec<u8>> {
        let bundle = preview.bundle.as_ref().expect("a bundle");
        let key = BlobKey::bundle(preview.project_id, &preview.id);
        assert_eq!(key.as_str(), bundle.key);
        let blobs = &self.app().blobs;
        let pieces = blobs.read(&key, 0..bundle.size).await.expect("the bundle");
        let pieces: Vec<_> = pieces.try_collect().await.expect("all of it");
        let bytes = pieces.concat();
        assert_eq!(bytes.len() as u64, bundle.size);
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let sha256 = data_encoding::HEXLOWER.encode(digest.as_ref());
        assert_eq!(sha256, bundle.sha256);
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a zip");
        (0..zip.len())
            .map(|index| {
                let mut file = zip.by_index(index).expect("an entry");
                let name = file.name().expect("a name").into_owned();
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).expect("its bytes");
                (name, bytes)
            })
            .collect()
    }

    pub(crate) async fn stop(self) {
        drop(self.stop_and_keep().await);
    }

    /// Stops the server. Its worker removes the folders of its builds before it
    /// stops, which takes its time on a busy disk.
    pub(crate) async fn stop_and_keep(self) -> tempfile::TempDir {
        let life = &self.app().lifecycle;
        life.stop();
        assert_eq!(life.finish(DEADLINE).await, Ending::Clean);
        self.server.stop_and_keep().await
    }
}

/// A finished build.
pub(crate) struct Built {
    pub(crate) preview: Preview,
    pub(crate) log: String,
    /// The bundle's files by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Built {
    pub(crate) fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let bytes = self.files.get(name);
        let bytes = bytes.unwrap_or_else(|| panic!("{name} is not among {:?}", self.names()));
        String::from_utf8_lossy(bytes).into_owned()
    }

    pub(crate) fn metadata(&self) -> Value {
        serde_json::from_str(&self.text("metadata.json")).expect("JSON")
    }
}

/// The folders of the dependency sets in the cache.
pub(crate) fn dependency_sets(builder: &Builder) -> Vec<PathBuf> {
    let dir = builder.app().data.dependency_cache();
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .collect()
}
