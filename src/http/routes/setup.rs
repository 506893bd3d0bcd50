//! Routes: the first admin.

use utoipa_axum::router::OpenApiRouter;

use crate::http::AppState;

#[must_use]
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}
