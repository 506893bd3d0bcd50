//! The last stages of a build, package and upload: from what the bundler has
//! made to a bundle in the store.

use std::sync::Arc;
use std::time::Duration;

use super::stages::Stages;
use crate::blobs::{BlobKey, BlobKind};
use crate::bundle::bounds::Bounds;
use crate::bundle::package::{self, Facts, Packed, Target};
use crate::bundle::product::Product;
use crate::bundle::stop::cancelled;
use crate::bundle::workbench::{Build, blocking};
use crate::domain::preview::{Bundle, Stage};
use crate::domain::project::ProjectKind;
use crate::error::{Code, Error, Result};

/// Waited before each further try of the upload.
const UPLOAD_PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

impl Stages<'_> {
    pub(super) async fn package(&mut self, build: &Build, product: Product) -> Result<Packed> {
        let preview = self.progress.preview();
        let facts = Facts {
            job_id: preview.id.clone(),
            project_id: preview.project_id,
            commit: preview.commit.clone(),
            platform: preview.platform,
            kind: build.plan.kind,
            built_at: self.app.clock.now(),
            token_version: preview.token.version,
        };
        let log_file = self.app.data.build_log(&preview.id);
        let scratch = build.bench.file("bundle.parts");
        let bounds = Bounds::new(&self.app.data, &self.app.config.builds.limits);
        let bounds = match build.plan.kind {
            ProjectKind::Static => bounds.of_sources(),
            _ => bounds,
        };
        let app = Arc::clone(self.app);
        let (stop, log) = (build.stop(), self.log.clone());
        self.stage(Stage::Package, async move {
            log.flush().await;
            let earlier = app.blobs.shelf(facts.project_id, BlobKind::Bundle).await?;
            let packed = blocking(move || {
                let target = Target {
                    shelf: &*earlier,
                    scratch: &scratch,
                    bounds: &bounds,
                };
                package::pack(&product, &facts, &log_file, &target, &stop)
            })
            .await?;
            log.note(format!(
                "bundle.zip: {} bytes, SHA-256 {}",
                packed.size, packed.sha256
            ))
            .await;
            Ok(packed)
        })
        .await
    }

    pub(super) async fn upload(&mut self, build: &Build, packed: Packed) -> Result<Bundle> {
        let preview = self.progress.preview();
        let key = BlobKey::bundle(preview.project_id, &preview.id);
        let (app, cancel) = (Arc::clone(self.app), self.cancel.clone());
        let log = self.log.clone();
        let kind = build.plan.kind;
        self.stage(Stage::Upload, async move {
            let mut pauses = UPLOAD_PAUSES.iter();
            loop {
                let error = match app.blobs.put(&key, &packed.parts).await {
                    Ok(()) => break,
                    Err(error) => error,
                };
                let Some(pause) = pauses.next() else {
                    return Err(Error::new(
                        Code::StorageUploadFailed,
                        "the bundle could not be stored after three tries; the operator finds the \
                         cause in the server's log",
                    )
                    .caused_by(error));
                };
                tracing::warn!(error = %error.chain(), "storing a bundle failed; trying again");
                log.note("storing the bundle failed; trying again").await;
                tokio::select! {
                    () = tokio::time::sleep(*pause) => {}
                    () = cancel.cancelled() => return Err(cancelled()),
                }
            }
            Ok(Bundle {
                key: key.as_str().to_owned(),
                size: packed.size,
                sha256: packed.sha256,
                kind,
                expires_at: app.clock.now().after(app.config.previews.bundle_ttl),
                bytecode: None,
            })
        })
        .await
    }
}
