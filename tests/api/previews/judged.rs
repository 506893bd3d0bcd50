//! What a commit's files say against a build, said before it is queued.

use serde_json::json;

use crate::previews_world::World;

const EXPO: &str = r#"{"dependencies": {"expo": "56.0.0"}}"#;

#[tokio::test]
async fn what_cannot_be_is_refused_before_it_is_queued() {
    let world = World::new().await;
    world.upload_files(&[("package.json", EXPO)]).await;
    let refused = world.ask_build(&world.token("latest", "web").await).await;
    let error = refused.expect_error(422, "UNSUPPORTED_PLATFORM");
    let message = error["message"].as_str().expect("words");
    assert!(message.contains("react-dom"), "{message}");
    assert_eq!(world.queued().await, 0);
    world.build("latest", "ios").await;
    assert_eq!(world.queued().await, 1);

    let broken = [
        ("package.json", EXPO),
        ("hivesync.toml", "kind = 'expo'\n["),
    ];
    world.upload_files(&broken).await;
    let refused = world
        .ask_build(&world.token("latest", "android").await)
        .await;
    let error = refused.expect_error(422, "INVALID_INPUT");
    let message = error["message"].as_str().expect("words");
    assert!(message.contains("hivesync.toml"), "{message}");
    assert!(message.contains("line 2"), "{message}");
    world.server.stop().await;
}

#[tokio::test]
async fn the_app_is_judged_where_it_lies() {
    let world = World::new().await;
    let app = [("apps/a/package.json", EXPO), ("index.html", "x")];
    world.upload_files(&app).await;
    let path = format!("/projects/{}", world.project);
    let root = json!({"config": {"root": "apps/a"}});
    let changed = world.server.patch(&path, &world.owner.token, &root).await;
    changed.expect(200);
    let refused = world.ask_build(&world.token("latest", "web").await).await;
    refused.expect_error(422, "UNSUPPORTED_PLATFORM");
    // What it says is not what it shows: only the build can tell.
    let reset = json!({"config": {"root": null}});
    let changed = world.server.patch(&path, &world.owner.token, &reset).await;
    changed.expect(200);
    world.build("latest", "web").await;
    world.server.stop().await;
}
