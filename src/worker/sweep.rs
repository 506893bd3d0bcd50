//! What an earlier process has left half done: temporary folders of builds
//! that nobody runs and of bundlers, with whoever is still at work there,
//! dependency sets that were being filled, and the folders of
//! canaries.

use std::path::{Path, PathBuf};

use crate::app::App;
use crate::bundle::deps;
use crate::bundle::sandbox::{kill_leftovers, left_canaries};
use crate::bundle::warm::mark;
use crate::data_dir::DataDir;
use crate::disk::remove_tree;
use crate::domain::JobId;
use crate::domain::job::JobState;

/// Before the first claim: a build that is taken up again makes its folder
/// anew.
pub(super) async fn sweep(app: &App) {
    let (sandbox, data) = (app.sandbox.clone(), app.data.clone());
    let taken = tokio::task::spawn_blocking(move || sandbox.take_back(data.build_caches()));
    let _ = taken.await;
    let mut left = Vec::new();
    for (path, job) in job_folders(app).await {
        if !is_running(app, &job).await {
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
    let doubted = app.data.doubted();
    left.extend(doubted.exists().then_some(doubted));
    if left.is_empty() {
        return;
    }
    tracing::info!(
        folders = left.len(),
        "removing what interrupted builds have left"
    );
    let swept = tokio::task::spawn_blocking(move || {
        for path in left {
            if let Err(e) = remove_tree(&path) {
                tracing::warn!(path = %path.display(), error = %e, "could not be removed");
            }
            stop_point!(RecoverySweep);
        }
    });
    let _ = swept.await;
}

async fn job_folders(app: &App) -> Vec<(PathBuf, JobId)> {
    let tmp = app.data.tmp();
    let names = names_in(&tmp).await.into_iter();
    names
        .filter_map(|name| Some((tmp.join(&name), DataDir::job_of_tmp(&name)?)))
        .collect()
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
