//! Routes: whom a project is shared with.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Timestamp;
use crate::domain::project::MemberRole;
use crate::domain::{ProjectId, UserId};
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json, Paging, PagingParams, Path};
use crate::listing;
use crate::services::projects::members::{self, NamedMember};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MemberDto {
    user_id: UserId,
    username: String,
    role: MemberRole,
    #[schema(value_type = String, format = DateTime)]
    added_at: Timestamp,
}

impl From<NamedMember> for MemberDto {
    fn from(named: NamedMember) -> Self {
        Self {
            user_id: named.member.user_id,
            username: named.username,
            role: named.member.role,
            added_at: named.member.added_at,
        }
    }
}

listing!(MemberList, members: MemberDto);

/// Whom a project is shared with
#[utoipa::path(
    get, path = "/projects/{id}/members", tag = "projects",
    params(("id" = ProjectId, Path), PagingParams),
    responses(
        (status = 200, description = "Without the owner", body = MemberList),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
    ),
)]
async fn list(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(project): Path<ProjectId>,
    Paging(page): Paging,
) -> ApiResult<Json<MemberList>> {
    let page = members::list(&app, &actor, project, &page).await?;
    Ok(Json(page.map(MemberDto::from).into()))
}

#[derive(Deserialize, ToSchema)]
pub struct MemberRequest {
    user_id: UserId,
    role: MemberRole,
}

/// Share a project, or change a member's role
#[utoipa::path(
    post, path = "/projects/{id}/members", tag = "projects",
    params(("id" = ProjectId, Path)),
    request_body = MemberRequest,
    responses(
        (status = 201, description = "Shared", body = MemberDto),
        (status = 403, description = "`PROJECT_ACCESS_DENIED` for all but the owner", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`: no such account, or the owner", body = ErrorBody),
    ),
)]
async fn add(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(project): Path<ProjectId>,
    Json(body): Json<MemberRequest>,
) -> ApiResult<(StatusCode, Json<MemberDto>)> {
    let member = members::add(&app, &actor, project, body.user_id, body.role).await?;
    Ok((StatusCode::CREATED, Json(member.into())))
}

/// Stop sharing with a member
///
/// The owner ends anyone's membership, a member their own.
#[utoipa::path(
    delete, path = "/projects/{id}/members/{user_id}", tag = "projects",
    params(("id" = ProjectId, Path), ("user_id" = UserId, Path)),
    responses(
        (status = 204, description = "No member any more"),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`, `NOT_FOUND`: no member", body = ErrorBody),
    ),
)]
async fn remove(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path((project, user)): Path<(ProjectId, UserId)>,
) -> ApiResult<StatusCode> {
    members::remove(&app, &actor, project, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
