//! Asking for a sync, doing one, and following any job of a project.

use std::path::PathBuf;

use crate::app::App;
use crate::domain::job::Job;
use crate::domain::project::{Project, Source};
use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Error, Result};
use crate::git::{Credential, FetchError, Link, Remote};
use crate::jobs::JobKind;
use crate::jobs::sync::SyncJob;
use crate::services::auth::Actor;
use crate::services::projects::{Need, open};
use crate::services::seal;
use crate::store::Batch;

/// Queues a sync of the linked repository or local folder; one that waits
/// already is answered again.
///
/// # Errors
/// What [`open`] refuses; `CONFLICT` for a project that nothing is fetched for,
/// `STORAGE_FULL`.
pub async fn request(app: &App, actor: &Actor, project: ProjectId) -> Result<JobId> {
    let found = open(app, actor, project, Need::Edit).await?;
    match found.value.source {
        Source::Git { .. } | Source::Local { .. } => {}
        Source::Upload | Source::Push => {
            return Err(Error::new(
                Code::Conflict,
                "nothing is linked to this project; upload an archive, or set its source to a repository",
            ));
        }
    }
    app.data.require_free(app.config.min_free_disk_bytes)?;
    let job = SyncJob {
        project_id: project,
    };
    let job = job.into_new_job(JobId::generate(app.random.as_ref(), app.clock.now()))?;
    let mut queued = app.store.commit(Batch::new().enqueue(job)).await?;
    queued
        .pop()
        .ok_or_else(|| Error::internal("the store has not answered the id of a job"))
}

/// Brings the project's repository to the state of its source, now.
///
/// # Errors
/// With whether another try may help.
pub async fn bring_in(app: &App, project: &Project) -> Result<(), FetchError> {
    match &project.source {
        Source::Git {
            url,
            branch,
            credential,
        } => {
            let remote = Remote::parse(url, &app.config.sources.allowed_hosts)?;
            let credential = credential
                .as_ref()
                .map(|sealed| seal::open(app, project.id, sealed))
                .transpose()
                .map_err(last)?
                .map(|login| Credential::new(&login.username, &login.password));
            let link = Link {
                remote: &remote,
                branch: branch.as_deref(),
                credential: credential.as_ref(),
            };
            let fetched = app.repos.fetch(project.id, &link).await?;
            tracing::info!(
                project = %project.id,
                commit = fetched.commit,
                branch = fetched.branch,
                "fetched a linked repository"
            );
            Ok(())
        }
        // Also for projects from a time when the mode was on.
        Source::Local { .. } if !app.config.server.local_dev_mode => Err(last(Error::new(
            Code::Forbidden,
            "a local folder is read only in local dev mode (LOCAL_DEV_MODE=true)",
        ))),
        Source::Local { path } => {
            let folder = PathBuf::from(path);
            let taken = app
                .repos
                .import_folder(project.id, folder, app.clock.now())
                .await?;
            tracing::info!(
                project = %project.id,
                commit = taken.commit,
                files = taken.files,
                skipped = taken.skipped.other,
                "took a snapshot of a local folder"
            );
            Ok(())
        }
        Source::Upload | Source::Push => Err(last(Error::new(
            Code::Conflict,
            "nothing is linked to this project any more; it was given another source meanwhile",
        ))),
    }
}

fn last(error: Error) -> FetchError {
    FetchError {
        error,
        transient: false,
    }
}

/// A job of a project that `actor` can read.
///
/// # Errors
/// `JOB_NOT_FOUND`, and what [`open`] refuses. Jobs of the server itself are
/// for admins.
pub async fn job(app: &App, actor: &Actor, id: &JobId) -> Result<Job> {
    let missing = || Error::new(Code::JobNotFound, format!("there is no job {id}"));
    let job = app.store.job(id).await?.ok_or_else(missing)?;
    if job.group == 0 {
        if actor.is_admin() {
            return Ok(job);
        }
        return Err(missing());
    }
    match open(app, actor, ProjectId(job.group), Need::Read).await {
        Ok(_) => Ok(job),
        Err(error) if error.code == Code::ProjectNotFound => Err(missing()),
        Err(error) => Err(error),
    }
}
