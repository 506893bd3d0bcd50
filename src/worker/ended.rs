//! The folder of an attempt that has ended: it gets another name at once, so that
//! the job may run again, and is removed beside the slots.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::dispatch::Work;
use super::{Place, Worker};
use crate::disk::remove_tree;
use crate::store::Claim;

/// How long removing a folder may go on after the hard stop.
const CLEANING: Duration = Duration::from_secs(2);

/// Clears what the attempt under `claim` has left, and gives its place up. The
/// files of an install take seconds to remove, and neither the next build nor the
/// next attempt at this one need wait for them. Only where too many folders are
/// being removed already the slot waits, or builds that are replaced again and
/// again would fill the disk.
pub(super) async fn clear(worker: &Arc<Worker>, work: &Work, claim: &Claim, place: Place) {
    let data = &worker.app.data;
    let Some(folder) = work.folder(data, &claim.job) else {
        return;
    };
    let aside = data.ended_tmp(&claim.job, claim.fence);
    let (doomed, place) = match tokio::fs::rename(&folder, &aside).await {
        Ok(()) => {
            drop(place);
            (aside, None)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return,
        Err(e) => {
            tracing::warn!(error = %e, "an ended attempt's folder could not be set aside");
            // It goes from where it lies, and the job runs here when it is gone.
            (folder, Some(place))
        }
    };
    remove(worker, doomed, place).await;
}

async fn remove(worker: &Arc<Worker>, doomed: PathBuf, place: Option<Place>) {
    let Ok(room) = Arc::clone(&worker.removing).acquire_owned().await else {
        unreachable!("the semaphore is never closed");
    };
    let halting = worker.app.lifecycle.halting().clone();
    let shown = doomed.display().to_string();
    let removed = tokio::task::spawn_blocking(move || {
        stop_point!(EndedAside);
        remove_tree(&doomed)
    });
    worker.cleaning.spawn(async move {
        let halted_long = async {
            halting.cancelled().await;
            tokio::time::sleep(CLEANING).await;
        };
        tokio::select! {
            removed = removed => {
                if let Ok(Err(e)) = removed {
                    tracing::warn!(folder = shown, error = %e, "an ended attempt's folder could not be removed");
                }
            }
            // The next start sweeps; the end of this process is not kept waiting
            // for a slow disk.
            () = halted_long => tracing::info!(folder = shown, "it is left for the next start"),
        }
        drop((place, room));
    });
}
