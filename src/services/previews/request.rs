//! From a token to the build it stands for.

use ring::digest::{Context as Digest, SHA256};

use super::issue::{admit, resolve};
use super::{estimate, find, judge};
use crate::app::App;
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::preview::{BuildError, NewPreview, Platform, Preview, PreviewStatus};
use crate::domain::project::Project;
use crate::ephemeral::topic;
use crate::error::{Code, Error, Result};
use crate::git::Resolved;
use crate::jobs::JobKind;
use crate::jobs::preview::PreviewJob;
use crate::services::auth;
use crate::services::token::{self, PreviewToken};
use crate::store::{Batch, Expect, Page, PreviewFilter, Record, Versioned};

/// How often a build is decided again when another change came first.
const TRIES: u32 = 8;

/// A token's answer: the job that builds, or has built, what it asks for.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub job_id: JobId,
    /// 0 when the bundle is there already.
    pub estimated_seconds: u32,
    pub access_token: String,
}

/// Builds what the token asks for, or finds the build that does so already.
///
/// The same token is always answered with the same job. A running build of the
/// same commit for the same platform is shared, a finished bundle is handed
/// out again and lives longer for it, and an older build of the branch that is
/// still under way is cancelled.
///
/// # Errors
/// `INVALID_OR_EXPIRED_TOKEN`, `UNSUPPORTED_PLATFORM`, `PROJECT_NOT_FOUND`,
/// `PROJECT_ACCESS_DENIED` when the project is no longer shared with the
/// token's user, `REF_NOT_FOUND`, `STORAGE_FULL`, `INVALID_INPUT` when a file of
/// the commit says that it cannot be built.
pub async fn build(app: &App, text: &str) -> Result<Accepted> {
    let (token, project) = admit(app, text).await?;
    let digest = auth::digest_of(text);
    if let Some(id) = app.store.preview_by_token(&digest).await? {
        return accepted(app, &id).await;
    }
    for _ in 0..TRIES {
        // Anew each time: the branch may have moved on meanwhile, and an older
        // commit must not replace a newer one.
        let resolved = resolve(app, &project, &token.git_ref).await?;
        let request = Request {
            build_key: build_key(app, &project, &resolved.commit, token.platform),
            token: &token,
            project: &project,
            digest: &digest,
            resolved,
        };
        match decide(app, &request).await {
            Ok(id) => return accepted(app, &id).await,
            // Another request with this token, or another change of one of
            // the builds: look again at how things stand.
            Err(error) if matches!(error.code, Code::Conflict | Code::JobAlreadyCompleted) => {
                if let Some(id) = app.store.preview_by_token(&digest).await? {
                    return accepted(app, &id).await;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(
        Code::Conflict,
        "the builds of this project change faster than this request can be placed; try again",
    ))
}

/// A checked token and what its ref means now.
pub(super) struct Request<'a> {
    pub(super) token: &'a PreviewToken,
    pub(super) project: &'a Project,
    pub(super) digest: &'a str,
    pub(super) resolved: Resolved,
    pub(super) build_key: String,
}

/// Places the request in one commit. `CONFLICT` and `JOB_ALREADY_COMPLETED`
/// say that the state it was decided on has changed.
async fn decide(app: &App, request: &Request<'_>) -> Result<JobId> {
    let now = app.clock.now();
    let found = app.store.preview_by_build_key(&request.build_key).await?;
    let is_ahead =
        |found: &Versioned<Preview>| !found.value.is_asked_for() && !found.value.status.is_final();
    let (ahead, found) = match found {
        Some(found) if is_ahead(&found) => (Some(found), None),
        found => (None, found),
    };
    let reused = found.and_then(|preview| reuse(app, preview, request, now));
    let (id, batch) = match reused {
        Some((preview, changed)) => again(preview, changed),
        None => anew(app, request, now).await?,
    };
    let binding = Record::PreviewToken {
        digest: request.digest.to_owned(),
        preview: id.clone(),
    };
    let mut batch = batch.put(binding, Expect::Absent);
    let mut replaced = replaced_by(app, request, &id).await?;
    if !replaced.is_empty() {
        has_not_moved(app, request).await?;
    }
    // What is built ahead gives way even here: it waits for quiet, and would be
    // interrupted by the next build of anybody.
    replaced.extend(ahead);
    for older in &replaced {
        batch = supersede(batch, older, request, now);
    }
    stop_point!(EnqueueBefore);
    app.store.commit(batch).await?;
    stop_point!(EnqueueAfter);
    for older in replaced {
        announce_end(app, &older.value.id).await;
    }
    nudge(app, &topic::preview(&id), "").await;
    Ok(id)
}

/// The batch that hands out a preview which is there already.
fn again(preview: Versioned<Preview>, changed: bool) -> (JobId, Batch) {
    let id = preview.value.id.clone();
    let batch = Batch::new();
    if !changed {
        return (id, batch);
    }
    let expect = Expect::Revision(preview.revision);
    (id, batch.put(Record::Preview(preview.value), expect))
}

/// The batch that begins a build.
async fn anew(app: &App, request: &Request<'_>, now: Timestamp) -> Result<(JobId, Batch)> {
    app.data.require_free(app.config.min_free_disk_bytes)?;
    let preview = new_preview(app, request, now).await?;
    let id = preview.id.clone();
    let job = PreviewJob {
        project_id: preview.project_id,
    };
    let batch = Batch::new()
        .put(Record::Preview(preview), Expect::Absent)
        .enqueue(job.into_new_job(id.clone())?);
    Ok((id, batch))
}

/// What is under way may be the newer one, if the branch has moved since this
/// request looked. From here on the store sees to it: it refuses the batch when
/// another commit of the branch has been begun.
async fn has_not_moved(app: &App, request: &Request<'_>) -> Result<()> {
    let now_there = resolve(app, request.project, &request.token.git_ref).await?;
    if now_there.commit == request.resolved.commit {
        Ok(())
    } else {
        Err(Error::new(Code::Conflict, "the branch has moved meanwhile"))
    }
}

/// The preview, if it answers this request too, and whether its row changes.
fn reuse(
    app: &App,
    mut preview: Versioned<Preview>,
    request: &Request<'_>,
    now: Timestamp,
) -> Option<(Versioned<Preview>, bool)> {
    if !preview.value.status.is_final() {
        return Some((preview, false));
    }
    let bundle = preview.value.bundle.as_mut()?;
    if preview.value.status != PreviewStatus::Success || bundle.expires_at <= now {
        return None;
    }
    let renewed = now.after(app.config.previews.bundle_ttl);
    let mut changes = renewed > bundle.expires_at;
    bundle.expires_at = renewed.max(bundle.expires_at);
    if !preview.value.is_asked_for() {
        let token = request.token;
        preview.value.requested_by = token.user;
        preview.value.git_ref.clone_from(&token.git_ref);
        preview.value.token = token.facts.clone();
        changes = true;
    }
    Some((preview, changes))
}

/// The row of a build that begins.
///
/// # Errors
/// What [`judge::judge`] refuses.
pub(super) async fn new_preview(
    app: &App,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Preview> {
    let token = request.token;
    let lately = PreviewFilter {
        project: Some(token.project),
        platform: Some(token.platform),
        status: Some(PreviewStatus::Success),
        ..PreviewFilter::default()
    };
    let recent = app.store.previews(&lately, &Page::first(10)).await?.items;
    // What has been built is seldom impossible soon after, and says so quickly
    // enough; reading two files would be a good part of a warm build's time.
    if recent.is_empty() {
        let commit = &request.resolved.commit;
        judge::judge(app, request.project, commit, token.platform).await?;
    }
    Ok(Preview::queued(NewPreview {
        id: JobId::generate(app.random.as_ref(), now),
        project_id: token.project,
        requested_by: token.user,
        git_ref: token.git_ref.clone(),
        branch: request.resolved.branch.clone(),
        commit: request.resolved.commit.clone(),
        platform: token.platform,
        build_key: request.build_key.clone(),
        token: token.facts.clone(),
        estimated_seconds: estimate::seconds(token.platform, &recent),
        created_at: now,
    }))
}

/// The builds under way that this request makes pointless: of the same branch
/// and platform, of another commit. The branch has just been resolved, so
/// theirs is the older one.
async fn replaced_by(
    app: &App,
    request: &Request<'_>,
    id: &JobId,
) -> Result<Vec<Versioned<Preview>>> {
    let Some(branch) = &request.resolved.branch else {
        return Ok(Vec::new());
    };
    let mut replaced = Vec::new();
    for older in app.store.active_previews(request.token.project).await? {
        let pointless = older.id != *id
            && older.branch.as_ref() == Some(branch)
            && older.platform == request.token.platform
            && older.commit != request.resolved.commit;
        if !pointless {
            continue;
        }
        // Read again for its revision.
        let older = find(app, &older.id).await?;
        if !older.value.status.is_final() {
            replaced.push(older);
        }
    }
    Ok(replaced)
}

fn supersede(
    batch: Batch,
    older: &Versioned<Preview>,
    request: &Request<'_>,
    now: Timestamp,
) -> Batch {
    let commit = &request.resolved.commit;
    let message = if older.value.commit == *commit {
        "begun anew because somebody has asked for it".to_owned()
    } else {
        format!(
            "replaced by the newer commit {} of the branch {}",
            commit.get(..12).unwrap_or(commit),
            request.resolved.branch.as_deref().unwrap_or_default(),
        )
    };
    let mut row = older.value.clone();
    cancelled(&mut row, message, now);
    batch
        .cancel(row.id.clone())
        .put(Record::Preview(row), Expect::Revision(older.revision))
}

/// Marks a row as cancelled; its job must be cancelled in the same batch.
pub(super) fn cancelled(preview: &mut Preview, message: String, now: Timestamp) {
    preview.status = PreviewStatus::Cancelled;
    preview.completed_at = Some(now);
    preview.error = Some(BuildError {
        code: Code::Cancelled.as_str().to_owned(),
        message,
    });
}

/// Tells the worker to stop and everybody who follows that it is over.
pub(in crate::services) async fn announce_end(app: &App, id: &JobId) {
    nudge(app, topic::CANCEL, id.as_str()).await;
    nudge(app, &topic::preview(id), "").await;
    nudge(app, &topic::log(id), "").await;
}

/// Publishes an event. What it says stands in the store already, so losing it
/// delays somebody and breaks nothing.
pub(super) async fn nudge(app: &App, topic: &str, event: &str) {
    if let Err(error) = app.ephemeral.publish(topic, event).await {
        tracing::warn!(error = error.chain(), "an event was not published");
    }
}

async fn accepted(app: &App, id: &JobId) -> Result<Accepted> {
    let preview = find(app, id).await?.value;
    Ok(Accepted {
        estimated_seconds: estimate::left(&preview, app.clock.now()).unwrap_or(0),
        access_token: token::access(&app.config.secrets.preview_token, id),
        job_id: preview.id,
    })
}

/// Equal for builds that must give the same bundle.
pub(super) fn build_key(app: &App, project: &Project, commit: &str, platform: Platform) -> String {
    let config = serde_json::to_string(&project.config).unwrap_or_default();
    let mut digest = Digest::new(&SHA256);
    for part in [
        "build 1",
        &project.id.to_string(),
        commit,
        platform.as_str(),
        &config,
        &toolchain(app),
    ] {
        // The length keeps neighbours apart.
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    data_encoding::HEXLOWER.encode(digest.finish().as_ref())
}

/// What builds, as far as it can change what comes of it.
fn toolchain(app: &App) -> String {
    let ours = env!("CARGO_PKG_VERSION");
    match app.sandbox.toolchain() {
        Some(found) => format!(
            "hivesync {ours} node {} npm {}",
            found.node_version, found.npm_version
        ),
        None => format!("hivesync {ours}"),
    }
}
