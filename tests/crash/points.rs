//! Every named stopping point: the process ends itself there, the next start
//! is killed as well while it recovers, the third one finishes the work once.

use hivesync::stop_points::Point;

use crate::process::Home;
use crate::scenes::{Scene, Stage};
use crate::server::{At, Start, expect_killed, start};

/// The scene that comes by a point. Without a wildcard, so that a new point
/// asks for one.
fn scene(point: Point) -> Scene {
    match point {
        Point::CreateBeforeRename
        | Point::RecoveryRepair
        | Point::RecoveryOpened
        | Point::RecoveryReleased
        | Point::CanaryLaid
        | Point::UploadWritten
        | Point::UploadMoved
        | Point::EnqueueBefore
        | Point::EnqueueAfter
        | Point::CommitBefore
        | Point::CommitAfter
        | Point::ClaimAfter
        | Point::CheckoutAfter
        | Point::PackageBeforeRename
        | Point::PackageAfter
        | Point::BlobBefore
        | Point::BlobAfter
        | Point::CompleteBefore
        | Point::CompleteAfter
        | Point::EndedAside => Scene::Page,
        Point::RecoverySweep | Point::BuildSpawned => Scene::Shell,
        Point::FailBefore | Point::FailAfter => Scene::Failure,
        Point::CancelAfter => Scene::Cancel,
        Point::ReleaseBefore => Scene::Stop,
        Point::PurgeMiddle => Scene::Delete,
        Point::BytecodeStored | Point::BytecodeShown => Scene::Bytecode,
        Point::SyncBefore => Scene::Sync,
    }
}

async fn crash_at(point: Point) {
    let stage = match point {
        Point::CreateBeforeRename => {
            let home = Home::new();
            for _ in 0..2 {
                start(&home, Some(At(point, 1))).killed();
            }
            Stage::on(home, scene(point)).await
        }
        Point::RecoveryRepair
        | Point::RecoveryOpened
        | Point::RecoveryReleased
        | Point::CanaryLaid
        | Point::RecoverySweep => {
            let mut stage = Stage::of(scene(point)).await;
            // The same again and again: recovering is begun anew each time.
            for _ in 0..3 {
                stage.crash(At(Point::CheckoutAfter, 1)).await;
                stage.crash(At(point, 1)).await;
            }
            stage
        }
        _ => {
            let mut stage = Stage::of(scene(point)).await;
            stage.crash(At(point, 1)).await;
            stage.crash_in_recovery(Point::RecoveryRepair);
            stage.crash_in_recovery(Point::RecoveryReleased);
            stage
        }
    };
    stage.finish().await;
}

/// A job that takes its server along each time is not tried for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_server_three_times_is_dead() {
    let mut stage = Stage::of(Scene::Page).await;
    let fatal = At(Point::CheckoutAfter, 1);
    stage.crash(fatal).await;
    for _ in 0..2 {
        // It is taken up again by itself.
        match stage.start(Some(fatal)) {
            Start::Died(status) => expect_killed(status),
            Start::Ready(server) => expect_killed(server.ended()),
        }
    }
    let rows = stage.rows().await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["status"], "failed", "{rows:?}");
    assert_eq!(rows[0]["error"]["code"], "INTERNAL_ERROR", "{rows:?}");
    stage.finish().await;
}

/// Every commit of a build's life, one after the other, before and after it is
/// durable.
async fn crash_at_each_commit(point: Point) {
    /// More than there are; each crash leaves work for the next process.
    const MOST: u32 = 60;
    let mut stage = Stage::of(Scene::Page).await;
    for pass in 1..=MOST {
        stage.crash_or_play(At(point, pass)).await;
    }
    stage.finish().await;
}

macro_rules! at_every_point {
    ($($test:ident $point:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crash_at(Point::$point).await;
            }
        )*

        #[test]
        fn every_point_has_its_test() {
            assert_eq!([$(Point::$point),*], *Point::ALL);
        }
    };
}

at_every_point! {
    create_before_rename CreateBeforeRename
    recovery_repair RecoveryRepair
    recovery_opened RecoveryOpened
    recovery_released RecoveryReleased
    canary_laid CanaryLaid
    recovery_sweep RecoverySweep
    upload_written UploadWritten
    upload_moved UploadMoved
    enqueue_before EnqueueBefore
    enqueue_after EnqueueAfter
    commit_before CommitBefore
    commit_after CommitAfter
    claim_after ClaimAfter
    checkout_after CheckoutAfter
    build_spawned BuildSpawned
    package_before_rename PackageBeforeRename
    package_after PackageAfter
    blob_before BlobBefore
    blob_after BlobAfter
    complete_before CompleteBefore
    complete_after CompleteAfter
    ended_aside EndedAside
    fail_before FailBefore
    fail_after FailAfter
    cancel_after CancelAfter
    purge_middle PurgeMiddle
    bytecode_stored BytecodeStored
    bytecode_shown BytecodeShown
    sync_before SyncBefore
    release_before ReleaseBefore
}

#[tokio::test(flavor = "multi_thread")]
async fn before_every_commit() {
    crash_at_each_commit(Point::CommitBefore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_commit() {
    crash_at_each_commit(Point::CommitAfter).await;
}
