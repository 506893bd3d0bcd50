//! The loop that claims jobs, keeps their leases and runs them.

use std::sync::Arc;

use crate::app::App;
use crate::error::Result;

/// Runs jobs until the soft stop, then those it has until the hard stop.
pub async fn run(app: Arc<App>) -> Result<()> {
    app.lifecycle.stopping().cancelled().await;
    Ok(())
}
