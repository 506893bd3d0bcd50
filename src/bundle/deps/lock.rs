//! One filler at a time for each place in a cache: the others wait for it and
//! find it filled.

use std::path::Path;

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::bundle::stop::cancelled;
use crate::disk;
use crate::error::Result;

/// Waits for the place to be free and holds it until the guard is dropped.
pub(super) async fn hold(place: &Path, cancel: &CancellationToken) -> Result<OwnedMutexGuard<()>> {
    tokio::select! {
        guard = disk::hold(place) => Ok(guard),
        () = cancel.cancelled() => Err(cancelled()),
    }
}
