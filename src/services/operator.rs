//! What the operator asks for at the machine. A running server answers over
//! its Unix socket; without one, the command line opens the stores and calls
//! the same functions.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::preview::{Preview, PreviewStatus};
use crate::domain::user::Role;
use crate::domain::{JobId, ProjectId, UserId};
use crate::error::{Code, Context, Error, Result};
use crate::services::auth::Actor;
use crate::services::auth::accounts::{self, NewAccount};
use crate::services::auth::setup::{self, Link};
use crate::services::health;
use crate::store::{Page, PreviewFilter};

/// A command as it travels over the socket.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    Health,
    CreateUser(CreateUser),
    SetupLink,
    Invite,
    PreviewJobs(PreviewJobs),
}

/// Holds a password: never logged, so without `Debug`.
#[derive(Serialize, Deserialize)]
pub struct CreateUser {
    pub email: String,
    pub username: String,
    pub password: String,
    pub role: Role,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PreviewJobs {
    pub status: Option<PreviewStatus>,
    pub project: Option<ProjectId>,
    pub limit: usize,
}

/// A link as it is printed.
#[derive(Clone, Serialize, Deserialize)]
pub struct PrintedLink {
    pub url: String,
    pub expires_at: Timestamp,
}

/// A preview as administrators see it in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviewRow {
    pub job_id: JobId,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub platform: String,
    pub git_ref: String,
    pub commit: String,
    pub status: String,
    pub progress: f64,
    pub error: Option<String>,
    pub created_at: Timestamp,
    pub completed_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviewRows {
    pub previews: Vec<PreviewRow>,
}

/// An account as it is printed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PrintedUser {
    pub id: UserId,
    pub email: String,
    pub username: String,
    pub role: Role,
}

/// Runs a command as the operator; the answer is the JSON of the type that
/// belongs to it.
pub async fn run(app: &App, command: Command) -> Result<Value> {
    match command {
        Command::Health => value(&health::deep(app, &Actor::Operator).await?),
        Command::CreateUser(new) => value(&create_user(app, new).await?),
        Command::SetupLink => {
            let link = setup::setup_link(app).await?.ok_or_else(|| {
                Error::new(
                    Code::Conflict,
                    "there is an admin already, so the setup link is closed; make another account with: \
                     hivesync admin create-user",
                )
            })?;
            value(&printed(app, &link))
        }
        Command::Invite => value(&printed(app, &setup::invite(app, &Actor::Operator).await?)),
        Command::PreviewJobs(wanted) => value(&preview_jobs(app, &wanted).await?),
    }
}

fn value(answer: &impl Serialize) -> Result<Value> {
    serde_json::to_value(answer).or_internal("encode an answer to the operator")
}

fn printed(app: &App, link: &Link) -> PrintedLink {
    PrintedLink {
        url: link.url(&app.base_url()),
        expires_at: link.expires_at,
    }
}

async fn create_user(app: &App, new: CreateUser) -> Result<PrintedUser> {
    let account = NewAccount {
        email: new.email,
        username: new.username,
        password: Secret::new(new.password),
    };
    let user = accounts::create_user(app, &Actor::Operator, account, new.role).await?;
    Ok(PrintedUser {
        id: user.id,
        email: user.email,
        username: user.username,
        role: user.role,
    })
}

/// The newest previews that fit, up to the limit.
async fn preview_jobs(app: &App, wanted: &PreviewJobs) -> Result<PreviewRows> {
    let filter = PreviewFilter {
        status: wanted.status,
        project: wanted.project,
        ..PreviewFilter::default()
    };
    let mut rows = Vec::new();
    let mut page = Page::default();
    while rows.len() < wanted.limit {
        page.limit = (wanted.limit - rows.len()).min(Page::MAX);
        let found = app.store.previews(&filter, &page).await?;
        rows.extend(found.items.into_iter().map(row));
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    Ok(PreviewRows { previews: rows })
}

fn row(preview: Preview) -> PreviewRow {
    PreviewRow {
        job_id: preview.id,
        project_id: preview.project_id,
        user_id: preview.requested_by,
        platform: preview.platform.as_str().to_owned(),
        git_ref: preview.git_ref,
        commit: preview.commit,
        status: preview.status.as_str().to_owned(),
        progress: f64::from(preview.percent) / 100.0,
        error: preview.error.map(|error| error.code),
        created_at: preview.created_at,
        completed_at: preview.completed_at,
    }
}
