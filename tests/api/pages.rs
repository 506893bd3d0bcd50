//! The pages of the server itself: what they say, what they load, what they
//! escape.

use hivesync::config::Registration;
use hivesync::domain::user::Role;
use hivesync::services::auth::Actor;
use hivesync::services::auth::setup;
use reqwest::Method;

use crate::common::{Answer, PASSWORD, Setup, TestServer};
use crate::world::{self, People};

/// What a person with bad intentions types.
const SCRIPT: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&{{7*7}}";

async fn page(server: &TestServer, path: &str) -> Answer {
    Answer::of(server.client.get(server.url(path))).await
}

async fn send(server: &TestServer, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let request = server
        .client
        .post(server.url(path))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    Answer::of(request).await
}

/// The path and secret of a link, such as `/setup?token=…`.
fn below(link: &setup::Link) -> (String, String) {
    let path = link.url("");
    let secret = path.split_once('=').expect("a secret").1.to_owned();
    (path, secret)
}

async fn setup_link(server: &TestServer) -> (String, String) {
    let link = setup::setup_link(&server.app)
        .await
        .expect("the store answers");
    below(&link.expect("nobody is admin yet"))
}

/// The values of an attribute, as they stand in the page.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    html.split(&start)
        .skip(1)
        .map(|rest| rest.split('"').next().expect("split gives one"))
        .collect()
}

/// Checks what holds for every page, and fetches what it loads.
async fn check_page(server: &TestServer, answer: &Answer) {
    let html = answer.text();
    assert_eq!(
        answer.header("content-type"),
        "text/html; charset=utf-8",
        "{html}"
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");

    assert!(html.contains("<html lang=\"en\">"));
    assert!(html.contains("<meta name=\"viewport\""));
    assert!(
        !html.contains("style=\""),
        "an inline style: the policy refuses it"
    );
    assert!(
        !html.contains("<style"),
        "an inline style: the policy refuses it"
    );
    for script in html.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').expect("a whole tag");
        assert!(tag.contains("src=\""), "an inline script: {tag}");
        assert!(rest.starts_with("</script>"), "an inline script: {rest}");
    }
    let mut loaded = values(&html, "src");
    for tag in html.split("<link").skip(1) {
        loaded.extend(values(tag, "href").into_iter().take(1));
    }
    assert!(loaded.len() >= 3, "styles, script, icon: {loaded:?}");
    for address in loaded {
        assert!(
            address.starts_with("/assets/"),
            "not our own file: {address}"
        );
        let file = page(server, address).await;
        assert_eq!(file.status, 200, "{address}");
        assert!(
            file.header("cache-control").contains("immutable"),
            "{address}"
        );
    }
}

#[tokio::test]
async fn the_start_page_says_how_to_go_on() {
    let table = [
        (Registration::Open, "Create an account"),
        (Registration::Invite, "hivesync admin invite"),
        (Registration::Closed, "Registration is closed"),
    ];
    for (registration, says) in table {
        let server = Setup::new()
            .config(|config| config.accounts.registration = registration)
            .start()
            .await;
        let first = page(&server, "/").await;
        assert_eq!(first.status, 200);
        check_page(&server, &first).await;
        assert!(first.text().contains("hivesync admin setup-link"));
        assert!(!first.text().contains(says), "not before there is an admin");

        server.account("boss", Role::Admin).await;
        let second = page(&server, "/").await;
        check_page(&server, &second).await;
        assert!(second.text().contains(says), "{}", second.text());
        assert!(!second.text().contains("setup-link"));
        assert!(
            second
                .text()
                .contains(&format!("hivesync login --server {}", server.url("")))
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_address_is_a_page_for_a_browser_alone() {
    let server = TestServer::start().await;
    let get = |path: &str, accept: &'static str| {
        let request = server.client.get(server.url(path)).header("accept", accept);
        Answer::of(request)
    };
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    let shown = get("/nowhere", browser).await;
    assert_eq!(shown.status, 404);
    check_page(&server, &shown).await;
    assert!(shown.text().contains("Nothing here"));
    get("/nowhere", "*/*").await.expect_error(404, "NOT_FOUND");
    get("/api/v1/nowhere", browser)
        .await
        .expect_error(404, "NOT_FOUND");
    server.stop().await;
}

#[tokio::test]
async fn the_setup_form_makes_the_admin() {
    let server = TestServer::start().await;
    let (path, secret) = setup_link(&server).await;
    let form = page(&server, &path).await;
    assert_eq!(form.status, 200);
    check_page(&server, &form).await;
    assert!(values(&form.text(), "value").contains(&secret.as_str()));

    let fields = |username: &'static str| {
        [
            ("token", secret.as_str()),
            ("email", "ada@example.com"),
            ("username", username),
            ("password", PASSWORD),
        ]
    };
    let wrong = send(&server, "/setup", &fields("a b")).await;
    assert_eq!(wrong.status, 422);
    check_page(&server, &wrong).await;
    let html = wrong.text();
    assert!(html.contains("role=\"alert\""), "{html}");
    assert!(
        values(&html, "value").contains(&"ada@example.com"),
        "what was typed is kept"
    );
    assert!(!html.contains(PASSWORD), "the password comes back");
    assert_eq!(html.matches("aria-invalid=\"true\"").count(), 1);

    let made = send(&server, "/setup", &fields("ada")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    check_page(&server, &made).await;
    assert!(made.text().contains("--username ada"));
    for answer in [
        page(&server, &path).await,
        send(&server, "/setup", &fields("eve")).await,
    ] {
        assert_eq!(answer.status, 404);
        check_page(&server, &answer).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_setup_without_its_secret_is_refused() {
    let server = TestServer::start().await;
    setup_link(&server).await;
    for path in [
        "/setup",
        "/setup?token=",
        "/setup?token=nonsense",
        "/setup?other=1",
    ] {
        let answer = page(&server, path).await;
        assert_eq!(answer.status, 403, "{path}");
        check_page(&server, &answer).await;
    }
    let answer = send(&server, "/setup", &[("email", "a@example.com")]).await;
    assert_eq!(answer.status, 403);
    let large = send(&server, "/setup", &[("email", &"x".repeat(100_000))]).await;
    assert_eq!(large.status, 400, "larger than any form");
    let other = server.client.post(server.url("/setup")).body("x");
    assert_eq!(Answer::of(other).await.status, 400);
    server.stop().await;
}

#[tokio::test]
async fn the_register_form_makes_an_account() {
    let server = TestServer::start().await;
    let open = page(&server, "/register").await;
    assert_eq!(open.status, 200);
    check_page(&server, &open).await;
    let fields = |token: &'static str, username: &'static str| {
        [
            ("token", token),
            ("email", "ada@example.com"),
            ("username", username),
            ("password", PASSWORD),
        ]
    };
    let made = send(&server, "/register", &fields("", "ada")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let taken = send(&server, "/register", &fields("", "other")).await;
    assert_eq!(taken.status, 409);
    assert_eq!(taken.text().matches("aria-invalid=\"true\"").count(), 1);
    // A link is judged also where none is needed.
    assert_eq!(page(&server, "/register?invite=x").await.status, 403);
    assert_eq!(
        send(&server, "/register", &fields("x", "eve")).await.status,
        403
    );
    server.stop().await;
}

#[tokio::test]
async fn an_invite_opens_the_register_form() {
    let server = Setup::new()
        .config(|config| config.accounts.registration = Registration::Invite)
        .start()
        .await;
    assert_eq!(page(&server, "/register").await.status, 403);
    let link = setup::invite(&server.app, &Actor::Operator)
        .await
        .expect("a link");
    let (path, secret) = below(&link);
    let form = page(&server, &path).await;
    assert_eq!(form.status, 200);
    check_page(&server, &form).await;
    let fields = [
        ("token", secret.as_str()),
        ("email", "ada@example.com"),
        ("username", "ada"),
        ("password", PASSWORD),
    ];
    assert_eq!(send(&server, "/register", &fields).await.status, 201);
    assert_eq!(page(&server, &path).await.status, 403, "used up");
    server.stop().await;
}

/// Nothing that a person typed becomes a part of a page.
#[tokio::test]
async fn what_people_type_stays_text() {
    let server = TestServer::start().await;
    let people = People::register(&server).await;
    let name = &SCRIPT[..SCRIPT.len().min(100)];
    let project = world::project(&server, &people, name).await;
    world::upload(&server, project).await;
    let ask = serde_json::json!({"project_id": project, "git_ref": "latest", "platform": "web"});
    let issued = server
        .post("/preview/token", &people.owner.token, &ask)
        .await
        .expect(200);
    let token = issued["token"].as_str().expect("a token");

    let (_, secret) = setup_link(&server).await;
    let typed = [
        ("token", secret.as_str()),
        ("email", SCRIPT),
        ("username", SCRIPT),
        ("password", SCRIPT),
    ];
    let encoded: String = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect();
    let pages = [
        page(&server, &format!("/t/{token}")).await,
        send(&server, "/setup", &typed).await,
        send(
            &server,
            "/register",
            &[("email", SCRIPT), ("username", SCRIPT)],
        )
        .await,
        page(&server, &format!("/setup?token={encoded}")).await,
        page(&server, &format!("/register?invite={encoded}")).await,
        page(&server, &format!("/t/{encoded}")).await,
        page(&server, &format!("/assets/{encoded}")).await,
    ];
    let [preview, set_up, register, ..] = &pages;
    assert_eq!(preview.status, 200, "{}", preview.text());
    for shows in [preview, set_up, register] {
        assert!(
            shows.text().contains("&#60;script&#62;alert(1)"),
            "{}",
            shows.text()
        );
    }
    for answer in &pages {
        let html = answer.text();
        for part in ["<script>alert", "<img src=x", "\"'><"] {
            assert!(!html.contains(part), "{part} in {html}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_work_below_a_path_prefix() {
    let server = Setup::new()
        .config(|config| config.server.base_url = Some("https://example.com/hive".into()))
        .start()
        .await;
    let (path, _) = setup_link(&server).await;
    for path in ["/", path.as_str(), "/register"] {
        let html = page(&server, path).await.text();
        for address in values(&html, "href")
            .into_iter()
            .chain(values(&html, "src"))
            .chain(values(&html, "action"))
            .filter(|address| !address.starts_with('#'))
        {
            assert!(address.starts_with("/hive/"), "{address} on {path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn static_files_are_kept_by_browsers_and_load_nothing_else() {
    let server = TestServer::start().await;
    for (name, kind) in [
        ("app.css", "text/css"),
        ("theme.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let path = format!("/assets/{name}");
        let file = page(&server, &path).await;
        assert_eq!(file.status, 200);
        assert!(file.header("content-type").starts_with(kind), "{name}");
        let text = file.text().replace("http://www.w3.org/2000/svg", "");
        for outside in ["http://", "https://", "@import", "//cdn"] {
            assert!(!text.contains(outside), "{name} has {outside}");
        }
        let tag = file.header("etag").to_owned();
        let again = server
            .client
            .get(server.url(&path))
            .header("if-none-match", tag);
        let again = Answer::of(again).await;
        assert_eq!(again.status, 304);
        assert!(again.body.is_empty());
    }
    for path in [
        "/assets/none.css",
        "/assets/..%2fbase.html",
        "/assets/%2e%2e/Cargo.toml",
    ] {
        page(&server, path).await.expect_error(404, "NOT_FOUND");
    }
    let post = server.client.request(Method::POST, server.url("/"));
    assert_eq!(Answer::of(post).await.status, 405);
    server.stop().await;
}
