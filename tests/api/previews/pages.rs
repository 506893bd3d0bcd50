//! The page behind a preview's link.

use std::time::Duration;

use crate::common::{Answer, Setup, manual_clock};
use crate::previews_world::World;

async fn page(world: &World, token: &str) -> Answer {
    let url = world.server.url(&format!("/t/{token}"));
    Answer::of(world.server.client.get(url)).await
}

#[tokio::test]
async fn the_page_shows_its_preview_and_starts_nothing() {
    let world = World::new().await;
    let token = world.token("latest", "web").await;
    let shown = page(&world, &token).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.header("cache-control"), "no-store");
    let policy = shown.header("content-security-policy").to_owned();
    assert!(policy.contains("script-src 'self'"), "{policy}");
    assert!(policy.contains("frame-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe-inline"), "{policy}");
    let html = shown.text();
    assert!(html.contains("<svg "), "a QR code");
    assert!(html.contains("data-started=\"false\""));
    // No request leaves for another host, and no handler stands in the markup.
    let own = world.server.url("");
    let foreign = html
        .split(['"', '\''])
        .filter(|part| part.starts_with("http") && !part.starts_with(&own))
        .find(|part| !part.starts_with("http://www.w3.org/2000/svg"));
    assert_eq!(foreign, None);
    assert!(!html.contains(" onclick=") && !html.contains("style=\""));
    assert_eq!(world.queued().await, 0);

    world.ask_build(&token).await.expect(202);
    let begun = page(&world, &token).await.text();
    assert!(begun.contains("data-started=\"true\""));
    world.server.stop().await;
}

#[tokio::test]
async fn a_new_link_to_what_is_built_leads_there_and_to_a_failure_does_not() {
    let world = World::new().await;
    let leads = async || {
        let token = world.token("latest", "web").await;
        let html = page(&world, &token).await.text();
        html.contains("data-started=\"true\"")
    };
    assert!(!leads().await, "nobody has asked");
    world.build("latest", "web").await;
    assert!(leads().await, "it is under way");
    world.fail(&world.claim().await).await;
    assert!(!leads().await, "the button tries again");
    world.web(&[("dist/index.html", b"<p>")]).await;
    assert!(leads().await);
    world.upload("a newer commit").await;
    assert!(!leads().await);
    assert_eq!(world.queued().await, 0, "looking starts nothing");
    world.server.stop().await;
}

#[tokio::test]
async fn a_projects_name_is_text_on_its_page() {
    let world = World::new().await;
    let path = format!("/projects/{}", world.project);
    let name = serde_json::json!({"name": "<script>alert(1)</script>"});
    world
        .server
        .patch(&path, &world.owner.token, &name)
        .await
        .expect(200);
    let token = world.token("latest", "web").await;
    let html = page(&world, &token).await.text();
    assert!(!html.contains("<script>alert"), "{html}");
    world.server.stop().await;
}

#[tokio::test]
async fn a_link_that_is_over_says_so() {
    let clock = manual_clock();
    let world = World::with(Setup::new().clock(clock.clone())).await;
    let token = world.token("latest", "web").await;
    let forged = page(&world, &token[1..]).await;
    assert_eq!(forged.status, 403);
    clock.advance(Duration::from_mins(5));
    let over = page(&world, &token).await;
    assert_eq!(over.status, 403);
    assert_eq!(over.header("content-type"), "text/html; charset=utf-8");
    assert!(over.text().contains("has expired"), "{}", over.text());
    assert!(
        over.text().contains("hivesync preview"),
        "how to get another"
    );
    world.server.stop().await;
}
