//! One filler at a time for each place in a cache: the others wait for it and
//! find it filled.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::bundle::workbench::cancelled;
use crate::error::Result;

type Place = AsyncMutex<()>;

/// Only this process fills caches of its data folder (the database's lock sees
/// to that), so a lock in memory is enough.
static PLACES: LazyLock<Mutex<HashMap<PathBuf, Weak<Place>>>> = LazyLock::new(Mutex::default);

/// Waits for the place to be free and holds it until the guard is dropped.
pub(super) async fn hold(place: &Path, cancel: &CancellationToken) -> Result<OwnedMutexGuard<()>> {
    let entry = {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| place.strong_count() > 0);
        let known = places.get(place).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let entry = Arc::new(Place::default());
            places.insert(place.to_owned(), Arc::downgrade(&entry));
            entry
        })
    };
    tokio::select! {
        guard = entry.lock_owned() => Ok(guard),
        () = cancel.cancelled() => Err(cancelled()),
    }
}
