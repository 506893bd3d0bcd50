//! Our side of the queue bench: the product's queue behind the product's HTTP
//! server and layers.
//!
//! The product gives foreign workers no routes to its queue, so the three that
//! are measured are mounted here. They do what a client of a queue needs and
//! no more: add one job, take the next one (waiting for it), end one and take
//! the next in the same call, which is also what a worker of BullMQ does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hivesync::app::App;
use hivesync::clock::{SystemClock, SystemEntropy};
use hivesync::config::{Config, Sources};
use hivesync::domain::job::{Job, NewJob, Priority, Queue};
use hivesync::domain::preview::Platform;
use hivesync::domain::{JobId, ProjectId, UserId};
use hivesync::http::error::ApiResult;
use hivesync::http::router::surround;
use hivesync::http::server::{self, Limits, listen};
use hivesync::services::token;
use hivesync::store::{Batch, Claim, ClaimRequest};
use serde::{Deserialize, Serialize};

use crate::Result;

/// Serves the queue of a data folder on a port until it is told to stop. Its
/// log, at the level that is the default, goes to stdout as the product's.
pub(crate) async fn serve(arguments: &[String]) -> Result<()> {
    let [data, port] = arguments else {
        return Err("serve-queue DATA_DIR PORT".into());
    };
    let config = config(Path::new(data), port)?;
    let _gathering = hivesync::cli::logging::start(&config.log)?;
    let random = Arc::new(SystemEntropy::new());
    let app = App::start(config, Arc::new(SystemClock), random).await?;
    let life = app.lifecycle.clone();
    life.obey_signals()?;
    let listener = listen::tcp(&app.config.server).await?;
    let router = surround(routes(), Arc::clone(&app));
    server::serve(listener, router, Limits::new(1000), life).await?;
    Ok(())
}

/// The defaults, on `data` and a port of loopback.
pub(crate) fn config(data: &Path, port: &str) -> Result<Config> {
    let text = data.to_str().ok_or("the data folder has no plain name")?;
    let sources = Sources::of_map(
        data,
        &[("DATA_DIR", text), ("BIND", "127.0.0.1"), ("PORT", port)],
    );
    Ok(Config::load(&sources, &SystemEntropy::new())?.config)
}

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/bench/jobs", post(enqueue))
        .route("/bench/claim", post(claim))
        .route("/bench/complete", post(complete))
        .route("/bench/token", get(token))
}

#[derive(Serialize)]
struct Token {
    token: String,
    expires_in: u64,
}

/// Signs a preview token and checks it, as issuing one and coming back with it
/// do, without what those look up in the stores.
async fn token(State(app): State<Arc<App>>) -> ApiResult<Json<Token>> {
    let secret = &app.config.secrets.preview_token;
    let (now, life) = (app.clock.now(), app.config.previews.token_ttl);
    let about = (ProjectId(7), "main", UserId(1), Platform::Ios);
    let token = token::issue(secret, app.random.as_ref(), now, life, about)?;
    let read = token::verify(secret, &token, app.clock.now())?;
    Ok(Json(Token {
        token,
        expires_in: read.facts.expires_at.since(now).as_secs(),
    }))
}

#[derive(Deserialize)]
struct NewWork {
    kind: String,
    /// JSON text, as the queue keeps it.
    payload: String,
}

#[derive(Serialize)]
struct Added {
    id: JobId,
}

async fn enqueue(
    State(app): State<Arc<App>>,
    Json(work): Json<NewWork>,
) -> ApiResult<(StatusCode, Json<Added>)> {
    let id = JobId::generate(app.random.as_ref(), app.clock.now());
    let job = new_job(id.clone(), work.kind, work.payload);
    app.store.commit(Batch::new().enqueue(job)).await?;
    Ok((StatusCode::CREATED, Json(Added { id })))
}

/// A job of the one project that every job of the bench belongs to.
pub(crate) fn new_job(id: JobId, kind: String, payload: String) -> NewJob {
    NewJob {
        id,
        queue: Queue::PreviewBuild,
        kind,
        payload,
        priority: Priority::NORMAL,
        group: 7,
        dedupe_key: None,
        run_at: None,
        max_attempts: 3,
    }
}

/// How every worker of the bench asks.
pub(crate) fn claim_request(worker: String) -> ClaimRequest {
    ClaimRequest {
        queues: vec![Queue::PreviewBuild],
        worker,
        lease: Duration::from_secs(30),
        group_limit: u32::MAX,
    }
}

#[derive(Deserialize)]
struct Asking {
    worker: String,
}

#[derive(Serialize)]
struct Taken {
    id: JobId,
    fence: u64,
    kind: String,
    payload: String,
}

/// The next job, waited for; 204 when the server stops.
async fn claim(State(app): State<Arc<App>>, Query(asking): Query<Asking>) -> ApiResult<Response> {
    let request = claim_request(asking.worker);
    tokio::select! {
        claimed = app.queue.next(&request) => Ok(Json(taken(claimed?)).into_response()),
        () = app.lifecycle.stopping().cancelled() => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

#[derive(Deserialize)]
struct Done {
    id: JobId,
    fence: u64,
}

/// Ends a job; answers the next one, or 204 when none waits. Both are asked at
/// once, and so done in this order in one commit.
async fn complete(
    State(app): State<Arc<App>>,
    Query(asking): Query<Asking>,
    Json(done): Json<Done>,
) -> ApiResult<Response> {
    let ended = Claim {
        job: done.id,
        fence: done.fence,
    };
    let request = claim_request(asking.worker);
    let (completed, next) = tokio::join!(
        app.queue.complete(&ended, Batch::new()),
        app.queue.claim(&request)
    );
    let next = next?;
    if let Err(refused) = completed {
        if let Some((claim, _)) = next {
            app.queue.release(&claim, Batch::new()).await?;
        }
        return Err(refused.into());
    }
    Ok(match next {
        Some(next) => Json(taken(next)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

fn taken((claim, job): (Claim, Job)) -> Taken {
    Taken {
        id: job.id,
        fence: claim.fence,
        kind: job.kind,
        payload: job.payload,
    }
}
