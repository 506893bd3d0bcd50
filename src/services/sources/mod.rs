//! Where a project's commits come from: uploads, the request for a sync, and
//! looking at what is there.

pub mod browse;
pub mod sync;
pub mod upload;

use crate::app::App;
use crate::domain::ProjectId;
use crate::error::{Code, Error, Result};
use crate::store::queue::Claim;
use crate::store::{Batch, Expect, Record};

/// How often a change is tried again that met another one.
const TRIES: usize = 8;

/// Notes that the project's source was brought in just now. Under a claim, when
/// a job does it: `CONFLICT` once the claim is lost.
///
/// # Errors
/// `PROJECT_NOT_FOUND` when the project was deleted meanwhile; what was brought
/// in is removed again.
pub async fn mark_synced(app: &App, project: ProjectId, claim: Option<&Claim>) -> Result<()> {
    let mut last = None;
    for _ in 0..TRIES {
        let Some(found) = app.store.project(project).await? else {
            // The job that removes a deleted project's files may be over.
            app.repos.remove(project).await?;
            return Err(Error::new(
                Code::ProjectNotFound,
                "the project was deleted meanwhile",
            ));
        };
        let mut record = found.value;
        record.synced_at = Some(app.clock.now());
        let mut batch = Batch::new().put(Record::Project(record), Expect::Revision(found.revision));
        if let Some(claim) = claim {
            batch = batch.under(claim);
        }
        match app.store.commit(batch).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code == Code::Conflict => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::internal("a project was never written")))
}
