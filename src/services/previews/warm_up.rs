//! Building ahead of being asked: after new commits of a project have come in,
//! the previews that somebody is likely to ask for next.
//!
//! A preview that is built ahead is a preview like any other, under the same
//! build key, but that nobody has asked for it ([`Preview::is_asked_for`]): it
//! stands in no list until a request is answered with it. By then the answer is
//! there at once; and where the request is for a later commit, the dependencies
//! and what the bundler has transformed are.

use serde_json::Value;

use super::issue::resolve;
use super::request::{Request, build_key, new_preview};
use crate::app::App;
use crate::bundle::json::{self, Room};
use crate::domain::job::NewJob;
use crate::domain::preview::{Platform, Preview, TokenFacts};
use crate::domain::project::{Project, ProjectKind};
use crate::domain::{JobId, ProjectId, UserId};
use crate::error::{Code, Result};
use crate::jobs::JobKind;
use crate::jobs::warm_up::WarmUpJob;
use crate::services::token::{self, PreviewToken};
use crate::store::{Batch, Claim, Expect, Page, PreviewFilter, Record};

/// How many of the project's last previews tell what is likely to be asked for.
const LAST: usize = 20;
/// The ref of what is built ahead.
const LATEST: &str = "latest";

/// The job that looks what there is to be built ahead, for a project whose
/// source has just been brought in; `None` where that is turned off or no build
/// could run.
///
/// # Errors
/// `INTERNAL_ERROR` when the payload does not serialise.
pub fn job(app: &App, project: ProjectId) -> Result<Option<NewJob>> {
    if !app.config.builds.warm_up || app.sandbox.refusal().is_some() {
        return Ok(None);
    }
    let look = WarmUpJob {
        project_id: project,
        platform: None,
    };
    let id = JobId::generate(app.random.as_ref(), app.clock.now());
    look.into_new_job(id).map(Some)
}

/// Queues it. The source is there whether that succeeds or not, so a failure is
/// for the log alone.
pub async fn request(app: &App, project: ProjectId) {
    let queued = async {
        if let Some(job) = job(app, project)? {
            app.store.commit(Batch::new().enqueue(job)).await?;
        }
        Ok::<_, crate::error::Error>(())
    };
    if let Err(error) = queued.await {
        tracing::warn!(%project, error = error.chain(), "nothing will be built ahead");
    }
}

/// One job for each platform that somebody is likely to ask for.
///
/// # Errors
/// When the store or the repository does not answer.
pub async fn plan(app: &App, project: ProjectId) -> Result<Batch> {
    let mut batch = Batch::new();
    let Some(found) = app.store.project(project).await? else {
        return Ok(batch);
    };
    for platform in likely(app, &found.value).await? {
        let build = WarmUpJob {
            project_id: project,
            platform: Some(platform),
        };
        let id = JobId::generate(app.random.as_ref(), app.clock.now());
        batch = batch.enqueue(build.into_new_job(id)?);
    }
    Ok(batch)
}

/// Those of the last previews; of a project that has none, those that its kind
/// is made for.
async fn likely(app: &App, project: &Project) -> Result<Vec<Platform>> {
    let filter = PreviewFilter {
        project: Some(project.id),
        ..PreviewFilter::default()
    };
    let last = app.store.previews(&filter, &Page::first(LAST)).await?;
    let mut platforms = Vec::new();
    for preview in last.items {
        let impossible = preview
            .error
            .as_ref()
            .is_some_and(|e| e.code == Code::UnsupportedPlatform.as_str());
        if !impossible && !platforms.contains(&preview.platform) {
            platforms.push(preview.platform);
        }
    }
    if !platforms.is_empty() {
        return Ok(platforms);
    }
    let native = vec![Platform::Ios, Platform::Android];
    Ok(match project.config.kind {
        Some(ProjectKind::Expo | ProjectKind::ReactNative) => native,
        Some(ProjectKind::Web) => vec![Platform::Web],
        // Nothing is faster than copying its files.
        Some(ProjectKind::Static) => Vec::new(),
        None => match manifest(app, project).await? {
            Some(manifest) if depends_on(&manifest, &["expo", "react-native"]) => native,
            Some(manifest) if manifest["scripts"]["build"].is_string() => vec![Platform::Web],
            _ => Vec::new(),
        },
    })
}

/// The `package.json` of the folder that is built, if there is one.
async fn manifest(app: &App, project: &Project) -> Result<Option<Value>> {
    let path = match &project.config.root {
        Some(root) => format!("{root}/package.json"),
        None => "package.json".to_owned(),
    };
    let found = async {
        let commit = resolve(app, project, LATEST).await?.commit;
        app.repos.file(project.id, &commit, &path).await
    };
    match found.await {
        Ok(file) => Ok(json::value(&file.content, &mut { Room::FILE }).ok()),
        Err(error) if matches!(error.code, Code::InternalError | Code::DependencyFailure) => {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}

fn depends_on(manifest: &Value, packages: &[&str]) -> bool {
    ["dependencies", "devDependencies"]
        .iter()
        .any(|list| packages.iter().any(|name| manifest[list][name].is_string()))
}

/// Makes `job` the build of the newest commit, under its claim: its preview's
/// row is there afterwards. False when there is nothing to be done: somebody
/// builds it, or has built it, or builds another commit of the branch, or its
/// files say that it cannot be built.
///
/// # Errors
/// `CONFLICT` when the claim is lost, and when a store does not answer.
pub async fn begin(
    app: &App,
    claim: &Claim,
    project: ProjectId,
    platform: Platform,
) -> Result<bool> {
    let Some(found) = app.store.project(project).await? else {
        return Ok(false);
    };
    let resolved = match resolve(app, &found.value, LATEST).await {
        Ok(resolved) => resolved,
        Err(error) if error.code == Code::RefNotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let now = app.clock.now();
    let build_key = build_key(app, &found.value, &resolved.commit, platform);
    let before = app.store.preview(&claim.job).await?;
    let twin = app.store.preview_by_build_key(&build_key).await?;
    if twin.is_some_and(|twin| twin.value.id != claim.job && serves(&twin.value, now)) {
        return Ok(false);
    }
    let token = PreviewToken {
        project,
        git_ref: LATEST.to_owned(),
        user: UserId::SERVER,
        platform,
        facts: TokenFacts {
            issued_at: now,
            expires_at: now,
            version: token::VERSION,
        },
    };
    let request = Request {
        token: &token,
        project: &found.value,
        digest: "",
        resolved,
        build_key,
    };
    let row = match new_preview(app, &request, now).await {
        Ok(row) => Preview {
            id: claim.job.clone(),
            ..row
        },
        // Whoever asks for it is told.
        Err(error) if matches!(error.code, Code::UnsupportedPlatform | Code::InvalidInput) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    // An earlier attempt, which gave way, has left its row.
    let expect = before.map_or(Expect::Absent, |row| Expect::Revision(row.revision));
    let batch = Batch::new().put(Record::Preview(row), expect).under(claim);
    match app.store.commit(batch).await {
        Ok(_) => Ok(true),
        Err(error) if error.code == Code::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a request would be answered with it.
fn serves(preview: &Preview, now: crate::clock::Timestamp) -> bool {
    !preview.status.is_final() || preview.lives(now)
}

/// Ends the row of a build that came to nothing before it began.
///
/// # Errors
/// When the store does not answer.
pub async fn nothing_to_do(app: &App, id: &JobId) -> Result<Batch> {
    let Some(found) = app.store.preview(id).await? else {
        return Ok(Batch::new());
    };
    let mut row = found.value;
    let message = "somebody has asked for it, or for a newer one".to_owned();
    super::request::cancelled(&mut row, message, app.clock.now());
    Ok(Batch::new().put(Record::Preview(row), Expect::Revision(found.revision)))
}
