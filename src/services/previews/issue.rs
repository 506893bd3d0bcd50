//! Preview tokens and the projects they are for: issued here, and admitted
//! when they come back.

use std::time::Duration;

use super::request::build_key;
use crate::app::App;
use crate::domain::ProjectId;
use crate::domain::preview::Platform;
use crate::domain::project::Project;
use crate::error::{Code, Error, Result};
use crate::git::{Resolved, refname};
use crate::services::auth::{self, Actor, limits};
use crate::services::projects::{self, Need};
use crate::services::token::{self, PreviewToken};

/// What a preview is asked of.
#[derive(Clone, Debug)]
pub struct IssueToken {
    pub project_id: ProjectId,
    /// A branch, tag, commit or `latest`.
    pub git_ref: String,
    /// As the caller wrote it.
    pub platform: String,
}

#[derive(Clone, Debug)]
pub struct Issued {
    pub token: String,
    pub expires_in: Duration,
}

/// Issues a preview token for a ref that is there now.
///
/// # Errors
/// `UNSUPPORTED_PLATFORM`, `INVALID_INPUT`, `RATE_LIMIT_EXCEEDED`,
/// `REF_NOT_FOUND`, and what [`projects::open`] refuses.
pub async fn issue_token(app: &App, actor: &Actor, command: &IssueToken) -> Result<Issued> {
    let platform = Platform::parse(&command.platform).ok_or_else(token::unknown_platform)?;
    refname::check("git_ref", &command.git_ref)?;
    let Some(user) = actor.user_id() else {
        return Err(Error::new(
            Code::Forbidden,
            "a preview token is issued to an account; log in as one",
        ));
    };
    let key = limits::user_key("preview-token", user);
    limits::hit(app, &key, limits::PREVIEW_TOKENS).await?;
    let project = projects::open(app, actor, command.project_id, Need::Build)
        .await?
        .value;
    resolve(app, &project, &command.git_ref).await?;
    let expires_in = app.config.previews.token_ttl;
    let token = token::issue(
        &app.config.secrets.preview_token,
        app.random.as_ref(),
        app.clock.now(),
        expires_in,
        (project.id, &command.git_ref, user, platform),
    )?;
    Ok(Issued { token, expires_in })
}

pub(super) async fn resolve(app: &App, project: &Project, git_ref: &str) -> Result<Resolved> {
    let default_branch = project.source.default_branch();
    app.repos.resolve(project.id, git_ref, default_branch).await
}

/// What a token is about, for the page that shows it.
#[derive(Clone, Debug)]
pub struct TokenView {
    pub token: PreviewToken,
    pub project: Project,
    /// Whether its build has been asked for, with this token or another: to ask
    /// again starts nothing.
    pub started: bool,
}

/// Checks a token without starting anything.
///
/// # Errors
/// As [`super::request::build`].
pub async fn view(app: &App, text: &str) -> Result<TokenView> {
    let (token, project) = admit(app, text).await?;
    let bound = app.store.preview_by_token(&auth::digest_of(text)).await?;
    let started = bound.is_some() || is_built(app, &token, &project).await?;
    Ok(TokenView {
        token,
        project,
        started,
    })
}

/// Whether what the token names now is built already, or about to be for
/// somebody else: the link is one to a preview that is there.
async fn is_built(app: &App, token: &PreviewToken, project: &Project) -> Result<bool> {
    let resolved = match resolve(app, project, &token.git_ref).await {
        Ok(resolved) => resolved,
        // Whoever asks for the build is told.
        Err(error) if error.code == Code::RefNotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let key = build_key(app, project, &resolved.commit, token.platform);
    let found = app.store.preview_by_build_key(&key).await?;
    Ok(found.is_some_and(|found| {
        let preview = found.value;
        if preview.status.is_final() {
            preview.lives(app.clock.now())
        } else {
            // What is built ahead is begun anew for the first who asks.
            preview.is_asked_for()
        }
    }))
}

/// The token's content and project, if the one it was issued to may still
/// read that.
pub(super) async fn admit(app: &App, text: &str) -> Result<(PreviewToken, Project)> {
    let now = app.clock.now();
    let token = token::verify(&app.config.secrets.preview_token, text, now)?;
    let project = projects::open_as(app, token.user, token.project, Need::Read).await?;
    Ok((token, project.value))
}
