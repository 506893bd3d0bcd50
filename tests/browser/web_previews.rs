//! Web previews in a browser: what works there, and what they cannot reach.

use serde_json::Value;

use crate::common::Setup;
use crate::driver::Browser;
use crate::previews_world::World;

/// What Vite writes with its default base: absolute addresses in the page and
/// the styles, a chunk that is imported when needed, and styles of that chunk
/// that its helper loads with an address put together at run time.
const SITE: &[(&str, &[u8])] = &[
    (
        "dist/index.html",
        br#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Site</title>
<link rel="icon" href="/logo.svg">
<script type="module" crossorigin src="/assets/index-DiwrgTda.js"></script>
<link rel="stylesheet" crossorigin href="/assets/index-BfX2aQ9z.css">
</head><body><h1>Site</h1><img id="static" src="/logo.svg" alt=""><p id="proof"></p></body></html>"#,
    ),
    (
        "dist/assets/index-DiwrgTda.js",
        br##"import { base } from "./shared-C0ffee12.js";
const preload = (load, deps) => Promise.all(deps.map((dep) => new Promise((resolve, reject) => {
  const link = document.createElement("link");
  link.rel = "stylesheet"; link.crossOrigin = "";
  link.href = "/" + dep;
  link.addEventListener("load", resolve);
  link.addEventListener("error", () => reject(new Error("Unable to preload CSS for /" + dep)));
  document.head.appendChild(link);
}))).then(load);
const image = new Image(); image.id = "scripted"; image.src = "/logo.svg"; document.body.append(image);
localStorage.setItem("visits", "1");
const more = await preload(() => import("./more-Ab12Cd34.js"), ["assets/more-Zz99Yy88.css"]);
const data = await (await fetch("/data.json")).json();
const late = document.createElement("div");
late.innerHTML = '<img id="late" src="/logo.svg"><a id="link" href="/about">about</a>';
document.body.append(late);
document.querySelector("#proof").textContent = [base, more.text, data.answer, localStorage.getItem("visits")].join(" ");
"##,
    ),
    ("dist/assets/shared-C0ffee12.js", b"export const base = \"base\";"),
    ("dist/assets/more-Ab12Cd34.js", b"export const text = \"more\";"),
    ("dist/assets/more-Zz99Yy88.css", b"#proof { color: rgb(1, 2, 3); }"),
    (
        "dist/assets/index-BfX2aQ9z.css",
        b"h1 { background-image: url(/logo.svg); } h1 { color: rgb(4, 5, 6); }",
    ),
    ("dist/data.json", br#"{"answer": 42}"#),
    (
        "dist/logo.svg",
        br#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>"#,
    ),
];

async fn assert_site_works(browser: &Browser) {
    browser
        .until("document.querySelector('#proof').textContent === 'base more 42 1'")
        .await;
    let colour = |what: &str| format!("getComputedStyle(document.querySelector('{what}')).color");
    assert_eq!(browser.eval(&colour("#proof")).await, "rgb(1, 2, 3)");
    assert_eq!(browser.eval(&colour("h1")).await, "rgb(4, 5, 6)");
    for image in ["#static", "#scripted", "#late"] {
        let loaded = format!("document.querySelector('{image}').naturalWidth === 8");
        browser.until(&loaded).await;
    }
    let background = "performance.getEntriesByType('resource').map((e) => e.name)";
    let loaded = browser.eval(background).await.to_string();
    assert!(loaded.contains("/logo.svg"), "{loaded}");
}

/// Leaves a cookie and a stored value at the server's own origin, as a
/// dashboard would.
async fn leave_secrets(world: &World, browser: &Browser) {
    browser.goto(&world.server.url("/")).await;
    browser
        .eval("(document.cookie = 'session=secret; path=/', 0)")
        .await;
    browser
        .eval("(localStorage.setItem('session', 'secret'), 0)")
        .await;
    assert_eq!(browser.eval("document.cookie").await, "session=secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_absolute_addresses_works_on_the_shared_host() {
    let world = World::new().await;
    let (id, access) = world.web(SITE).await;
    let browser = Browser::open(1000, 800).await;
    browser
        .goto(&world.server.url(&format!("/p/{id}/?access={access}")))
        .await;
    assert_site_works(&browser).await;
    let prefix = world.server.url(&format!("/p/{id}~{access}/"));
    assert_eq!(browser.url().await, prefix);
    let problems = browser.console().await;
    assert!(problems.is_empty(), "{problems:#?}");

    // A link of the site leads into the site.
    browser.click("#link").await;
    browser.until("location.pathname.endsWith('/about')").await;
    assert_site_works(&browser).await;
    assert_eq!(browser.url().await, format!("{prefix}about"));
    browser.close().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_on_the_shared_host_reaches_nothing_of_the_server() {
    let world = World::new().await;
    let (id, access) = world.web(SITE).await;
    let browser = Browser::open(1000, 800).await;
    leave_secrets(&world, &browser).await;
    browser
        .goto(&world.server.url(&format!("/p/{id}/?access={access}")))
        .await;
    browser
        .until("document.querySelector('#proof').textContent !== ''")
        .await;

    assert_eq!(browser.eval("self.origin").await, "null");
    // Past the stand-ins of frame.js, at the browser's own doors.
    let cookie = "Object.getOwnPropertyDescriptor(Document.prototype, 'cookie').get.call(document)";
    assert_eq!(browser.eval(cookie).await, "threw SecurityError");
    assert_eq!(
        browser.eval("localStorage.getItem('session')").await,
        Value::Null
    );
    assert_eq!(browser.eval("document.cookie").await, "");
    assert_eq!(
        browser.eval("indexedDB.open('x')").await,
        "threw SecurityError"
    );
    let host = world.server.url("");
    // The API answers nobody else's pages, with or without credentials.
    for credentials in ["include", "omit"] {
        for path in ["/api/v1/auth/me", "/", "/health"] {
            // `Request` objects pass frame.js by.
            let ask = format!(
                "fetch(new Request('{host}{path}', {{credentials: '{credentials}'}})).then((a) => a.text())"
            );
            assert_eq!(browser.eval(&ask).await, "threw TypeError", "{path}");
        }
    }
    // A frame of the server's own page stays shut: it may not be framed, and
    // could not be looked into.
    let frame = format!(
        "new Promise((done) => {{ const frame = document.createElement('iframe'); \
         frame.onload = () => done(frame.contentDocument === null); \
         frame.src = '{host}/api/docs/'; document.body.append(frame); }})"
    );
    assert_eq!(browser.eval(&frame).await, true);
    browser.close().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_on_its_own_host_has_its_own_origin() {
    let setup =
        Setup::new().config(|config| config.previews.host = Some("preview.localhost".into()));
    let world = World::with(setup).await;
    let (id, access) = world.web(SITE).await;
    let browser = Browser::open(1000, 800).await;
    leave_secrets(&world, &browser).await;
    browser
        .goto(&world.server.url(&format!("/p/{id}/?access={access}")))
        .await;
    assert_site_works(&browser).await;
    let label = id.as_str().replace('_', "-");
    let port = world.server.app.listening.get().expect("an address").port();
    let own = format!("http://{label}.preview.localhost:{port}");
    assert_eq!(browser.url().await, format!("{own}/"));
    assert_eq!(browser.eval("self.origin").await, own);

    // Its own storage, not the server's; and its capability is not its own to read.
    assert_eq!(
        browser.eval("localStorage.getItem('session')").await,
        Value::Null
    );
    assert_eq!(browser.eval("document.cookie").await, "");
    let host = world.server.url("");
    let ask = format!("fetch('{host}/api/v1/auth/me', {{credentials: 'include'}})");
    assert_eq!(browser.eval(&ask).await, "threw TypeError");
    let own_api = "fetch('/api/v1/auth/me').then((answer) => answer.status)";
    assert_eq!(browser.eval(own_api).await, 404);
    let problems: Vec<_> = browser.console().await;
    let expected = |text: &&String| text.contains("/api/v1/auth/me");
    assert_eq!(
        problems.iter().filter(|p| !expected(p)).count(),
        0,
        "{problems:#?}"
    );
    browser.close().await;
    world.server.stop().await;
}
