//! The job that removes what a deleted project has left: bundles, logs,
//! caches, its repository and the rows of its previews.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::blobs::{BlobKey, BlobKind};
use crate::disk::remove_tree;
use crate::domain::ProjectId;
use crate::domain::job::{Priority, Queue};
use crate::domain::preview::Preview;
use crate::error::{Context, Error, Result};
use crate::jobs::{JobError, JobKind};
use crate::store::batch::RecordKey;
use crate::store::{Batch, Expect, Page, PreviewFilter};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeJob {
    pub project_id: ProjectId,
}

impl JobKind for PurgeJob {
    const KIND: &'static str = "purge";
    const QUEUE: Queue = Queue::Cleanup;
    const PRIORITY: Priority = Priority::LOW;
    const MAX_ATTEMPTS: u32 = 10;

    fn group(&self) -> i64 {
        self.project_id.0
    }
}

/// A worker that is still building may write a little longer, until it has
/// heard of the end.
const RETRY: Duration = Duration::from_mins(1);

/// Idempotent: what is gone already is no error. A preview's row goes last,
/// because it names everything else of the preview.
///
/// # Errors
/// Retried: what cannot be removed now may be later.
pub async fn run(app: &App, job: &PurgeJob) -> Result<(), JobError> {
    let retry = |error| JobError::retry(error, RETRY);
    // A project's id is never given twice; this guards against a job that
    // somebody has written by hand.
    let exists = app.store.project(job.project_id).await.map_err(retry)?;
    if exists.is_some() {
        return Err(JobError::fail(Error::internal(format!(
            "project {} exists; only a deleted one is purged",
            job.project_id
        ))));
    }
    purge(app, job.project_id).await.map_err(retry)
}

async fn purge(app: &App, project: ProjectId) -> Result<()> {
    let filter = PreviewFilter {
        project: Some(project),
        unasked: true,
        ..PreviewFilter::default()
    };
    loop {
        let page = app.store.previews(&filter, &Page::first(Page::MAX)).await?;
        if page.items.is_empty() {
            break;
        }
        let mut batch = Batch::new();
        for preview in &page.items {
            remove_files(app, preview).await?;
            stop_point!(PurgeMiddle);
            batch = batch.delete(RecordKey::Preview(preview.id.clone()), Expect::Any);
        }
        app.store.commit(batch).await?;
    }
    app.bundlers.forget(project);
    remove_folder(&app.data.transform_cache(project)).await?;
    remove_folder(&app.data.private_downloads(project)).await?;
    // Waits for a sync that is still writing.
    app.repos.remove(project).await?;
    tracing::info!(%project, "removed a deleted project's files");
    Ok(())
}

async fn remove_files(app: &App, preview: &Preview) -> Result<()> {
    for kind in BlobKind::ALL {
        let key = BlobKey::of(kind, preview.project_id, &preview.id);
        app.blobs.delete(&key).await?;
    }
    remove_folder(&app.data.job_tmp(&preview.id)).await?;
    remove_folder(&app.data.web_cache().join(preview.id.as_str())).await?;
    absent_is_fine(tokio::fs::remove_file(app.data.build_log(&preview.id)).await)
        .or_internal("remove a build log")
}

async fn remove_folder(path: &Path) -> Result<()> {
    let (what, path) = ("remove a deleted project's folder", path.to_owned());
    tokio::task::spawn_blocking(move || remove_tree(&path))
        .await
        .or_internal(what)?
        .or_internal(what)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
