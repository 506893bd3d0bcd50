//! One at a time for each place on the disk: who comes second waits, and finds
//! what the first has made.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Place = AsyncMutex<()>;

/// Only this process writes into its data folder (the database's lock sees to
/// that), so a lock in memory is enough.
static PLACES: LazyLock<Mutex<HashMap<PathBuf, Weak<Place>>>> = LazyLock::new(Mutex::default);

/// Waits for the place to be free and holds it until the guard is dropped. Work
/// that outlives its caller takes the guard along.
pub async fn hold(place: &Path) -> OwnedMutexGuard<()> {
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
    entry.lock_owned().await
}
