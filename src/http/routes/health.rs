//! Routes: is it well? Answered under `/api/v1` like everything, and at the
//! root, where load balancers and container runtimes look.

use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{Code, Error};
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json};
use crate::services::health::{self, Health, HealthStatus};

#[must_use]
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(up))
        .routes(routes!(store))
        .routes(routes!(queue))
        .routes(routes!(deep))
}

/// For whoever restarts or routes to processes.
#[must_use]
pub fn probes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
}

#[derive(Serialize, ToSchema)]
pub struct Up {
    status: HealthStatus,
}

const UP: Json<Up> = Json(Up {
    status: HealthStatus::Ok,
});

/// Whether the server answers at all.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Up)))]
async fn up() -> Json<Up> {
    UP
}

/// The adapter's name with `true` beside the status, such as `"redb": true`.
#[derive(Serialize, ToSchema)]
pub struct Tier {
    status: HealthStatus,
    #[serde(flatten)]
    #[schema(value_type = Object, example = json!({"redb": true}))]
    adapter: BTreeMap<&'static str, bool>,
}

async fn tier(app: &AppState) -> ApiResult<Json<Tier>> {
    health::store_answers(app).await?;
    Ok(Json(Tier {
        status: HealthStatus::Ok,
        adapter: BTreeMap::from([(app.store.name(), true)]),
    }))
}

/// Whether the store of the truth answers.
#[utoipa::path(get, path = "/health/db", tag = "health", security(()), responses(
    (status = 200, body = Tier),
    (status = 503, body = ErrorBody),
))]
async fn store(State(app): State<AppState>) -> ApiResult<Json<Tier>> {
    tier(&app).await
}

/// Whether the job queue answers: Redis in the standard profile, the store of
/// the truth in the embedded one.
#[utoipa::path(get, path = "/health/redis", tag = "health", security(()), responses(
    (status = 200, body = Tier),
    (status = 503, body = ErrorBody),
))]
async fn queue(State(app): State<AppState>) -> ApiResult<Json<Tier>> {
    tier(&app).await
}

/// A look at every store, queue, worker and the disk. For administrators and
/// the read-only roles.
#[utoipa::path(get, path = "/health/deep", tag = "health", responses(
    (status = 200, body = Health),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody),
))]
async fn deep(State(app): State<AppState>, Caller(actor): Caller) -> ApiResult<Json<Health>> {
    Ok(Json(health::deep(&app, &actor).await?))
}

/// Whether the process lives.
#[utoipa::path(get, path = "/livez", tag = "health", security(()), responses((status = 200, body = Up)))]
async fn live() -> Json<Up> {
    UP
}

/// Whether the process wants requests: the store answers and no stop is under
/// way.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, body = Up),
    (status = 503, body = ErrorBody),
))]
async fn ready(State(app): State<AppState>) -> ApiResult<Json<Up>> {
    if app.lifecycle.stopping().is_cancelled() {
        return Err(Error::new(Code::DependencyFailure, "the server is stopping").into());
    }
    health::store_answers(&app).await?;
    Ok(UP)
}
