//! Previews: asking for one, following it, and handing it out.
//!
//! [`issue`] gives tokens out, [`request`] turns one into a job, unless what
//! [`judge`] reads speaks against it, [`read`] shows jobs, [`change`] cancels and
//! retries them, [`follow`] and [`logs`] tell what happens while they run,
//! [`bundle`] opens what came of them and [`web`] [`unpack`]s it for browsers.
//! [`warm_up`] builds ahead of being asked, [`bytecode`] has finished bundles
//! compiled. [`estimate`] guesses how long a build will take.

pub mod bundle;
pub mod bytecode;
pub mod change;
pub mod estimate;
pub mod follow;
pub mod issue;
mod judge;
pub mod logs;
pub mod read;
pub mod request;
mod unpack;
pub mod warm_up;
pub mod web;

use crate::app::App;
use crate::config::Secret;
use crate::domain::JobId;
use crate::domain::preview::Preview;
use crate::error::{Code, Error, Result};
use crate::services::auth::Actor;
use crate::services::projects::{self, Need};
use crate::services::token;
use crate::store::Versioned;

/// Who wants to read a job.
#[derive(Clone, Debug)]
pub enum Reader {
    /// Whoever can read its project.
    Actor(Actor),
    /// The holder of an access token for it.
    Holder(Secret),
}

/// The preview `id`, if `reader` may read it.
///
/// # Errors
/// `JOB_NOT_FOUND`; for an actor what [`projects::open`] refuses; for a holder
/// `INVALID_OR_EXPIRED_TOKEN` when the token is not of this job, and
/// `PREVIEW_EXPIRED` when the bundle's life is over.
pub async fn open(app: &App, reader: &Reader, id: &JobId) -> Result<Versioned<Preview>> {
    match reader {
        Reader::Actor(actor) => open_for(app, actor, id, Need::Read).await,
        Reader::Holder(access) => {
            // The signature first: without it nothing is told about the job.
            if !token::opens(&app.config.secrets.preview_token, id, access.expose()) {
                return Err(Error::new(
                    Code::InvalidOrExpiredToken,
                    "the access token does not open this job; ask POST /preview/build for its own",
                ));
            }
            let preview = find(app, id).await?;
            // A deleted project's previews are gone before their rows are.
            if app.store.project(preview.value.project_id).await?.is_none() {
                return Err(not_found(id.as_str()));
            }
            if has_ended(app, &preview.value) {
                return Err(expired());
            }
            Ok(preview)
        }
    }
}

/// The preview `id`, if `actor` may do with its project what it needs.
pub(crate) async fn open_for(
    app: &App,
    actor: &Actor,
    id: &JobId,
    need: Need,
) -> Result<Versioned<Preview>> {
    let preview = find(app, id).await?;
    projects::open(app, actor, preview.value.project_id, need).await?;
    Ok(preview)
}

async fn find(app: &App, id: &JobId) -> Result<Versioned<Preview>> {
    app.store
        .preview(id)
        .await?
        .ok_or_else(|| not_found(id.as_str()))
}

/// There is no job called `id`, which may be any text.
#[must_use]
pub fn not_found(id: &str) -> Error {
    let shown: String = id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(40)
        .collect();
    Error::new(Code::JobNotFound, format!("there is no job {shown}"))
}

fn expired() -> Error {
    Error::new(
        Code::PreviewExpired,
        "this preview has expired; request a new one",
    )
}

/// Whether what an access token opens is over: the bundle's life, or, where no
/// bundle came of the build, as long a time from its end.
fn has_ended(app: &App, preview: &Preview) -> bool {
    let end = match (&preview.bundle, preview.completed_at) {
        (Some(bundle), _) => Some(bundle.expires_at),
        (None, Some(at)) if preview.status.is_final() => {
            Some(at.after(app.config.previews.bundle_ttl))
        }
        (None, _) => None,
    };
    end.is_some_and(|end| end <= app.clock.now())
}
