//! What `hivesync preview` does with the project that it has made when the upload
//! fails: on a server that answers as it is told, because others must come in
//! between.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::preview::run;
use crate::process::{Home, Ran};

/// How the upload is answered.
#[derive(Clone, Copy, Debug)]
enum Upload {
    Refused(u16, &'static str),
    /// Whether it was accepted nobody learns.
    Cut,
}

struct Told {
    upload: Upload,
    /// Those of the project once the upload has failed.
    refs: Value,
    deleted: Mutex<bool>,
}

async fn answer(State(told): State<Arc<Told>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    to_bytes(body, usize::MAX).await.expect("the body");
    let path = parts.uri.path().trim_start_matches("/api/v1");
    match (parts.method, path) {
        (Method::GET, "/projects") => axum::Json(json!({"projects": []})).into_response(),
        (Method::POST, "/projects") => {
            let source = json!({"kind": "upload"});
            let made = json!({"id": 7, "name": "site", "source": source, "config": {}});
            (StatusCode::CREATED, axum::Json(made)).into_response()
        }
        (Method::PUT, "/projects/7/source/archive") => match told.upload {
            Upload::Refused(status, code) => {
                let status = StatusCode::from_u16(status).expect("a status");
                let error = json!({"error": {"code": code, "message": "not this"}});
                (status, axum::Json(error)).into_response()
            }
            Upload::Cut => {
                let cut = Err::<&str, _>(io::Error::from(io::ErrorKind::ConnectionReset));
                Body::from_stream(futures::stream::iter([cut])).into_response()
            }
        },
        (Method::GET, "/projects/7/refs") => axum::Json(&told.refs).into_response(),
        (Method::DELETE, "/projects/7") => {
            *told.deleted.lock().expect("unpoisoned") = true;
            StatusCode::NO_CONTENT.into_response()
        }
        other => panic!("nobody asks for {other:?}"),
    }
}

/// What `hivesync preview` says of a page, and whether the project is deleted.
async fn preview(upload: Upload, refs: Value) -> (Ran, bool) {
    preview_of(("index.html", "<h1>Hello</h1>"), upload, refs).await
}

async fn preview_of(file: (&str, &str), upload: Upload, refs: Value) -> (Ran, bool) {
    let told = Arc::new(Told {
        upload,
        refs: json!({"refs": refs}),
        deleted: Mutex::default(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let routes = Router::new().fallback(answer).with_state(Arc::clone(&told));
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let _serving = tokio_util::task::AbortOnDropHandle::new(serving);

    let home = Home::new();
    let site = home.path().join("site");
    std::fs::create_dir(&site).expect("a folder");
    std::fs::write(site.join(file.0), file.1).expect("written");
    let mut command = home.command(&["preview", "site", "--platform", "web"]);
    command
        .env("HIVESYNC_SERVER", format!("http://{address}"))
        .env("HIVESYNC_TOKEN", "a-token");
    let ran = run(command).expect(1);
    let deleted = *told.deleted.lock().expect("unpoisoned");
    (ran, deleted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_goes_only_if_nothing_can_have_come_into_it() {
    let refused = Upload::Refused(413, "PAYLOAD_TOO_LARGE");
    let busy = Upload::Refused(429, "RATE_LIMIT_EXCEEDED");
    let of_another = json!([{"name": "upload", "commit": "c0ffee"}]);
    for (upload, refs, goes) in [
        (refused, json!([]), true),
        (refused, of_another, false),
        (busy, json!([]), false),
        (Upload::Cut, json!([]), false),
    ] {
        let (ran, deleted) = preview(upload, refs).await;
        assert_eq!(deleted, goes, "{upload:?}: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_is_not_sent() {
    let app = r#"{"dependencies": {"expo": "56.0.0"}}"#;
    let (ran, deleted) = preview_of(("package.json", app), Upload::Cut, json!([])).await;
    assert!(deleted, "{ran:#?}");
    let told = ran.stderr.contains("UNSUPPORTED_PLATFORM") && ran.stderr.contains("react-dom");
    assert!(told, "{ran:#?}");
}
