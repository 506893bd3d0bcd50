//! Who may do what with a project. Every other service asks here.

use crate::app::App;
use crate::domain::project::{MemberRole, Project};
use crate::domain::user::{Role, User};
use crate::domain::{ProjectId, UserId};
use crate::error::{Code, Error, Result};
use crate::services::auth::{Actor, Right};
use crate::store::Versioned;

/// What the caller wants to do with a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// See it, its previews and logs.
    Read,
    /// Request, cancel and retry previews (any member; an API token needs
    /// scope `build` or `full`).
    Build,
    /// Upload and sync (editors and the owner; scope `build` or `full`).
    Edit,
    /// Change name, source and settings (editors and the owner; scope `full`).
    Configure,
    /// Share and delete it (the owner; scope `full`).
    Own,
}

impl Need {
    /// What an API token must be good for.
    #[must_use]
    pub const fn right(self) -> Right {
        match self {
            Need::Read => Right::Read,
            Need::Build | Need::Edit => Right::Build,
            Need::Configure | Need::Own => Right::Manage,
        }
    }

    const fn allows(self, role: MemberRole) -> bool {
        match self {
            Need::Read | Need::Build => true,
            Need::Edit | Need::Configure => matches!(role, MemberRole::Editor),
            Need::Own => false,
        }
    }
}

/// The project, if `actor` may do with it what it needs. Admins, the operator
/// and the server itself may do everything.
///
/// # Errors
/// `PROJECT_NOT_FOUND`, `PROJECT_ACCESS_DENIED` when it exists but is not
/// shared with the caller or not with this right, `FORBIDDEN` when only the
/// API token's scope is too narrow.
pub async fn open(
    app: &App,
    actor: &Actor,
    id: ProjectId,
    need: Need,
) -> Result<Versioned<Project>> {
    let project = find(app, id).await?;
    if let Actor::User { user, .. } = actor {
        check_member(app, user, &project.value, need).await?;
    }
    actor.require(need.right())?;
    Ok(project)
}

/// [`open`] for an account that is only named, as a preview token's `uid` is.
///
/// # Errors
/// As [`open`]; an account that is gone or disabled is denied.
pub async fn open_as(
    app: &App,
    user: UserId,
    id: ProjectId,
    need: Need,
) -> Result<Versioned<Project>> {
    let project = find(app, id).await?;
    let user = app.store.user(user).await?.map(|user| user.value);
    match user.filter(|user| !user.disabled) {
        Some(user) => check_member(app, &user, &project.value, need).await?,
        None => return Err(denied()),
    }
    Ok(project)
}

async fn find(app: &App, id: ProjectId) -> Result<Versioned<Project>> {
    app.store.project(id).await?.ok_or_else(|| {
        Error::new(
            Code::ProjectNotFound,
            format!("there is no project with the id {id}; GET /projects lists yours"),
        )
    })
}

async fn check_member(app: &App, user: &User, project: &Project, need: Need) -> Result<()> {
    if project.owner_id == user.id || user.role == Role::Admin {
        return Ok(());
    }
    let member = app
        .store
        .member(project.id, user.id)
        .await?
        .ok_or_else(denied)?;
    if need.allows(member.role) {
        return Ok(());
    }
    Err(Error::new(
        Code::ProjectAccessDenied,
        match need {
            Need::Own => "only the project's owner may do this",
            _ => {
                "you may look at this project and preview it, but not change it; ask its owner to make you an editor"
            }
        },
    ))
}

fn denied() -> Error {
    Error::new(
        Code::ProjectAccessDenied,
        "this project is not shared with you; ask its owner",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_may() {
        let needs = [
            Need::Read,
            Need::Build,
            Need::Edit,
            Need::Configure,
            Need::Own,
        ];
        assert_eq!(
            needs.map(|need| need.allows(MemberRole::Viewer)),
            [true, true, false, false, false]
        );
        assert_eq!(
            needs.map(|need| need.allows(MemberRole::Editor)),
            [true, true, true, true, false]
        );
    }
}
