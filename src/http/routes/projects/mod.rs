//! Routes: projects. [`dto`] is their form on the wire.

pub mod dto;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::ProjectId;
use crate::domain::project::ProjectConfig;
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json, Paging, PagingParams, Path};
use crate::services::projects::config::Named;
use crate::services::projects::manage::{self, NewProject, ProjectChange};
use crate::services::projects::{self, Need};
use dto::{ProjectDto, ProjectList, SourceRequest};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, update, delete))
}

/// The own and the shared projects, newest first
#[utoipa::path(
    get, path = "/projects", tag = "projects",
    params(PagingParams),
    responses(
        (status = 200, description = "A page of them", body = ProjectList),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
    ),
)]
async fn list(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Paging(page): Paging,
) -> ApiResult<Json<ProjectList>> {
    let page = manage::list(&app, &actor, &page).await?;
    Ok(Json(page.map(ProjectDto::from).into()))
}

#[derive(Deserialize, ToSchema)]
pub struct ProjectRequest {
    /// 1 to 100 characters.
    #[schema(example = "Shop app")]
    name: String,
    /// Default: `{"kind": "upload"}`.
    source: Option<SourceRequest>,
    /// Unlike other fields, an unknown key is refused.
    #[schema(value_type = Option<ProjectConfig>)]
    config: Option<Named>,
}

/// Create a project
#[utoipa::path(
    post, path = "/projects", tag = "projects",
    request_body = ProjectRequest,
    responses(
        (status = 201, description = "Created", body = ProjectDto),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`FORBIDDEN` for a token without the scope full", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`", body = ErrorBody),
    ),
)]
async fn create(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Json(body): Json<ProjectRequest>,
) -> ApiResult<(StatusCode, Json<ProjectDto>)> {
    let new = NewProject {
        name: body.name,
        source: body.source.map(Into::into),
        config: body.config.unwrap_or_default(),
    };
    let project = manage::create(&app, &actor, new).await?;
    Ok((StatusCode::CREATED, Json(project.into())))
}

/// A project
#[utoipa::path(
    get, path = "/projects/{id}", tag = "projects",
    params(("id" = ProjectId, Path)),
    responses(
        (status = 200, description = "The project", body = ProjectDto),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
    ),
)]
async fn show(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(id): Path<ProjectId>,
) -> ApiResult<Json<ProjectDto>> {
    let project = projects::open(&app, &actor, id, Need::Read).await?;
    Ok(Json(project.value.into()))
}

/// Only what is given changes.
#[derive(Deserialize, ToSchema)]
pub struct ProjectPatch {
    name: Option<String>,
    /// Replaces the source. A credential that is left out is kept as long as
    /// the URL stays; null removes it.
    source: Option<SourceRequest>,
    /// A key that is not named stays as it is, null resets one. Unlike other
    /// fields, an unknown key is refused.
    #[schema(value_type = Option<ProjectConfig>)]
    config: Option<Named>,
    /// An admin vouches for the project's code: it may build where there is
    /// no sandbox.
    trusted: Option<bool>,
}

/// Change a project
#[utoipa::path(
    patch, path = "/projects/{id}", tag = "projects",
    params(("id" = ProjectId, Path)),
    request_body = ProjectPatch,
    responses(
        (status = 200, description = "As it is now", body = ProjectDto),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`, `FORBIDDEN`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`", body = ErrorBody),
    ),
)]
async fn update(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(id): Path<ProjectId>,
    Json(body): Json<ProjectPatch>,
) -> ApiResult<Json<ProjectDto>> {
    let change = ProjectChange {
        name: body.name,
        source: body.source.map(Into::into),
        config: body.config.unwrap_or_default(),
        trusted: body.trusted,
    };
    let project = manage::update(&app, &actor, id, change).await?;
    Ok(Json(project.into()))
}

/// Delete a project
///
/// Its builds end and its previews are gone at once; its files go soon after.
#[utoipa::path(
    delete, path = "/projects/{id}", tag = "projects",
    params(("id" = ProjectId, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "`PROJECT_ACCESS_DENIED` for all but the owner", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
    ),
)]
async fn delete(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(id): Path<ProjectId>,
) -> ApiResult<StatusCode> {
    manage::delete(&app, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
