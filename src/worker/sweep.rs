//! What an earlier process has left half done: temporary folders of builds
//! that nobody runs or that have ended, and of bundlers, with whoever is still at
//! work there, dependency sets that were being filled, and the folders of
//! canaries; and unpacked sites that are no longer believed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::App;
use crate::bundle::deps;
use crate::bundle::sandbox::{kill_leftovers, left_canaries};
use crate::bundle::warm::mark;
use crate::data_dir::DataDir;
use crate::disk::remove_tree;
use crate::domain::JobId;
use crate::domain::job::JobState;

/// Before the first claim: a build that is taken up again makes its folder anew.
/// Answers what is to be removed, which lies where no build looks: two bundlers'
/// dependencies alone take seconds, and nobody need wait for them. `worker` is a
/// name that no other worker has.
pub(super) async fn sweep(app: &App, worker: &str) -> Vec<PathBuf> {
    let (sandbox, data) = (app.sandbox.clone(), app.data.clone());
    let taken = tokio::task::spawn_blocking(move || sandbox.take_back(data.build_caches()));
    let _ = taken.await;
    let mut left = Vec::new();
    let tmp = app.data.tmp();
    for name in names_in(&tmp).await {
        let path = tmp.join(&name);
        if DataDir::is_ended_tmp(&name) {
            left.push(path);
        } else if let Some(job) = DataDir::job_of_tmp(&name)
            && !is_running(app, &job).await
        {
            kill_leftovers(job.as_str()).await;
            left.push(path);
        }
    }
    left.extend(deps::half_filled(&app.data));
    left.extend(left_canaries(&app.data));
    let bundlers = app.data.bundlers();
    for folder in names_in(&bundlers).await {
        kill_leftovers(&mark(&folder)).await;
    }
    left.extend(bundlers.exists().then_some(bundlers));
    let mut doomed = Vec::new();
    for (number, path) in left.into_iter().enumerate() {
        let aside = app.data.left_tmp(worker, number);
        match tokio::fs::rename(&path, &aside).await {
            Ok(()) => doomed.push(aside),
            Err(e) => {
                tracing::warn!(path = %path.display(), error = %e, "could not be set aside");
                remove(path).await;
            }
        }
    }
    doomed
}

/// Removes what [`sweep`] has set aside and unpacked sites that are no longer
/// believed, while the worker works: no build meets them, and they may be more
/// than all the rest. At the stop what is left of them stays for the next start.
pub(super) async fn remove_beside(app: Arc<App>, swept: Vec<PathBuf>) {
    if !swept.is_empty() {
        let folders = swept.len();
        tracing::info!(folders, "removing what interrupted builds have left");
    }
    let doubted = app.data.doubted();
    if !doubted.is_empty() {
        tracing::info!("removing unpacked sites of before the machine's start");
    }
    for path in swept.into_iter().chain(doubted) {
        tokio::select! {
            () = remove(path) => {}
            () = app.lifecycle.stopping().cancelled() => return,
        }
    }
}

async fn remove(path: PathBuf) {
    let removed = tokio::task::spawn_blocking(move || {
        if let Err(e) = remove_tree(&path) {
            tracing::warn!(path = %path.display(), error = %e, "could not be removed");
        }
        stop_point!(RecoverySweep);
    });
    let _ = removed.await;
}

async fn names_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else {
        return found;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        found.extend(entry.file_name().into_string());
    }
    found
}

/// Whether some worker holds the job now. In doubt it does.
async fn is_running(app: &App, job: &JobId) -> bool {
    match app.store.job(job).await {
        Ok(Some(job)) => {
            let now = app.clock.now();
            job.state == JobState::Running && job.lease.is_some_and(|lease| lease.expires_at > now)
        }
        Ok(None) => false,
        Err(_) => true,
    }
}
