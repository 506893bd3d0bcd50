//! Cancelling and retrying.

use super::open_for;
use super::request::{announce_end, cancelled, nudge};
use crate::app::App;
use crate::domain::JobId;
use crate::domain::preview::{Preview, PreviewStatus};
use crate::ephemeral::topic;
use crate::error::{Code, Error, Result};
use crate::services::auth::Actor;
use crate::services::projects::Need;
use crate::store::{Batch, Expect, Record};

/// How often a change is tried again when the worker's came first.
const TRIES: u32 = 8;

/// Ends a queued or running build. The worker is told and kills what it runs.
///
/// # Errors
/// `JOB_ALREADY_COMPLETED`, `JOB_NOT_FOUND`, and what
/// [`crate::services::projects::open`] refuses.
pub async fn cancel(app: &App, actor: &Actor, id: &JobId) -> Result<Preview> {
    for _ in 0..TRIES {
        let found = open_for(app, actor, id, Need::Build).await?;
        let mut preview = found.value;
        if preview.status.is_final() {
            return Err(Error::new(
                Code::JobAlreadyCompleted,
                format!(
                    "{id} has ended already ({}) and can no longer be cancelled",
                    preview.status.as_str()
                ),
            )
            .with("status", preview.status.as_str()));
        }
        cancelled(&mut preview, message(actor), app.clock.now());
        let batch = Batch::new().cancel(id.clone()).put(
            Record::Preview(preview.clone()),
            Expect::Revision(found.revision),
        );
        match app.store.commit(batch).await {
            Ok(_) => {
                stop_point!(CancelAfter);
                announce_end(app, id).await;
                return Ok(preview);
            }
            // A stage has ended meanwhile, or the build: look again.
            Err(e) if matches!(e.code, Code::Conflict | Code::JobAlreadyCompleted) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(
        Code::Conflict,
        format!("{id} changes faster than it can be cancelled; try again"),
    ))
}

fn message(actor: &Actor) -> String {
    match actor {
        Actor::User { user, .. } => format!("cancelled by {}", user.username),
        Actor::Operator => "cancelled by the operator".to_owned(),
        Actor::System => "cancelled by the server".to_owned(),
    }
}

/// Queues a failed or cancelled build again, as if it had not run.
///
/// # Errors
/// `CONFLICT` for a build that is under way or has succeeded, `JOB_NOT_FOUND`,
/// and what [`crate::services::projects::open`] refuses.
pub async fn retry(app: &App, actor: &Actor, id: &JobId) -> Result<Preview> {
    let found = open_for(app, actor, id, Need::Build).await?;
    let mut preview = found.value;
    match preview.status {
        PreviewStatus::Failed | PreviewStatus::Cancelled => {}
        status => {
            let why = if status == PreviewStatus::Success {
                "has succeeded; request a new preview instead"
            } else {
                "is still under way; cancel it first"
            };
            return Err(
                Error::new(Code::Conflict, format!("{id} {why}")).with("status", status.as_str())
            );
        }
    }
    preview.status = PreviewStatus::Queued;
    preview.stage = None;
    preview.percent = 0;
    preview.warm = None;
    preview.bundler = None;
    preview.sandbox = None;
    preview.timed_out = false;
    preview.error = None;
    preview.bundle = None;
    preview.started_at = None;
    preview.completed_at = None;
    let batch = Batch::new().put(
        Record::Preview(preview.clone()),
        Expect::Revision(found.revision),
    );
    app.queue.retry(id, batch).await?;
    nudge(app, &topic::preview(id), "").await;
    Ok(preview)
}
