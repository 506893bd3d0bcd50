//! A project with everything a caller may ask for, written straight into the
//! stores: its owner, an editor, a viewer, somebody else, previews in any
//! state with bundle and log.

use std::io::Write;

use bytes::Bytes;
use hivesync::blobs::{BlobKey, BlobKind};
use hivesync::clock::Random;
use hivesync::domain::preview::{
    Bundle, Bytecode, NewPreview, Platform, Preview, PreviewStatus, TokenFacts,
};
use hivesync::domain::project::{Member, MemberRole, Project, ProjectConfig, ProjectKind, Source};
use hivesync::domain::{JobId, ProjectId, UserId};
use hivesync::jobs::JobKind;
use hivesync::jobs::preview::PreviewJob;
use hivesync::jobs::sync::SyncJob;
use hivesync::store::{Batch, Expect, Record, Sequence};

use crate::common::{Account, TestServer};
use crate::sources::{FILE, file_of, item, zip};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Anonymous,
    Other,
    Viewer,
    Editor,
    Owner,
}

impl Who {
    pub(crate) const ALL: [Who; 5] = [
        Who::Anonymous,
        Who::Other,
        Who::Viewer,
        Who::Editor,
        Who::Owner,
    ];
}

pub(crate) struct People {
    pub(crate) owner: Account,
    pub(crate) editor: Account,
    pub(crate) viewer: Account,
    pub(crate) other: Account,
    /// A viewer as well, who never asks.
    pub(crate) guest: Account,
}

impl People {
    pub(crate) async fn register(server: &TestServer) -> Self {
        Self {
            owner: server.register("owner").await,
            editor: server.register("editor").await,
            viewer: server.register("viewer").await,
            other: server.register("other").await,
            guest: server.register("guest").await,
        }
    }

    pub(crate) fn token(&self, who: Who) -> Option<&str> {
        self.account(who).map(|account| account.token.as_str())
    }

    pub(crate) fn account(&self, who: Who) -> Option<&Account> {
        match who {
            Who::Anonymous => None,
            Who::Other => Some(&self.other),
            Who::Viewer => Some(&self.viewer),
            Who::Editor => Some(&self.editor),
            Who::Owner => Some(&self.owner),
        }
    }
}

/// A new project of `people.owner`, shared with the editor and the viewer.
pub(crate) async fn project(server: &TestServer, people: &People, name: &str) -> ProjectId {
    let store = &server.app.store;
    let id = ProjectId(store.allocate(Sequence::Project).await.expect("an id"));
    let now = server.app.clock.now();
    let member = |user: UserId, role| {
        Record::Member(Member {
            project_id: id,
            user_id: user,
            role,
            added_at: now,
        })
    };
    let project = Project {
        id,
        name: name.to_owned(),
        owner_id: people.owner.id,
        source: Source::Upload,
        config: ProjectConfig::default(),
        trusted: false,
        created_at: now,
        updated_at: now,
        synced_at: None,
    };
    let batch = Batch::new()
        .put(Record::Project(project), Expect::Absent)
        .put(member(people.editor.id, MemberRole::Editor), Expect::Absent)
        .put(member(people.viewer.id, MemberRole::Viewer), Expect::Absent)
        .put(member(people.guest.id, MemberRole::Viewer), Expect::Absent);
    store.commit(batch).await.expect("written");
    id
}

/// Makes a repository elsewhere the project's source.
pub(crate) async fn link(server: &TestServer, project: ProjectId) {
    let store = &server.app.store;
    let found = store.project(project).await.expect("read").expect("there");
    let linked = Project {
        source: Source::Git {
            url: "https://git.example.com/a.git".into(),
            branch: None,
            credential: None,
        },
        ..found.value
    };
    let batch = Batch::new().put(Record::Project(linked), Expect::Revision(found.revision));
    store.commit(batch).await.expect("written");
}

/// Gives the project a commit on branch `upload`; answers its id.
pub(crate) async fn upload(server: &TestServer, project: ProjectId) -> String {
    let archive = zip(&[item(FILE, "index.html", b"<h1>hi</h1>")]);
    let repos = &server.app.repos;
    let imported = repos
        .import_archive(project, file_of(&archive), server.app.clock.now())
        .await
        .expect("imported");
    imported.commit
}

/// A preview of the project with its job, and if it has succeeded its bundle
/// and its log.
pub(crate) async fn preview(
    server: &TestServer,
    people: &People,
    project: ProjectId,
    status: PreviewStatus,
) -> JobId {
    let app = &server.app;
    let now = app.clock.now();
    let id = JobId::generate(app.random.as_ref(), app.clock.now());
    let job = PreviewJob {
        project_id: project,
    };
    let unique: [u8; 8] = (app.random.as_ref() as &dyn Random).bytes();
    let done = status == PreviewStatus::Success;
    let bundle = Bundle {
        key: BlobKey::bundle(project, &id).as_str().to_owned(),
        size: 4,
        sha256: "0".repeat(64),
        kind: ProjectKind::Static,
        expires_at: now.after(app.config.previews.bundle_ttl),
        bytecode: Some(Bytecode {
            size: 4,
            sha256: "1".repeat(64),
            version: 98,
        }),
    };
    let new = NewPreview {
        id: id.clone(),
        project_id: project,
        requested_by: people.owner.id,
        git_ref: "upload".into(),
        branch: Some("upload".into()),
        commit: "0".repeat(40),
        platform: Platform::Web,
        build_key: data_encoding::HEXLOWER.encode(&unique),
        token: TokenFacts {
            issued_at: now,
            expires_at: now,
            version: 1,
        },
        estimated_seconds: 1,
        created_at: now,
    };
    let preview = Preview {
        status,
        percent: if done { 100 } else { 0 },
        bundle: done.then_some(bundle),
        completed_at: status.is_final().then_some(now),
        ..Preview::queued(new)
    };
    let mut job = job.into_new_job(id.clone()).expect("a job");
    if status.is_final() {
        // A worker must not take it before it has ended.
        job.run_at = Some(now.after(std::time::Duration::from_hours(1)));
    }
    let batch = Batch::new()
        .put(Record::Preview(preview), Expect::Absent)
        .enqueue(job);
    app.store.commit(batch).await.expect("written");
    if status.is_final() {
        // Its job has ended as well; how is no matter here.
        let batch = Batch::new().cancel(id.clone());
        app.store.commit(batch).await.expect("ended");
    }
    if done {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"PK..").expect("written");
        for kind in BlobKind::ALL {
            let key = BlobKey::of(kind, project, &id);
            app.blobs.put_file(&key, file.path()).await.expect("stored");
        }
        std::fs::write(app.data.build_log(&id), "the log\n").expect("written");
    }
    id
}

/// A queued job that fetches the project's repository.
pub(crate) async fn sync_job(server: &TestServer, project: ProjectId) -> JobId {
    let id = JobId::generate(server.app.random.as_ref(), server.app.clock.now());
    let job = SyncJob {
        project_id: project,
    };
    let batch = Batch::new().enqueue(job.into_new_job(id).expect("a job"));
    let ids = server.app.store.commit(batch).await.expect("written");
    ids.into_iter().next().expect("one job")
}

/// The bytes of an upload.
pub(crate) fn archive() -> Bytes {
    zip(&[item(FILE, "index.html", b"<h1>hi</h1>")]).into()
}
