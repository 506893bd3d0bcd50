//! The preview's row while it is built: written under the claim, and told to
//! those who follow it.

use std::sync::Arc;

use crate::app::App;
use crate::domain::JobId;
use crate::domain::preview::{Bundle, Preview, PreviewStatus, Stage};
use crate::ephemeral::topic;
use crate::error::{Code, Error, Result};
use crate::store::{Batch, Claim, Expect, Record};

pub(super) struct Progress {
    app: Arc<App>,
    claim: Claim,
    revision: u64,
    preview: Preview,
}

impl Progress {
    /// Reads the row and notes that an attempt has begun.
    pub(super) async fn begin(app: &Arc<App>, claim: &Claim, id: &JobId) -> Result<Self> {
        let found = app.store.preview(id).await?.ok_or_else(|| {
            Error::new(
                Code::JobNotFound,
                format!("{id} has no preview; its project was deleted"),
            )
        })?;
        let mut progress = Self {
            app: Arc::clone(app),
            claim: claim.clone(),
            revision: found.revision,
            preview: found.value,
        };
        let now = app.clock.now();
        progress
            .update(|preview| {
                preview.status = PreviewStatus::Building;
                preview.stage = Some(Stage::Checkout);
                preview.percent = 0;
                preview.warm = None;
                preview.bundler = None;
                preview.error = None;
                preview.timed_out = false;
                preview.started_at = Some(now);
                preview.completed_at = None;
            })
            .await?;
        Ok(progress)
    }

    pub(super) fn preview(&self) -> &Preview {
        &self.preview
    }

    /// Shows that `stage` runs.
    pub(super) async fn enter(&mut self, stage: Stage) -> Result<()> {
        self.update(|preview| {
            preview.stage = Some(stage);
            preview.status = stage.status();
            preview.percent = preview.percent.max(stage.percent());
        })
        .await
    }

    /// # Errors
    /// `CANCELLED` when the claim or the row is another's by now.
    pub(super) async fn update(&mut self, change: impl FnOnce(&mut Preview)) -> Result<()> {
        let mut preview = self.preview.clone();
        change(&mut preview);
        if preview == self.preview {
            return Ok(());
        }
        let batch = Batch::new()
            .put(
                Record::Preview(preview.clone()),
                Expect::Revision(self.revision),
            )
            .under(&self.claim);
        match self.app.store.commit(batch).await {
            Ok(_) => {}
            Err(e) if e.code == Code::Conflict => {
                return Err(Error::new(
                    Code::Cancelled,
                    "the job was cancelled or taken over by another worker",
                )
                .caused_by(e));
            }
            Err(e) => return Err(e),
        }
        self.revision += 1;
        self.preview = preview;
        // Those who follow look at the row again by themselves, only later.
        let topic = topic::preview(&self.preview.id);
        let _ = self.app.ephemeral.publish(&topic, "").await;
        Ok(())
    }

    /// The batch that ends the preview well.
    pub(super) fn success(self, bundle: Bundle) -> Batch {
        let preview = Preview {
            status: PreviewStatus::Success,
            stage: None,
            percent: 100,
            bundle: Some(bundle),
            completed_at: Some(self.app.clock.now()),
            ..self.preview
        };
        Batch::new().put(Record::Preview(preview), Expect::Revision(self.revision))
    }
}
