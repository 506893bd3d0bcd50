//! Making, listing, changing and deleting projects.

use super::config::{self, Named};
use super::source::{self, SourceInput};
use super::{Need, open};
use crate::app::App;
use crate::domain::job::NewJob;
use crate::domain::project::{Project, ProjectConfig, Source};
use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Error, Result};
use crate::jobs::JobKind;
use crate::jobs::purge::PurgeJob;
use crate::services::auth::{Actor, Right};
use crate::services::previews::request::announce_end;
use crate::store::batch::RecordKey;
use crate::store::{Batch, Expect, Page, Paged, Record, Sequence};

const NAME_MAX_CHARS: usize = 100;
/// How often a change is tried again that met another one, such as a sync's.
const TRIES: usize = 8;

#[derive(Clone, Debug)]
pub struct NewProject {
    pub name: String,
    /// `None`: archives are uploaded.
    pub source: Option<SourceInput>,
    pub config: Named,
}

/// A change: only what is `Some`.
#[derive(Clone, Debug, Default)]
pub struct ProjectChange {
    pub name: Option<String>,
    pub source: Option<SourceInput>,
    /// What is not named in it stays.
    pub config: Named,
    pub trusted: Option<bool>,
}

/// # Errors
/// `INVALID_INPUT`, `FORBIDDEN` for a token without the scope.
pub async fn create(app: &App, actor: &Actor, new: NewProject) -> Result<Project> {
    actor.require(Right::Manage)?;
    let owner = actor.account()?.id;
    let name = check_name(&new.name)?;
    let config = config::merged(&ProjectConfig::default(), new.config)?;
    // First, because a credential is sealed for its project.
    let id = ProjectId(app.store.allocate(Sequence::Project).await?);
    let source = match new.source {
        Some(input) => source::check(app, id, input, None).await?,
        None => Source::Upload,
    };
    let now = app.clock.now();
    let project = Project {
        id,
        name,
        owner_id: owner,
        source,
        config,
        trusted: false,
        created_at: now,
        updated_at: now,
        synced_at: None,
    };
    let batch = Batch::new().put(Record::Project(project.clone()), Expect::Absent);
    app.store.commit(batch).await?;
    Ok(project)
}

fn check_name(name: &str) -> Result<String> {
    let name = name.trim();
    let chars = name.chars().count();
    if chars == 0 || chars > NAME_MAX_CHARS || name.contains(char::is_control) {
        return Err(Error::invalid(
            "name",
            "a project's name has 1 to 100 characters and no line breaks",
        ));
    }
    Ok(name.to_owned())
}

/// The caller's own projects and those shared with them, newest first.
pub async fn list(app: &App, actor: &Actor, page: &Page) -> Result<Paged<Project>> {
    actor.require(Right::Read)?;
    app.store.projects_for(actor.account()?.id, page).await
}

/// # Errors
/// As [`open`]; `INVALID_INPUT`; `FORBIDDEN` when somebody who is no admin
/// changes `trusted`.
pub async fn update(
    app: &App,
    actor: &Actor,
    id: ProjectId,
    change: ProjectChange,
) -> Result<Project> {
    for _ in 0..TRIES {
        let found = open(app, actor, id, Need::Configure).await?;
        let project = changed(app, actor, found.value, change.clone()).await?;
        let batch = Batch::new().put(
            Record::Project(project.clone()),
            Expect::Revision(found.revision),
        );
        match app.store.commit(batch).await {
            Ok(_) => return Ok(project),
            Err(error) if error.code == Code::Conflict => {}
            Err(error) => return Err(error),
        }
    }
    Err(busy())
}

async fn changed(
    app: &App,
    actor: &Actor,
    mut project: Project,
    change: ProjectChange,
) -> Result<Project> {
    if let Some(name) = change.name {
        project.name = check_name(&name)?;
    }
    project.config = config::merged(&project.config, change.config)?;
    if let Some(input) = change.source {
        let source = source::check(app, project.id, input, Some(&project.source)).await?;
        if !same_origin(&project.source, &source) {
            project.synced_at = None;
        }
        project.source = source;
    }
    if let Some(trusted) = change.trusted
        && trusted != project.trusted
    {
        if !actor.is_admin() {
            return Err(Error::new(
                Code::Forbidden,
                "only an admin of this server vouches for a project's code",
            )
            .with("field", "trusted"));
        }
        project.trusted = trusted;
    }
    project.updated_at = app.clock.now();
    Ok(project)
}

/// Whether the commits come from the same place.
fn same_origin(old: &Source, new: &Source) -> bool {
    match (old, new) {
        (Source::Git { url: old, .. }, Source::Git { url: new, .. })
        | (Source::Local { path: old }, Source::Local { path: new }) => old == new,
        (Source::Upload, Source::Upload) | (Source::Push, Source::Push) => true,
        _ => false,
    }
}

/// Deletes a project: its builds end, nobody finds it any more, and a job
/// removes what it has on disk.
///
/// # Errors
/// As [`open`].
pub async fn delete(app: &App, actor: &Actor, id: ProjectId) -> Result<()> {
    for _ in 0..TRIES {
        let found = open(app, actor, id, Need::Own).await?;
        let active = app.store.active_previews(id).await?;
        let mut batch = Batch::new()
            .delete(RecordKey::Project(id), Expect::Revision(found.revision))
            .enqueue(purge(app, id)?);
        for preview in &active {
            batch = batch.cancel(preview.id.clone());
        }
        match app.store.commit(batch).await {
            Ok(_) => {
                for preview in &active {
                    announce_end(app, &preview.id).await;
                }
                return Ok(());
            }
            // A build has ended meanwhile, or the project was changed.
            Err(e) if matches!(e.code, Code::Conflict | Code::JobAlreadyCompleted) => {}
            Err(error) => return Err(error),
        }
    }
    Err(busy())
}

fn purge(app: &App, project_id: ProjectId) -> Result<NewJob> {
    PurgeJob { project_id }.into_new_job(JobId::generate(app.random.as_ref(), app.clock.now()))
}

fn busy() -> Error {
    Error::new(
        Code::Conflict,
        "the project is being changed by many requests at once; try again",
    )
}
