//! Builds that do not end by themselves: killed whole, whatever they started.

use std::process::Command;
use std::time::Duration;

use hivesync::config::SandboxChoice;
use hivesync::domain::JobId;
use hivesync::domain::job::JobState;
use hivesync::domain::preview::{Platform, PreviewStatus};
use hivesync::domain::project::ProjectConfig;
use hivesync::ephemeral::topic;
use hivesync::store::{Batch, Expect, Record};
use rustix::process::{Signal, kill_process};

use crate::builder::{Builder, Tree};
use crate::process::wardens_of;

/// Starts a process that leaves its group and its session, and never ends.
/// `mark` names it.
fn endless(mark: &str) -> Tree {
    Tree::script(&format!(
        r#"
cp "$(command -v sleep)" ./{mark}
setsid sh -c './{mark} 3000 > /dev/null 2>&1 &' > /dev/null 2>&1 &
./{mark} 3000 > /dev/null 2>&1 &
echo started
./{mark} 3000
"#
    ))
}

/// The processes of this machine whose program has that name.
fn alive(mark: &str) -> usize {
    let output = Command::new("ps")
        .args(["-A", "-o", "args="])
        .output()
        .expect("ps");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.starts_with(&format!("./{mark}")))
        .count()
}

async fn started(builder: &Builder, id: &JobId, mark: &str) {
    builder
        .until(id, |_, log| log.contains("\nstarted\n") && alive(mark) == 3)
        .await;
}

fn assert_nothing_left(builder: &Builder, id: &JobId, mark: &str) {
    assert_eq!(alive(mark), 0, "processes outlive their build");
    let bundle = builder.app().data.root().join("previews");
    assert!(!bundle.join(id.as_str()).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_over_its_time_is_killed_with_all_it_started() {
    let builder = Builder::with(|config| {
        config.previews.cold_timeout = Duration::from_secs(8);
    })
    .await;
    let project = builder.project(ProjectConfig::default()).await;
    let commit = builder.upload(project, &endless("hive-timed")).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    started(&builder, &id, "hive-timed").await;
    let preview = builder.ended(&id).await;
    assert_eq!(preview.status, PreviewStatus::Failed);
    assert!(preview.timed_out);
    let error = preview.error.expect("the reason");
    assert_eq!(error.code, "PREVIEW_TIMEOUT");
    assert!(
        error.message.contains("PREVIEW_COLD_TIMEOUT_MS"),
        "{}",
        error.message
    );
    let log = builder.log(&id);
    let last = log.lines().last().expect("a line");
    assert!(
        last.starts_with("PREVIEW_TIMEOUT: the stage took longer"),
        "{log}"
    );
    assert_nothing_left(&builder, &id, "hive-timed");

    // The queue goes on.
    let tree = Tree::of(&[("index.html", "<html>")]);
    builder.build(project, &tree, Platform::Web).await;
    builder.stop().await;
}

pub(crate) async fn cancel(builder: &Builder, id: &JobId) {
    let app = builder.app();
    // A stage may end while we look: then once more.
    loop {
        let found = app.store.preview(id).await.expect("a read").expect("it");
        let mut preview = found.value;
        preview.status = PreviewStatus::Cancelled;
        let batch = Batch::new()
            .put(Record::Preview(preview), Expect::Revision(found.revision))
            .cancel(id.clone());
        if app.store.commit(batch).await.is_ok() {
            break;
        }
    }
    let _ = app.ephemeral.publish(topic::CANCEL, id.as_str()).await;
}

async fn cancelled_build_ends(builder: Builder, trusted: bool, mark: &str) {
    let project = if trusted {
        builder.trusted_project().await
    } else {
        builder.project(ProjectConfig::default()).await
    };
    let commit = builder.upload(project, &endless(mark)).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    started(&builder, &id, mark).await;
    cancel(&builder, &id).await;
    builder
        .until(&id, |_, log| {
            log.contains("CANCELLED: the build was cancelled\n")
        })
        .await;
    assert_nothing_left(&builder, &id, mark);
    let preview = builder.preview(&id).await;
    assert_eq!(preview.status, PreviewStatus::Cancelled);
    let job = builder.app().store.job(&id).await.expect("a read");
    assert_eq!(job.expect("the job").state, JobState::Cancelled);

    // Retried at once, it begins in a fresh folder.
    let batch = Batch::new();
    builder
        .app()
        .queue
        .retry(&id, batch)
        .await
        .expect("retried");
    started(&builder, &id, mark).await;
    cancel(&builder, &id).await;
    builder
        .until(&id, |_, log| log.matches("CANCELLED: ").count() == 2)
        .await;
    assert_nothing_left(&builder, &id, mark);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_is_killed_with_all_it_started() {
    cancelled_build_ends(Builder::start().await, false, "hive-cancel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restricted_build_is_killed_with_all_it_started() {
    let builder = Builder::with(|config| config.builds.sandbox = SandboxChoice::Restricted).await;
    cancelled_build_ends(builder, false, "hive-shut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_without_a_sandbox_is_killed_with_all_it_started() {
    let builder = Builder::with(|config| config.builds.sandbox = SandboxChoice::None).await;
    cancelled_build_ends(builder, true, "hive-open").await;
}

/// Its warden is not of that group.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_kills_its_own_group_leaves_nothing() {
    let builder = Builder::with(|config| config.builds.sandbox = SandboxChoice::None).await;
    let project = builder.trusted_project().await;
    let script = r#"
cp "$(command -v sleep)" ./hive-apart
env -i setsid sh -c ': > there; exec ./hive-apart 3000' > /dev/null 2>&1 &
while [ ! -e there ]; do :; done
kill -9 0
"#;
    let tree = Tree::script(script);
    let (code, _, log) = builder.failure(project, &tree, Platform::Web).await;
    assert_eq!(code, "PREVIEW_BUILD_FAILED", "{log}");
    assert_eq!(alive("hive-apart"), 0);
    builder.stop().await;
}

/// Without a sandbox a build can see to it that its warden does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_warden_stands_still_is_killed_with_all_it_started() {
    let builder = Builder::with(|config| config.builds.sandbox = SandboxChoice::None).await;
    let project = builder.trusted_project().await;
    let script = r#"
cp "$(command -v sleep)" ./hive-still
env -i setsid ./hive-still 3000 > /dev/null 2>&1 &
./hive-still 3000 > /dev/null 2>&1 &
echo started
./hive-still 3000
"#;
    let commit = builder.upload(project, &Tree::script(script)).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    started(&builder, &id, "hive-still").await;
    let wardens = wardens_of(std::process::id());
    assert_eq!(wardens.len(), 1);
    for warden in wardens {
        kill_process(warden, Signal::STOP).expect("it is ours");
    }
    cancel(&builder, &id).await;
    builder
        .until(&id, |_, log| log.contains("CANCELLED: "))
        .await;
    assert_nothing_left(&builder, &id, "hive-still");
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_finished_build_leaves_running_is_gone_with_it() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let script = r#"
cp "$(command -v sleep)" ./hive-daemon
setsid sh -c './hive-daemon 3000 > /dev/null 2>&1 &' > /dev/null 2>&1 &
mkdir dist && echo '<html>' > dist/index.html
"#;
    builder
        .build(project, &Tree::script(script), Platform::Web)
        .await;
    assert_eq!(alive("hive-daemon"), 0);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_at_the_hard_stop_is_handed_back_and_taken_up_by_the_next_server() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let script = r#"
cp "$(command -v sleep)" ./hive-halted
echo started
./hive-halted 3000
"#;
    let commit = builder.upload(project, &Tree::script(script)).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    builder
        .until(&id, |_, log| {
            log.contains("\nstarted\n") && alive("hive-halted") == 1
        })
        .await;
    builder.app().lifecycle.halt();
    let data = builder.server.stop_and_keep().await;
    assert_eq!(alive("hive-halted"), 0);

    let next = Builder::resume(data).await;
    // It was queued again and not counted: claimed as a first attempt.
    let preview = next
        .until(&id, |preview, log| {
            preview.status == PreviewStatus::Bundling && log.matches("\nstarted\n").count() == 2
        })
        .await;
    assert!(preview.error.is_none());
    let job = next
        .app()
        .store
        .job(&id)
        .await
        .expect("a read")
        .expect("it");
    assert_eq!((job.state, job.attempts), (JobState::Running, 1));
    cancel(&next, &id).await;
    next.until(&id, |_, log| log.contains("CANCELLED: ")).await;
    next.stop().await;
}
