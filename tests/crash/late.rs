//! A worker that stood still, as after a SIGSTOP or on a machine that slept,
//! while the clock went on: its late write is refused, and the build ends once.

use std::time::Duration;

use hivesync::domain::JobId;
use hivesync::domain::job::JobState;
use hivesync::domain::preview::PreviewStatus;
use hivesync::stop_points::{Hold, Point};

use crate::common::{Setup, manual_clock};
use crate::previews::World;

const HOUR: Duration = Duration::from_hours(1);

/// A server in this process whose worker is held with a finished build, and
/// the build's job.
async fn held(world: &World) -> (Hold, JobId) {
    let hold = Hold::at(Point::CompleteBefore);
    let accepted = world.build("latest", "web").await;
    let job = accepted["job_id"].as_str().expect("a job").parse();
    let hold = tokio::task::spawn_blocking(move || {
        hold.wait();
        hold
    });
    (hold.await.expect("it came"), job.expect("an id"))
}

/// Waits until the job is as `is` wants it.
async fn until(world: &World, id: &JobId, is: impl Fn(&hivesync::domain::job::Job) -> bool) -> u32 {
    let store = &world.server.app.store;
    let looking = async {
        loop {
            let job = store.job(id).await.expect("a read").expect("the job");
            if is(&job) {
                return job.attempts;
            }
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(crate::common::DEADLINE, looking).await;
    found.expect("the job comes to it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_stood_still_past_its_lease_writes_nothing() {
    let clock = manual_clock();
    let world = World::with(Setup::new().clock(clock.clone()).worker()).await;
    let (hold, job) = held(&world).await;
    clock.advance(HOUR);
    // The other slot has taken it over while the first one still stands there.
    until(&world, &job, |job| job.fence == 2).await;
    drop(hold);
    let attempts = until(&world, &job, |job| job.state == JobState::Succeeded).await;
    assert_eq!(attempts, 2, "the second attempt, not the late first one");
    let preview = world.preview(&job).await;
    assert_eq!(preview.status, PreviewStatus::Success);
    let stored = world.server.app.blobs.list().await.expect("a list");
    assert_eq!(stored.len(), 1, "one artifact: {stored:?}");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_clock_set_back_an_hour_takes_no_job_from_its_worker() {
    let clock = manual_clock();
    let world = World::with(Setup::new().clock(clock.clone()).worker()).await;
    let (hold, job) = held(&world).await;
    let now = world.server.app.clock.now();
    clock.set(now.before(HOUR));
    drop(hold);
    let attempts = until(&world, &job, |job| job.state == JobState::Succeeded).await;
    assert_eq!(attempts, 1);
    assert_eq!(world.preview(&job).await.status, PreviewStatus::Success);
    world.server.stop().await;
}
