//! Web previews: their files, their addresses, and the wall around them.

use reqwest::Method;
use reqwest::header::{ACCEPT, HOST};

use crate::common::{Answer, Setup};
use crate::previews_world::{World, text};

const SITE: &[(&str, &[u8])] = &[
    (
        "dist/index.html",
        b"<!doctype html><html><head><title>t</title></head><body>\
          <script type=\"module\" crossorigin src=\"/assets/index-DiwrgTda.js\"></script></body></html>",
    ),
    ("dist/about.html", b"<p>about"),
    ("dist/docs/index.html", b"<p>docs"),
    ("dist/assets/index-DiwrgTda.js", b"import('/assets/more.js')"),
    ("dist/assets/more.js", b"export const more = 1;"),
    ("dist/assets/style.css", b"body{background:url(/logo.png)}"),
    ("dist/logo.png", b"\x89PNG not really, but long enough to be cut"),
    ("metadata.json", b"{}"),
    ("build.log", b"secret?"),
];

async fn get(world: &World, path: &str) -> Answer {
    Answer::of(world.server.client.get(world.server.url(path))).await
}

#[tokio::test]
async fn a_site_is_served_below_its_capability() {
    let world = World::new().await;
    let (id, access) = world.web(SITE).await;
    let answer = get(&world, &format!("/p/{id}/docs/?access={access}&a=b")).await;
    assert_eq!(answer.status, 303);
    let base = format!("/p/{id}~{access}");
    assert_eq!(answer.header("location"), format!("{base}/docs/?a=b"));
    assert_eq!(answer.header("cache-control"), "no-store");

    let page = get(&world, &format!("{base}/")).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "private, no-cache");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.starts_with("sandbox allow-scripts"), "{policy}");
    assert!(!policy.contains("allow-same-origin"), "{policy}");
    let html = page.text();
    let frame = format!("<head><script src=\"{base}/__hivesync/frame.js\"></script>");
    assert!(html.contains(&frame), "{html}");
    assert!(
        html.contains(&format!("src=\"{base}/assets/index-DiwrgTda.js\"")),
        "{html}"
    );

    let script = get(&world, &format!("{base}/assets/index-DiwrgTda.js")).await;
    assert_eq!(
        script.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(
        script.header("cache-control"),
        "private, max-age=31536000, immutable"
    );
    assert_eq!(script.header("access-control-allow-origin"), "*");
    assert_eq!(script.text(), format!("import('{base}/assets/more.js')"));
    let style = get(&world, &format!("{base}/assets/style.css")).await;
    assert_eq!(
        style.text(),
        format!("body{{background:url({base}/logo.png)}}")
    );
    let frame = get(&world, &format!("{base}/__hivesync/frame.js")).await;
    assert_eq!(
        frame.header("content-type"),
        "text/javascript; charset=utf-8"
    );

    for (path, expected) in [("about", "about"), ("docs/", "docs")] {
        let page = get(&world, &format!("{base}/{path}")).await;
        assert!(page.text().ends_with(&format!("<p>{expected}")), "{path}");
    }
    let slash = get(&world, &format!("{base}/docs?x=1")).await;
    assert_eq!(
        (slash.status.as_u16(), slash.header("location")),
        (303, "./docs/?x=1")
    );
    let no_slash = get(&world, &base).await;
    assert_eq!(no_slash.status, 303);
    assert_eq!(no_slash.header("location"), format!("./{id}~{access}/"));
    world.server.stop().await;
}

#[tokio::test]
async fn only_navigation_falls_back_to_the_start_page() {
    let world = World::new().await;
    let (id, access) = world.web(SITE).await;
    let base = world.server.url(&format!("/p/{id}~{access}"));
    let ask = |path: &str, name: &'static str, value: &'static str| {
        Answer::of(
            world
                .server
                .client
                .get(format!("{base}{path}"))
                .header(name, value),
        )
    };
    let page = ask("/users/7", "sec-fetch-mode", "navigate").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<title>t</title>"));
    assert_eq!(
        ask("/users/7", ACCEPT.as_str(), "text/html").await.status,
        200
    );
    let missing = ask("/assets/missing.js", "sec-fetch-mode", "no-cors").await;
    missing.expect_error(404, "NOT_FOUND");
    let missing = ask("/assets/missing.js", ACCEPT.as_str(), "text/html").await;
    missing.expect_error(404, "NOT_FOUND");
    world.server.stop().await;
}

#[tokio::test]
async fn files_have_ranges_and_conditions() {
    let world = World::new().await;
    let (id, access) = world.web(SITE).await;
    let url = world.server.url(&format!("/p/{id}~{access}/logo.png"));
    let client = &world.server.client;
    let whole = Answer::of(client.get(&url)).await;
    assert_eq!(whole.header("content-type"), "image/png");
    let part = Answer::of(client.get(&url).header("range", "bytes=1-3")).await;
    assert_eq!(
        (part.status.as_u16(), part.body.as_slice()),
        (206, &b"PNG"[..])
    );
    let etag = whole.header("etag");
    let known = Answer::of(client.get(&url).header("if-none-match", etag)).await;
    assert_eq!(known.status, 304);
    let head = Answer::of(client.head(&url)).await;
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    let page = Answer::of(client.get(world.server.url(&format!("/p/{id}~{access}/")))).await;
    let tag = page.header("etag").to_owned();
    let again = client.get(world.server.url(&format!("/p/{id}~{access}/")));
    assert_eq!(
        Answer::of(again.header("if-none-match", tag)).await.status,
        304
    );
    world.server.stop().await;
}

#[tokio::test]
async fn rewritten_files_have_ranges_and_conditions() {
    let world = World::new().await;
    let (id, access) = world.web(SITE).await;
    let url = world.server.url(&format!("/p/{id}~{access}/index.html"));
    let client = &world.server.client;
    let whole = Answer::of(client.get(&url)).await;
    assert!(whole.body.len() > SITE[0].1.len());
    for cut in [0, 40, 90, whole.body.len() - 1] {
        let range = format!("bytes={cut}-{}", cut + 49);
        let part = Answer::of(client.get(&url).header("range", range)).await;
        let end = whole.body.len().min(cut + 50);
        assert_eq!(part.status, 206);
        assert_eq!(part.body, whole.body[cut..end]);
    }
    let known = client
        .get(&url)
        .header("if-none-match", whole.header("etag"));
    assert_eq!(Answer::of(known).await.status, 304);
    let head = Answer::of(client.head(&url)).await;
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    world.server.stop().await;
}

#[tokio::test]
async fn a_script_full_of_addresses_is_sent_as_it_is() {
    let world = World::new().await;
    let script = "'/a.js'".repeat(200_000).into_bytes();
    let files: &[(&str, &[u8])] = &[("dist/index.html", b"<p>"), ("dist/a.js", &script)];
    let (id, access) = world.web(files).await;
    let answer = get(&world, &format!("/p/{id}~{access}/a.js")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == script, "{} bytes", answer.body.len());
    world.server.stop().await;
}

#[tokio::test]
async fn a_crowd_that_opens_a_site_unpacks_it_once() {
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    use std::mem::MaybeUninit;

    let world = World::new().await;
    let (id, access) = world.web(SITE).await;
    let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
    let folder = world.server.app.data.tmp();
    inotify::add_watch(&watch, folder, WatchFlags::CREATE).unwrap();

    let path = format!("/p/{id}~{access}/");
    let crowd = (0..64).map(|_| get(&world, &path));
    for answer in futures::future::join_all(crowd).await {
        assert_eq!(answer.status, 200);
    }

    let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let mut made = Vec::new();
    while let Ok(event) = events.next() {
        let name = event.file_name().unwrap_or_default().to_string_lossy();
        made.push(name.into_owned());
    }
    made.retain(|name| name.starts_with(&format!("web-{id}")));
    assert_eq!(made.len(), 1, "{made:?}");
    let left: Vec<_> = world.server.app.data.tmp().read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    world.server.stop().await;
}

#[tokio::test]
async fn nothing_outside_of_the_site_is_served() {
    let world = World::new().await;
    let (id, access) = world.web(SITE).await;
    let base = format!("/p/{id}~{access}");
    for path in [
        "/build.log",
        "/metadata.json",
        "/..%2fbuild.log",
        "/%2e%2e/%2e%2e/secrets.toml",
        "/..%5c..%5csecrets.toml",
        "//etc/passwd",
        "/%00",
        "/assets/..%2f..%2f..%2fsecrets.toml",
    ] {
        // Written by hand: clients tidy addresses up before they send them.
        let answer = raw(&world, &format!("{base}{path}")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    world.server.stop().await;
}

async fn raw(world: &World, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = world.server.app.listening.get().expect("an address");
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_site_opens_to_readers_of_its_project_and_holders_of_its_token() {
    let world = World::new().await;
    let (id, _) = world.web(SITE).await;
    let other = world.build("latest", "ios").await;
    let path = format!("/p/{id}/");
    get(&world, &path)
        .await
        .expect_error(401, "UNAUTHENTICATED");
    let foreign = text(&other["access_token"]);
    for path in [
        format!("/p/{id}/?access={foreign}"),
        format!("/p/{id}~{foreign}/"),
        format!("/p/{id}~/"),
    ] {
        let refused = get(&world, &path).await;
        refused.expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
    }
    let as_user = |token: &str| {
        let request = world.server.client.get(world.server.url(&path));
        Answer::of(request.bearer_auth(token))
    };
    assert_eq!(as_user(&world.owner.token).await.status, 200);
    let stranger = world.server.register("mallory").await;
    as_user(&stranger.token)
        .await
        .expect_error(403, "PROJECT_ACCESS_DENIED");

    let not_web = format!("/p/{}~{foreign}/", text(&other["job_id"]));
    get(&world, &not_web).await.expect_error(404, "NOT_FOUND");
    get(&world, "/p/nonsense/")
        .await
        .expect_error(404, "JOB_NOT_FOUND");
    world.server.stop().await;
}

#[tokio::test]
async fn with_a_preview_host_each_preview_has_an_origin_of_its_own() {
    let setup = Setup::new().config(|config| config.previews.host = Some("preview.test".into()));
    let world = World::with(setup).await;
    let (id, access) = world.web(SITE).await;
    let label = id.as_str().replace('_', "-");
    let port = world.server.app.listening.get().unwrap().port();
    let host = format!("{label}.preview.test:{port}");

    let answer = get(&world, &format!("/p/{id}/docs/?access={access}")).await;
    assert_eq!(answer.status, 303);
    let entry = format!("http://{host}/docs/?access={access}");
    assert_eq!(answer.header("location"), entry);

    let at_host = |path: String| {
        world
            .server
            .client
            .get(world.server.url(&path))
            .header(HOST, &host)
    };
    let entered = Answer::of(at_host(format!("/docs/?access={access}&a=b"))).await;
    assert_eq!(entered.status, 303);
    assert_eq!(entered.header("location"), "/docs/?a=b");
    let cookie = entered.header("set-cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();

    let page = Answer::of(at_host("/".into()).header("cookie", &cookie)).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-security-policy"), "frame-ancestors *");
    // Nothing is rewritten: its absolute addresses are right.
    assert_eq!(page.body, SITE[0].1);
    // A neighbour's script has set others for all hosts of previews.
    let tossed = format!("hivesync_access=acc_tossed; {cookie}; hivesync_access=acc_too");
    let page = Answer::of(at_host("/".into()).header("cookie", &tossed)).await;
    assert_eq!(page.status, 200);
    let locked = Answer::of(at_host("/".into())).await;
    locked.expect_error(401, "UNAUTHENTICATED");

    // Nothing else of the server is reached there.
    for path in [
        "/api/v1/auth/me",
        "/health",
        "/api/v1/openapi.json",
        "/livez",
    ] {
        let request = at_host(path.into()).header("cookie", &cookie);
        Answer::of(request).await.expect_error(404, "NOT_FOUND");
    }
    let write = world
        .server
        .client
        .request(Method::POST, world.server.url("/api/v1/auth/login"));
    let refused = Answer::of(write.header(HOST, &host)).await;
    refused.expect_error(405, "METHOD_NOT_ALLOWED");
    let nobody = world.server.client.get(world.server.url("/health"));
    let nobody = Answer::of(nobody.header(HOST, "www.preview.test")).await;
    nobody.expect_error(404, "NOT_FOUND");
    world.server.stop().await;
}

#[tokio::test]
async fn a_site_may_be_as_large_as_a_build_may_make_it() {
    let setup = Setup::new().config(|config| {
        config.sources.max_unpacked_bytes = 1 << 20;
        config.builds.limits.disk_bytes = 3 << 20;
    });
    let world = World::with(setup).await;
    let page = vec![b' '; 2 << 20];
    let (id, access) = world.web(&[("dist/index.html", &page)]).await;
    let served = get(&world, &format!("/p/{id}~{access}/index.html")).await;
    assert_eq!(served.status, 200, "{}", served.text());

    world.upload("more").await;
    let page = vec![b' '; 4 << 20];
    let (id, access) = world.web(&[("dist/index.html", &page)]).await;
    let refused = get(&world, &format!("/p/{id}~{access}/index.html")).await;
    let error = refused.expect_error(413, "PAYLOAD_TOO_LARGE");
    let told = error["message"].as_str().expect("a message");
    assert!(told.contains("4 MB, and no more than 3 MB"), "{told}");
    let left = std::fs::read_dir(world.server.app.data.tmp()).expect("the folder");
    assert_eq!(left.count(), 0, "nothing is left of it");
    world.server.stop().await;
}
