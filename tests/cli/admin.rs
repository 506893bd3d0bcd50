//! `hivesync admin`, with a server running and without one: the same answers.

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use crate::client::create_user;
use crate::common::{Answer, PASSWORD, client};
use crate::process::Home;

#[tokio::test]
async fn accounts_are_made_beside_a_running_server() {
    let home = Home::new();
    let server = home.serve();
    let made = create_user(&home, "ada", "admin").expect(0).json();
    assert_eq!(made["username"], "ada");
    assert_eq!(made["role"], "admin");
    assert!(made.get("password").is_none() && made.get("password_hash").is_none());
    let login = json!({"username_or_email": "ada", "password": PASSWORD});
    let request = client().post(server.url("/api/v1/auth/login")).json(&login);
    let token = Answer::of(request).await.expect(200)["token"].clone();
    let deep = client()
        .get(server.url("/health/deep"))
        .bearer_auth(token.as_str().expect("a token"));
    assert_eq!(Answer::of(deep).await.expect(200)["serving"], true);

    let again = create_user(&home, "ada", "admin").expect(1);
    assert!(!again.stderr.is_empty());
    let link = home.run(&["admin", "setup-link"]).expect(1);
    assert!(link.stderr.contains("create-user"), "{link:?}");
    server.stop();
}

#[test]
fn accounts_are_made_without_a_server() {
    let home = Home::new();
    let told = "is new: no server has run on it";
    let made = create_user(&home, "ada", "admin").expect(0);
    let folder = home.data().display().to_string();
    assert!(
        made.stderr.contains(told) && made.stderr.contains(&folder),
        "it may be the wrong folder: {made:#?}"
    );
    let again = create_user(&home, "ada", "user").expect(1);
    assert!(!again.stderr.contains(told), "{again:#?}");
    // The server that starts later knows them: no setup link is needed.
    let server = home.serve();
    assert!(
        !server.banner.iter().any(|line| line.contains("/setup?")),
        "{:?}",
        server.banner
    );
    server.stop();
}

#[test]
fn passwords_come_from_a_file_and_bad_ones_are_refused() {
    let home = Home::new();
    let file = home.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("written");
    let file = file.to_str().expect("a plain path");
    let arguments = |username| {
        vec![
            "admin",
            "create-user",
            "--username",
            username,
            "--email",
            "a@example.com",
            "--password-file",
            file,
        ]
    };
    let ran = home.run(&arguments("ann")).expect(0);
    assert!(ran.stdout.contains("ann"), "{ran:?}");
    assert!(!ran.stdout.contains(PASSWORD) && !ran.stderr.contains(PASSWORD));
    std::fs::write(home.path().join("password"), "x").expect("written");
    home.run(&arguments("bob")).expect(1);
    home.run(&[
        "admin",
        "create-user",
        "--username",
        "c",
        "--email",
        "c@example.com",
        "--role",
        "king",
    ])
    .expect(2);
}

#[test]
fn links_are_printed_again() {
    let home = Home::new();
    let offline = home
        .run(&["admin", "setup-link", "--json"])
        .expect(0)
        .json();
    assert!(
        offline["url"]
            .as_str()
            .is_some_and(|u| u.contains("/setup?token="))
    );
    let server = home.serve();
    let online = home
        .run(&["admin", "setup-link", "--json"])
        .expect(0)
        .json();
    assert!(
        online["url"]
            .as_str()
            .is_some_and(|u| u.starts_with(&server.address)),
        "{online}"
    );
    let invite = home.run(&["admin", "invite"]).expect(0);
    assert!(invite.stdout.contains("/register?invite="), "{invite:?}");
    server.stop();
}

#[test]
fn preview_jobs_are_listed() {
    let home = Home::new();
    let offline = home
        .run(&["admin", "preview-jobs", "--json"])
        .expect(0)
        .json();
    assert_eq!(offline, json!({"previews": []}));
    let server = home.serve();
    let empty = home
        .run(&[
            "admin",
            "preview-jobs",
            "--status",
            "success",
            "--project",
            "1",
            "--limit",
            "5",
        ])
        .expect(0);
    assert!(empty.stdout.contains("hivesync preview"), "{empty:?}");
    home.run(&["admin", "preview-jobs", "--status", "lost"])
        .expect(2);
    server.stop();
}

#[test]
fn payloads_are_decoded_and_full_tokens_refused() {
    let home = Home::new();
    let payload = BASE64URL_NOPAD.encode(
        json!({"pid": 7, "ref": "main", "uid": 1, "ts": 1_700_000_000, "exp": 1_700_000_300,
               "plat": "ios", "ver": 1})
        .to_string()
        .as_bytes(),
    );
    let ran = home
        .run(&["admin", "decode-payload", &payload, "--json"])
        .expect(0)
        .json();
    assert_eq!(ran["payload"]["pid"], 7);
    assert_eq!(ran["expired"], true);
    let text = home.run(&["admin", "decode-payload", &payload]).expect(0);
    assert!(text.stdout.contains("has expired"), "{text:?}");

    let full = format!("{payload}.c2lnbmF0dXJl");
    let refused = home.run(&["admin", "decode-payload", &full]).expect(1);
    assert!(!refused.stderr.contains("c2lnbmF0dXJl") && refused.stdout.is_empty());
    home.run(&["admin", "decode-payload", "%%%"]).expect(1);
    assert!(!home.data().exists(), "decoding needs no data folder");
}
