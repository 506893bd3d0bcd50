//! Projects, their members, and who may do what with them.

use crate::app::App;
use crate::domain::ProjectId;
use crate::domain::project::Project;
use crate::error::Result;
use crate::services::auth::Actor;
use crate::store::Versioned;

/// What the caller wants to do with a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// See it, its previews and logs.
    Read,
    /// Request, cancel and retry previews (any member; an API token needs
    /// scope `build` or `full`).
    Build,
    /// Upload, sync, change settings (editors and the owner).
    Edit,
    /// Share and delete it (the owner).
    Own,
}

/// The project, if `actor` may do with it what it needs.
///
/// # Errors
/// `PROJECT_NOT_FOUND`, or `PROJECT_ACCESS_DENIED` when it exists but is not
/// shared with the caller or not with this right.
pub async fn open(
    app: &App,
    actor: &Actor,
    id: ProjectId,
    need: Need,
) -> Result<Versioned<Project>> {
    let _ = (app, actor, id, need);
    unimplemented!()
}
