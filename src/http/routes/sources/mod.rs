//! Routes: where commits come from. Looking at them is in [`browse`].

pub mod browse;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Timestamp;
use crate::domain::job::{Job, JobFailure, JobState};
use crate::domain::{JobId, ProjectId};
use crate::error::Code;
use crate::git::Imported;
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json, Path};
use crate::services::sources::{sync, upload};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(put_archive))
        .routes(routes!(request_sync))
        .routes(routes!(get_job))
        .merge(browse::routes())
}

#[derive(Serialize, ToSchema)]
pub struct UploadDto {
    /// The commit that the archive has become, or the one that has the same
    /// files already.
    commit: String,
    /// The branch.
    #[serde(rename = "ref")]
    #[schema(example = "upload")]
    git_ref: &'static str,
    /// Files and symbolic links in it.
    files: u64,
    skipped: SkippedDto,
}

/// Entries that were left out on purpose.
#[derive(Serialize, ToSchema)]
pub struct SkippedDto {
    /// Below `.git` folders.
    git: u64,
    /// Below `node_modules` folders.
    node_modules: u64,
    /// What macOS adds.
    other: u64,
}

impl From<Imported> for UploadDto {
    fn from(imported: Imported) -> Self {
        Self {
            commit: imported.commit,
            git_ref: imported.branch,
            files: imported.files,
            skipped: SkippedDto {
                git: imported.skipped.git,
                node_modules: imported.skipped.node_modules,
                other: imported.skipped.other,
            },
        }
    }
}

/// Upload the project's files as an archive
///
/// The body is a `.zip` or a `.tar.gz`; its first bytes tell which. A single
/// folder around everything is stripped; `.git` and `node_modules` folders are
/// left out. Nothing is stored of an archive that is refused.
#[utoipa::path(
    put, path = "/projects/{id}/source/archive", tag = "sources",
    params(("id" = ProjectId, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "A commit on branch `upload`", body = UploadDto),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CONFLICT`: the project's source is not upload", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`", body = ErrorBody),
        (status = 415, description = "`UNSUPPORTED_MEDIA_TYPE`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`: damaged, or holds what must not be stored", body = ErrorBody),
    ),
)]
async fn put_archive(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(project): Path<ProjectId>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<(StatusCode, Json<UploadDto>)> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let body = body.into_data_stream();
    let imported = upload::archive(&app, &actor, project, length, body).await?;
    Ok((StatusCode::CREATED, Json(imported.into())))
}

#[derive(Serialize, ToSchema)]
pub struct SyncDto {
    job_id: JobId,
}

/// Fetch the linked repository
///
/// `GET /jobs/{job_id}` follows the job. A sync that waits already is answered
/// again.
#[utoipa::path(
    post, path = "/projects/{id}/sync", tag = "sources",
    params(("id" = ProjectId, Path)),
    responses(
        (status = 202, description = "Queued", body = SyncDto),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CONFLICT`: nothing is linked to the project", body = ErrorBody),
    ),
)]
async fn request_sync(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(project): Path<ProjectId>,
) -> ApiResult<(StatusCode, Json<SyncDto>)> {
    let job_id = sync::request(&app, &actor, project).await?;
    Ok((StatusCode::ACCEPTED, Json(SyncDto { job_id })))
}

#[derive(Serialize, ToSchema)]
pub struct JobDto {
    job_id: JobId,
    /// Null for a job of the server itself.
    project_id: Option<ProjectId>,
    #[schema(example = "sync")]
    kind: String,
    status: JobState,
    /// How often it was started.
    attempts: u32,
    max_attempts: u32,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
    /// Why the latest attempt failed; it may be tried again.
    error: Option<JobErrorDto>,
}

#[derive(Serialize, ToSchema)]
pub struct JobErrorDto {
    code: String,
    message: String,
}

impl From<JobFailure> for JobErrorDto {
    fn from(failure: JobFailure) -> Self {
        // As everywhere, inner faults are told to the log alone.
        let inner = failure.code == Code::InternalError.as_str();
        Self {
            message: if inner {
                "something failed inside the server; its log has the cause".to_owned()
            } else {
                failure.message
            },
            code: failure.code,
        }
    }
}

impl From<Job> for JobDto {
    fn from(job: Job) -> Self {
        let error = job
            .last_error
            .filter(|_| job.state != JobState::Succeeded)
            .map(JobErrorDto::from);
        Self {
            job_id: job.id,
            project_id: (job.group != 0).then_some(ProjectId(job.group)),
            kind: job.kind,
            status: job.state,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            created_at: job.created_at,
            started_at: job.started_at,
            completed_at: job.finished_at,
            error,
        }
    }
}

/// Follow a job
///
/// Of any kind, whose project the caller can read.
#[utoipa::path(
    get, path = "/jobs/{job_id}", tag = "sources",
    params(("job_id" = JobId, Path)),
    responses(
        (status = 200, body = JobDto),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`JOB_NOT_FOUND`", body = ErrorBody),
    ),
)]
async fn get_job(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(id): Path<JobId>,
) -> ApiResult<Json<JobDto>> {
    Ok(Json(sync::job(&app, &actor, &id).await?.into()))
}
