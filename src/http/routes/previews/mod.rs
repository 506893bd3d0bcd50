//! Routes: previews. [`request`] asks for them, [`jobs`] shows and changes
//! them, [`events`] follows them and [`download`] hands them out.

pub mod download;
pub mod events;
pub mod jobs;
pub mod request;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Timestamp;
use crate::domain::preview::{
    BuildError, BundlerOrigin, Bytecode, Platform, Preview, PreviewStatus, SandboxLevel, Stage,
};
use crate::domain::{JobId, ProjectId};
use crate::http::AppState;
use crate::services::previews::estimate;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(request::token))
        .routes(routes!(request::build))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::of_project))
        .routes(routes!(events::follow))
        .routes(routes!(events::logs))
        .routes(routes!(download::bundle))
        .routes(routes!(download::bytecode))
}

/// A preview as its readers see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewDto {
    pub job_id: JobId,
    pub project_id: ProjectId,
    pub status: PreviewStatus,
    /// What the build is at; null before it starts.
    pub stage: Option<Stage>,
    /// 0 to 1: 0.10 checkout, 0.25 dependencies, 0.50 bundling, 0.80
    /// packaging, 1.00 ready.
    #[schema(minimum = 0, maximum = 1)]
    pub progress: f64,
    /// A guess of the seconds that are left; null at the end.
    pub eta_seconds: Option<u32>,
    /// The full commit id.
    pub commit: String,
    pub platform: Platform,
    /// Bytes of the bundle.
    pub size: Option<u64>,
    /// Of iOS and Android builds for Hermes: the JavaScript compiled in the
    /// background after the build, to be had from
    /// `/preview/bytecode/{job_id}`; null where there is none (yet).
    pub bytecode: Option<Bytecode>,
    /// Whether the build found its caches; null until that is known.
    pub warm: Option<bool>,
    /// `kept`: by the project's warm bundler; `started`: a bundler was started for
    /// the build. Null until that is known, and where nothing is bundled.
    pub bundler: Option<BundlerOrigin>,
    /// How the build was walled off; null until it runs.
    pub sandbox: Option<SandboxLevel>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// Why it failed or was cancelled.
    pub error: Option<BuildError>,
}

impl PreviewDto {
    fn new(preview: Preview, now: Timestamp) -> Self {
        let eta_seconds = estimate::left(&preview, now);
        let (size, bytecode) = preview
            .bundle
            .map(|bundle| (bundle.size, bundle.bytecode))
            .unzip();
        Self {
            eta_seconds,
            job_id: preview.id,
            project_id: preview.project_id,
            status: preview.status,
            stage: preview.stage,
            progress: f64::from(preview.percent) / 100.0,
            commit: preview.commit,
            platform: preview.platform,
            size,
            bytecode: bytecode.flatten(),
            warm: preview.warm,
            bundler: preview.bundler,
            sandbox: preview.sandbox,
            created_at: preview.created_at,
            started_at: preview.started_at,
            completed_at: preview.completed_at,
            error: preview.error,
        }
    }
}
