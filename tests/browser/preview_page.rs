//! The page of a preview, from the press of its button to the finished build.

use hivesync::domain::preview::Stage;

use crate::common::Setup;
use crate::driver::Browser;
use crate::previews_world::World;

/// Nothing comes from elsewhere, and nothing sticks out at the side.
async fn assert_tidy(world: &World, browser: &Browser) {
    let entries = "performance.getEntriesByType('resource').map((entry) => entry.name)";
    let own = world.server.url("/");
    for name in browser.eval(entries).await.as_array().expect("a list") {
        let name = name.as_str().expect("an address");
        assert!(name.starts_with(&own), "a request to {name}");
    }
    let wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(browser.eval(wide).await, false, "wider than the window");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_its_build_to_the_end() {
    let world = World::new().await;
    let token = world.token("latest", "web").await;
    let browser = Browser::open(1000, 900).await;
    browser
        .goto(&world.server.url(&format!("/t/{token}")))
        .await;
    assert_eq!(world.queued().await, 0, "looking starts nothing");
    assert_eq!(
        browser
            .eval("document.querySelectorAll('.qr svg').length")
            .await,
        1
    );
    assert_tidy(&world, &browser).await;

    browser.click("#build").await;
    browser
        .until("document.querySelector('#state').textContent.startsWith('Waiting')")
        .await;
    let claim = world.claim().await;
    world.enter(&claim, Stage::Checkout).await;
    let text = "\u{1b}[32mgreen\u{1b}[0m <b>not markup</b>\nsecond line\n";
    world.log(&claim.job, text).await;
    world.enter(&claim, Stage::Bundle).await;
    browser
        .until("document.querySelector('[aria-current]').dataset.stage === 'bundle'")
        .await;
    browser
        .until("document.querySelector('#log').textContent.includes('second line')")
        .await;
    assert_eq!(
        browser
            .eval("document.querySelector('#progress').value")
            .await,
        0.5
    );
    assert_eq!(
        browser
            .eval("document.querySelector('#log .ansi-32').textContent")
            .await,
        "green"
    );
    assert_eq!(
        browser
            .eval("document.querySelectorAll('#log b').length")
            .await,
        0
    );

    let page = "<!doctype html><title>t</title><p id=proof>the preview";
    world
        .succeed(&claim, &[("dist/index.html", page.as_bytes())])
        .await;
    browser
        .until("document.querySelector('#state').textContent === 'Ready'")
        .await;
    browser
        .until("!document.querySelector('#open').hidden")
        .await;
    browser
        .until("!document.querySelector('#download').hidden")
        .await;
    assert_eq!(
        browser
            .eval("document.querySelector('#progress').value")
            .await,
        1.0
    );
    let fetched = "fetch(document.querySelector('#download').href).then((answer) => answer.status)";
    assert_eq!(browser.eval(fetched).await, 200);
    browser.enter("#screen").await;
    browser
        .until("document.querySelector('#proof').textContent === 'the preview'")
        .await;
    browser.leave().await;
    let problems = browser.console().await;
    assert!(problems.is_empty(), "{problems:#?}");
    browser.close().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_leads_to_a_site_built_by_the_real_worker() {
    let world = World::with(Setup::new().worker()).await;
    world
        .upload(
            "<!doctype html><title>t</title><p id=proof></p>\
             <script>document.querySelector('#proof').textContent = 'it runs'</script>",
        )
        .await;
    let token = world.token("latest", "web").await;
    let browser = Browser::open(1000, 900).await;
    let page = world.server.url(&format!("/t/{token}"));
    browser.goto(&page).await;
    browser.click("#build").await;
    browser
        .until("document.querySelector('#state').textContent === 'Ready'")
        .await;
    browser.enter("#screen").await;
    browser
        .until("document.querySelector('#proof').textContent === 'it runs'")
        .await;
    browser.leave().await;
    browser
        .until("document.querySelector('#log').textContent.includes('checkout')")
        .await;

    // Another link to it needs no press of a button.
    let another = world.token("latest", "web").await;
    let page = world.server.url(&format!("/t/{another}"));
    browser.goto(&page).await;
    browser
        .until("document.querySelector('#state').textContent === 'Ready'")
        .await;
    browser.enter("#screen").await;
    browser
        .until("document.querySelector('#proof').textContent === 'it runs'")
        .await;
    browser.leave().await;
    browser.close().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_by_keyboard_on_a_small_screen_and_shows_a_failure() {
    let world = World::new().await;
    let token = world.token("latest", "ios").await;
    let browser = Browser::open(360, 640).await;
    browser
        .goto(&world.server.url(&format!("/t/{token}")))
        .await;
    assert_eq!(browser.eval("innerWidth").await, 360);
    assert_tidy(&world, &browser).await;
    browser
        .eval("document.querySelector('#build').focus()")
        .await;
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    browser.press("\u{e004}").await;
    assert_eq!(browser.eval(outline).await, "solid", "the focus is seen");
    browser
        .eval("document.querySelector('#build').focus()")
        .await;
    browser.press("\u{e007}").await;
    browser
        .until("document.querySelector('#state').textContent.startsWith('Waiting')")
        .await;
    let claim = world.claim().await;
    let log = "== bundle\n$ tool\nall is well\nthe bundler ended with 1: broken here\n";
    world.log(&claim.job, log).await;
    world.fail(&claim).await;
    browser
        .until("!document.querySelector('#problem').hidden")
        .await;
    let problem = browser
        .eval("document.querySelector('#problem').textContent")
        .await;
    assert_eq!(problem, "PREVIEW_BUILD_FAILED: the bundler ended with 1");
    browser
        .until("document.querySelector('#phone').hidden")
        .await;
    browser
        .until("document.querySelector('#failing').textContent.includes('broken here')")
        .await;
    assert_eq!(
        browser
            .eval("document.querySelector('#download').hidden")
            .await,
        true
    );
    assert_tidy(&world, &browser).await;

    // The same link again shows the same build at once.
    browser
        .goto(&world.server.url(&format!("/t/{token}")))
        .await;
    browser
        .until("!document.querySelector('#problem').hidden")
        .await;
    assert_eq!(world.queued().await, 0);
    browser.close().await;
    world.server.stop().await;
}
