//! The operator's side door: one call on the Unix socket, which only our user
//! can open.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;

use super::AppState;
use super::error::{self, ApiResult};
use super::extract::Json;
use super::outcome::OutcomeLayer;
use super::trace::TraceLayer;
use crate::services::operator::{self, Command};

/// Where commands are posted.
pub const PATH: &str = "/operator";

/// The socket's router: no route of the API, no caller but the operator.
pub fn router(app: AppState) -> Router {
    Router::new()
        .route(PATH, post(run))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(OutcomeLayer)
        .layer(TraceLayer(app.clone()))
        .with_state(app)
}

async fn run(State(app): State<AppState>, Json(command): Json<Command>) -> ApiResult<Json<Value>> {
    Ok(Json(operator::run(&app, command).await?))
}
