//! Removing folders is slow, on a slow disk or of much: nobody waits for it.

use std::time::Duration;

use futures::StreamExt;
use hivesync::config::Config;
use hivesync::data_dir::DataDir;
use hivesync::domain::job::JobState;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;
use hivesync::domain::{JobId, ProjectId};
use hivesync::ephemeral::topic;
use hivesync::jobs::JobKind;
use hivesync::jobs::purge::PurgeJob;
use hivesync::stop_points::{Hold, Point};
use hivesync::store::Batch;

use crate::builder::{Builder, Tree};
use crate::common::DEADLINE;

/// Returns when a thread is held there. A thread of its own waits: the runtime's
/// end would wait for one of the runtime.
pub(crate) async fn held(hold: Hold) -> Hold {
    let (sender, arrived) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        hold.wait();
        let _ = sender.send(hold);
    });
    let waited = tokio::time::timeout(DEADLINE, arrived).await;
    waited.expect("a thread comes by").expect("held")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_begins_again_while_its_last_folder_is_removed() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let hold = Hold::at(Point::EndedAside);
    let commit = builder
        .upload(project, &Tree::of(&[("notes.txt", "no project")]))
        .await;
    let id = builder.request(project, &commit, Platform::Web).await;
    let hold = held(hold).await;
    assert!(!builder.app().data.job_tmp(&id).exists());
    let retried = builder.app().queue.retry(&id, Batch::new()).await;
    retried.expect("it has failed");
    let again = builder.until(&id, |_, log| {
        log.matches("INVALID_PROJECT_STRUCTURE: ").count() == 2
    });
    let again = tokio::time::timeout(DEADLINE, again).await;
    again.expect("it runs again");
    drop(hold);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_told_and_other_jobs_run_while_folders_are_removed() {
    let builder = Builder::with(|config: &mut Config| config.builds.concurrency = 1).await;
    let app = builder.app();
    let project = builder.project(ProjectConfig::default()).await;
    let hold = Hold::at(Point::EndedAside);
    let page = |number: u32| Tree::of(&[("index.html", &format!("<h1>{number}</h1>"))]);
    // As many as may be in removal.
    for number in 0..3 {
        builder.build(project, &page(number), Platform::Web).await;
    }
    let hold = held(hold).await;

    // Followers, who look when they are told to.
    let commit = builder.upload(project, &page(3)).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    let events = app.ephemeral.subscribe(&topic::preview(&id)).await;
    let mut events = events.expect("events");
    while !builder.preview(&id).await.status.is_final() {
        let told = tokio::time::timeout(DEADLINE, events.next()).await;
        told.expect("the end is told");
    }

    for number in 1..=2 {
        let project_id = ProjectId(project.0 + number);
        let id = JobId::generate(&*app.random, app.clock.now());
        let purge = PurgeJob { project_id }.into_new_job(id.clone());
        let batch = Batch::new().enqueue(purge.expect("a job"));
        app.store.commit(batch).await.expect("queued");
        let ended = async {
            loop {
                let job = app.store.job(&id).await.expect("a read").expect("it");
                if job.state == JobState::Succeeded {
                    return;
                }
                let woken = app.queue.wait(&[PurgeJob::QUEUE]);
                let _ = tokio::time::timeout(Duration::from_millis(100), woken).await;
            }
        };
        let ended = tokio::time::timeout(DEADLINE, ended).await;
        ended.expect("it does not wait for the folders of others");
    }
    drop(hold);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_begin_while_leftovers_are_removed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = DataDir::open(dir.path()).expect("a data folder");
    data.doubt_caches("an earlier start").expect("noted");
    std::fs::create_dir_all(data.web_cache().join("site")).expect("an unpacked site");
    // And what a server leaves that was killed.
    let bundler = data.bundlers().join("1-ios-0/project");
    std::fs::create_dir_all(bundler).expect("a bundler's folder");
    let hold = Hold::at(Point::RecoverySweep);
    let builder = Builder::resume(dir).await;
    let hold = held(hold).await;
    let data = &builder.app().data;
    assert!(!data.web_cache().exists() && !data.bundlers().exists());
    let project = builder.project(ProjectConfig::default()).await;
    let page = Tree::of(&[("index.html", "<html>")]);
    let commit = builder.upload(project, &page).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    let built = tokio::time::timeout(DEADLINE, builder.success(&id)).await;
    built.expect("it begins");
    drop(hold);
    builder.stop().await;
}
