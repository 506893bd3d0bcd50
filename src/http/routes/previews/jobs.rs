//! Showing, cancelling and retrying preview jobs.

use axum::extract::State;
use serde::Deserialize;

use super::PreviewDto;
use crate::domain::preview::{Platform, PreviewStatus};
use crate::domain::{JobId, ProjectId};
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{
    AccessParam, Caller, JobReader, Json, Paging, PagingParams, Path, Query,
};
use crate::listing;
use crate::services::previews::{change, read};

/// How a preview stands
#[utoipa::path(
    get, path = "/preview/status/{job_id}", tag = "previews",
    params(("job_id" = JobId, Path), AccessParam),
    responses(
        (status = 200, body = PreviewDto),
        (status = 404, description = "`JOB_NOT_FOUND`", body = ErrorBody),
        (status = 410, description = "`PREVIEW_EXPIRED`, for the holder of an access token", body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(app): State<AppState>,
    JobReader { id, reader }: JobReader,
) -> ApiResult<Json<PreviewDto>> {
    let preview = read::status(&app, &reader, &id).await?;
    Ok(Json(PreviewDto::new(preview, app.clock.now())))
}

/// Cancel a queued or running build
#[utoipa::path(
    post, path = "/preview/cancel/{job_id}", tag = "previews",
    params(("job_id" = JobId, Path)),
    responses(
        (status = 200, description = "Cancelled", body = PreviewDto),
        (status = 404, description = "`JOB_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`JOB_ALREADY_COMPLETED`", body = ErrorBody),
    ),
)]
pub(super) async fn cancel(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(id): Path<JobId>,
) -> ApiResult<Json<PreviewDto>> {
    let preview = change::cancel(&app, &actor, &id).await?;
    Ok(Json(PreviewDto::new(preview, app.clock.now())))
}

/// Queue a failed or cancelled build again
#[utoipa::path(
    post, path = "/preview/retry/{job_id}", tag = "previews",
    params(("job_id" = JobId, Path)),
    responses(
        (status = 200, description = "Queued again", body = PreviewDto),
        (status = 404, description = "`JOB_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CONFLICT`: under way, or it has succeeded", body = ErrorBody),
    ),
)]
pub(super) async fn retry(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(id): Path<JobId>,
) -> ApiResult<Json<PreviewDto>> {
    let preview = change::retry(&app, &actor, &id).await?;
    Ok(Json(PreviewDto::new(preview, app.clock.now())))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    status: Option<PreviewStatus>,
    platform: Option<Platform>,
}

listing!(PreviewList, previews: PreviewDto);

/// A project's previews, newest first
#[utoipa::path(
    get, path = "/projects/{id}/previews", tag = "previews",
    params(("id" = ProjectId, Path), ListParams, PagingParams),
    responses(
        (status = 200, body = PreviewList),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
    ),
)]
pub(super) async fn of_project(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(project): Path<ProjectId>,
    Query(params): Query<ListParams>,
    Paging(page): Paging,
) -> ApiResult<Json<PreviewList>> {
    let which = read::Which {
        status: params.status,
        platform: params.platform,
    };
    let page = read::of_project(&app, &actor, project, which, &page).await?;
    let now = app.clock.now();
    Ok(Json(page.map(|p| PreviewDto::new(p, now)).into()))
}
