//! Whom a project is shared with.

use super::{Need, open};
use crate::app::App;
use crate::domain::project::{Member, MemberRole};
use crate::domain::{ProjectId, UserId};
use crate::error::{Code, Error, Result};
use crate::services::auth::{Actor, Right};
use crate::store::batch::RecordKey;
use crate::store::{Batch, Expect, Page, Paged, Record};

/// A member with the name that a person knows them by.
#[derive(Clone, Debug)]
pub struct NamedMember {
    pub member: Member,
    pub username: String,
}

/// # Errors
/// As [`open`].
pub async fn list(
    app: &App,
    actor: &Actor,
    project: ProjectId,
    page: &Page,
) -> Result<Paged<NamedMember>> {
    open(app, actor, project, Need::Read).await?;
    let members = app.store.members(project, page).await?;
    let mut items = Vec::with_capacity(members.items.len());
    for member in members.items {
        // An account that is deleted takes its memberships along; one that
        // goes between the two reads is left out.
        if let Some(user) = app.store.user(member.user_id).await? {
            items.push(NamedMember {
                member,
                username: user.value.username,
            });
        }
    }
    Ok(Paged {
        items,
        next: members.next,
    })
}

/// Shares the project with `user`, or changes their role.
///
/// # Errors
/// As [`open`]; `INVALID_INPUT` for an account that does not exist and for the
/// owner.
pub async fn add(
    app: &App,
    actor: &Actor,
    project: ProjectId,
    user: UserId,
    role: MemberRole,
) -> Result<NamedMember> {
    let found = open(app, actor, project, Need::Own).await?;
    if found.value.owner_id == user {
        return Err(Error::invalid(
            "user_id",
            "this is the project's owner, who may do all that members may",
        ));
    }
    let account = app
        .store
        .user(user)
        .await?
        .filter(|account| !account.value.disabled)
        .ok_or_else(|| {
            Error::invalid(
                "user_id",
                "there is no account with this id; /api/v1/users/search finds one",
            )
        })?;
    let member = Member {
        project_id: project,
        user_id: user,
        role,
        added_at: app.clock.now(),
    };
    let batch = Batch::new().put(Record::Member(member.clone()), Expect::Any);
    app.store.commit(batch).await?;
    Ok(NamedMember {
        member,
        username: account.value.username,
    })
}

/// Ends a membership: the owner anyone's, a member their own.
///
/// # Errors
/// As [`open`]; `NOT_FOUND` when `user` is no member.
pub async fn remove(app: &App, actor: &Actor, project: ProjectId, user: UserId) -> Result<()> {
    if actor.user_id() == Some(user) {
        open(app, actor, project, Need::Read).await?;
        actor.require(Right::Manage)?;
    } else {
        open(app, actor, project, Need::Own).await?;
    }
    let batch = Batch::new().delete(RecordKey::Member(project, user), Expect::Revision(1));
    app.store
        .commit(batch)
        .await
        .map(drop)
        .map_err(|error| match error.code {
            Code::Conflict => {
                Error::new(Code::NotFound, "this account is no member of the project")
            }
            _ => error,
        })
}
