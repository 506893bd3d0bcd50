//! Looking at a project's repository: refs, folders, files.

use crate::app::App;
use crate::domain::ProjectId;
use crate::error::{Code, Error, Result};
use crate::git::{FileContent, Ref, Tree, TreeEntry};
use crate::services::auth::Actor;
use crate::services::projects::{Need, open};
use crate::store::{Page, Paged};

/// Branches and tags, newest first.
///
/// # Errors
/// What [`open`] refuses.
pub async fn refs(app: &App, actor: &Actor, project: ProjectId, page: &Page) -> Result<Paged<Ref>> {
    let found = open(app, actor, project, Need::Read).await?;
    let default = found.value.source.default_branch();
    Paged::of(app.repos.refs(project, default).await?, page)
}

/// The folder at `path` in what `git_ref` names, and the commit that is.
///
/// # Errors
/// What [`open`] refuses; `REF_NOT_FOUND`, `INVALID_INPUT`.
pub async fn tree(
    app: &App,
    actor: &Actor,
    project: ProjectId,
    git_ref: &str,
    path: &str,
    page: &Page,
) -> Result<(String, Paged<TreeEntry>)> {
    let commit = resolve(app, actor, project, git_ref).await?;
    let Tree {
        commit,
        entries,
        truncated,
    } = app.repos.tree(project, &commit, path).await?;
    if truncated {
        return Err(Error::new(
            Code::PayloadTooLarge,
            "the folder has too many entries to be listed; check the repository out instead",
        ));
    }
    Ok((commit, Paged::of(entries, page)?))
}

/// The file at `path` in what `git_ref` names. A symbolic link is answered as
/// what it is.
///
/// # Errors
/// What [`open`] refuses; `REF_NOT_FOUND`, `INVALID_INPUT`,
/// `PAYLOAD_TOO_LARGE`.
pub async fn file(
    app: &App,
    actor: &Actor,
    project: ProjectId,
    git_ref: &str,
    path: &str,
) -> Result<FileContent> {
    let commit = resolve(app, actor, project, git_ref).await?;
    app.repos.file(project, &commit, path).await
}

async fn resolve(app: &App, actor: &Actor, project: ProjectId, git_ref: &str) -> Result<String> {
    let found = open(app, actor, project, Need::Read).await?;
    let default = found.value.source.default_branch();
    let resolved = app.repos.resolve(project, git_ref, default).await?;
    Ok(resolved.commit)
}
