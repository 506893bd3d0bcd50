//! The pages that a person opens in a browser.

use utoipa_axum::router::OpenApiRouter;

use crate::http::AppState;

/// Pages outside `/api/v1`.
#[must_use]
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}
