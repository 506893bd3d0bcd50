//! Handing bundles out: whole, in ranges, under conditions, and no longer.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::common::{Answer, Setup, manual_clock};
use crate::previews_world::{World, text};

/// Larger than the pieces that files are read in, and not a multiple.
fn large() -> Vec<u8> {
    let mut seed = 1_u32;
    let next = |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    };
    (0..1_500_001).map(next).collect()
}

async fn fetch(
    world: &World,
    method: Method,
    id: &str,
    headers: &[(reqwest::header::HeaderName, &str)],
) -> Answer {
    let path = format!("/preview/download/{id}");
    let mut request = world
        .server
        .request(method, &path)
        .bearer_auth(&world.owner.token);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    Answer::of(request).await
}

#[tokio::test]
async fn a_bundle_is_downloaded_whole_or_in_part() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let id = text(&accepted["job_id"]);
    let claim = world.claim().await;
    let zip = world.succeed(&claim, &[("main.jsbundle", &large())]).await;

    let whole = fetch(&world, Method::GET, &id, &[]).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.body, zip);
    assert_eq!(whole.header("content-type"), "application/zip");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-length"), zip.len().to_string());
    let name = format!("attachment; filename=\"{id}-ios.zip\"");
    assert_eq!(whole.header("content-disposition"), name);
    let digest = ring::digest::digest(&ring::digest::SHA256, &zip);
    let etag = format!("\"{}\"", data_encoding::HEXLOWER.encode(digest.as_ref()));
    assert_eq!(whole.header("etag"), etag);

    let head = fetch(&world, Method::HEAD, &id, &[]).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), zip.len().to_string());
    assert_eq!(head.header("etag"), etag);
    assert!(head.body.is_empty());

    let size = zip.len();
    for (range, part) in [
        ("bytes=0-9".to_owned(), 0..10),
        (format!("bytes={}-", size - 5), size - 5..size),
        ("bytes=-7".to_owned(), size - 7..size),
        ("bytes=500000-1400000".to_owned(), 500_000..1_400_001),
        (format!("bytes=10-{}", size * 2), 10..size),
    ] {
        let answer = fetch(&world, Method::GET, &id, &[(RANGE, &range)]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, zip[part.clone()], "{range}");
        let shown = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        assert_eq!(answer.header("content-range"), shown);
        assert_eq!(answer.header("content-length"), part.len().to_string());
    }

    let beyond = format!("bytes={size}-");
    let answer = fetch(&world, Method::GET, &id, &[(RANGE, &beyond)]).await;
    answer.expect_error(416, "RANGE_NOT_SATISFIABLE");
    assert_eq!(answer.header("content-range"), format!("bytes */{size}"));

    let known = fetch(&world, Method::GET, &id, &[(IF_NONE_MATCH, &etag)]).await;
    assert_eq!(known.status, 304);
    assert!(known.body.is_empty());
    assert_eq!(known.header("etag"), etag);
    let other = [(RANGE, "bytes=0-9"), (IF_RANGE, "\"another\"")];
    let changed = fetch(&world, Method::GET, &id, &other).await;
    assert_eq!((changed.status.as_u16(), changed.body.len()), (200, size));
    let same = [(RANGE, "bytes=0-9"), (IF_RANGE, etag.as_str())];
    assert_eq!(fetch(&world, Method::GET, &id, &same).await.status, 206);
    world.server.stop().await;
}

/// A thousand ranges that overlap would be a thousand times the file.
#[tokio::test]
async fn many_ranges_cost_no_more_than_the_whole() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let id = text(&accepted["job_id"]);
    let claim = world.claim().await;
    let zip = world.succeed(&claim, &[("main.jsbundle", &large())]).await;
    for range in ["0-,".repeat(1000), "0-0,-1,".repeat(500), "-1,".repeat(3)] {
        let range = format!("bytes={}", range.trim_end_matches(','));
        let answer = fetch(&world, Method::GET, &id, &[(RANGE, &range)]).await;
        assert_eq!(answer.status, 200, "{range}");
        assert_eq!(answer.body, zip);
    }
    world.server.stop().await;
}

#[tokio::test]
async fn there_is_no_download_before_success() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let id = text(&accepted["job_id"]);
    let early = fetch(&world, Method::GET, &id, &[]).await;
    let error = early.expect_error(409, "JOB_NOT_READY");
    assert_eq!(error["details"]["status"], "queued");
    assert_eq!(error["details"]["progress"], 0.0);
    let claim = world.claim().await;
    world
        .enter(&claim, hivesync::domain::preview::Stage::Bundle)
        .await;
    let running = fetch(&world, Method::GET, &id, &[]).await;
    let error = running.expect_error(409, "JOB_NOT_READY");
    assert_eq!(error["details"]["status"], "bundling");
    assert_eq!(error["details"]["progress"], 0.5);
    world.fail(&claim).await;
    let failed = fetch(&world, Method::GET, &id, &[]).await;
    let error = failed.expect_error(409, "JOB_NOT_READY");
    assert_eq!(error["details"]["status"], "failed");
    world.server.stop().await;
}

#[tokio::test]
async fn a_bundle_that_was_cleaned_up_is_gone() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let claim = world.claim().await;
    world.succeed(&claim, &[("main.jsbundle", b"js")]).await;
    let project = hivesync::domain::ProjectId(world.project);
    let key = hivesync::blobs::BlobKey::bundle(project, &claim.job);
    world.server.app.blobs.delete(&key).await.unwrap();
    let id = text(&accepted["job_id"]);
    let gone = fetch(&world, Method::GET, &id, &[]).await;
    gone.expect_error(410, "PREVIEW_EXPIRED");
    world.server.stop().await;
}

#[tokio::test]
async fn access_ends_with_the_bundles_life() {
    let clock = manual_clock();
    let world = World::with(Setup::new().clock(clock.clone())).await;
    let accepted = world.build("latest", "ios").await;
    let failing = world.build("latest", "android").await;
    let claim = world.claim().await;
    world.succeed(&claim, &[("main.jsbundle", b"js")]).await;
    let claim = world.claim().await;
    world.fail(&claim).await;

    let ask = |job: &serde_json::Value, what: &str| {
        let (id, access) = (text(&job["job_id"]), text(&job["access_token"]));
        let path = format!("/preview/{what}/{id}?access={access}");
        let request = world.server.request(Method::GET, &path);
        async move { Answer::of(request).await }
    };
    clock.advance(Duration::from_hours(24) - Duration::from_millis(1));
    assert_eq!(ask(&accepted, "download").await.status, 200);
    assert_eq!(ask(&failing, "status").await.status, 200);
    clock.advance(Duration::from_millis(1));
    for what in ["download", "status", "logs", "events"] {
        ask(&accepted, what)
            .await
            .expect_error(410, "PREVIEW_EXPIRED");
        ask(&failing, what)
            .await
            .expect_error(410, "PREVIEW_EXPIRED");
    }
    world.server.stop().await;
}
