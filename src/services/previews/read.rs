//! Looking at previews.

use super::Reader;
use crate::app::App;
use crate::domain::preview::{Platform, Preview, PreviewStatus};
use crate::domain::{JobId, ProjectId};
use crate::error::Result;
use crate::services::auth::Actor;
use crate::services::projects::{self, Need};
use crate::store::{Page, Paged, PreviewFilter};

/// One preview.
///
/// # Errors
/// As [`super::open`].
pub async fn status(app: &App, reader: &Reader, id: &JobId) -> Result<Preview> {
    Ok(super::open(app, reader, id).await?.value)
}

/// Which of a project's previews to list; every `Some` narrows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which {
    pub status: Option<PreviewStatus>,
    pub platform: Option<Platform>,
}

/// A project's previews, newest first.
///
/// # Errors
/// What [`projects::open`] refuses.
pub async fn of_project(
    app: &App,
    actor: &Actor,
    project: ProjectId,
    which: Which,
    page: &Page,
) -> Result<Paged<Preview>> {
    projects::open(app, actor, project, Need::Read).await?;
    let filter = PreviewFilter {
        project: Some(project),
        status: which.status,
        platform: which.platform,
        ..PreviewFilter::default()
    };
    app.store.previews(&filter, page).await
}
