//! Asking as the operator: the running server over its Unix socket, or, when
//! none runs, the stores themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::client::ErrorBody;
use super::output::print_aside;
use crate::app::App;
use crate::clock::{SystemClock, SystemEntropy};
use crate::config::{Config, Report, Sources};
use crate::data_dir::DataDir;
use crate::error::{Code, Context, Error, Result};
use crate::http::operator::PATH;
use crate::http::server::listen;
use crate::services::operator::{self, Command};

/// A server that needs longer is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `command` in the server that runs on this data folder, else here.
pub async fn ask<T: DeserializeOwned>(command: Command) -> Result<T> {
    let sources = Sources::of_process()?;
    let answer = match connect(&sources).await? {
        Some(stream) => over_socket(stream, &command).await?,
        None => here(&sources, command).await?,
    };
    serde_json::from_value(answer).or_internal("read the answer; is the server of this version?")
}

/// The configured `DATA_DIR`, without making it.
fn data_dir(sources: &Sources) -> Result<DataDir> {
    let report = Report::of(sources);
    let row = report.rows.iter().find(|row| row.name == "DATA_DIR");
    row.and_then(|row| row.value.as_deref())
        .map(|path| DataDir::at(Path::new(path)))
        .ok_or_else(|| {
            Error::new(
                Code::InvalidInput,
                "DATA_DIR cannot be read; see: hivesync config check",
            )
        })
}

/// The configured data folder, if no server has ever run on it.
pub fn without_data() -> Result<Option<PathBuf>> {
    let data = data_dir(&Sources::of_process()?)?;
    let root = data.root().to_owned();
    let found = data.db().try_exists().map_err(|e| {
        Error::new(
            Code::Forbidden,
            format!(
                "cannot look into the data folder {}: {e}; run this as the user that the server \
                 runs as",
                root.display()
            ),
        )
    })?;
    Ok((!found).then_some(root))
}

async fn connect(sources: &Sources) -> Result<Option<UnixStream>> {
    let socket = data_dir(sources)?.socket();
    if !socket.exists() {
        return Ok(None);
    }
    listen::connect_operator(&socket).await
}

async fn over_socket(stream: UnixStream, command: &Command) -> Result<serde_json::Value> {
    tokio::time::timeout(PATIENCE, exchange(stream, command))
        .await
        .map_err(|_| {
            Error::new(
                Code::DependencyFailure,
                "the running server does not answer; look at its log",
            )
        })?
}

async fn exchange(stream: UnixStream, command: &Command) -> Result<serde_json::Value> {
    let unreachable = "talk to the running server over its socket";
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .or_code(Code::DependencyFailure, unreachable)?;
    tokio::spawn(async move {
        // Its end is seen by the request below.
        let _ = connection.await;
    });
    let body = serde_json::to_vec(command).or_internal("encode the command")?;
    let request = Request::post(PATH)
        .header(HOST, "operator")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .or_internal("make the request")?;
    let response = sender
        .send_request(request)
        .await
        .or_code(Code::DependencyFailure, unreachable)?;
    let good = response.status().is_success();
    let body = response
        .into_body()
        .collect()
        .await
        .or_code(Code::DependencyFailure, unreachable)?
        .to_bytes();
    if good {
        return serde_json::from_slice(&body).or_internal("read the server's answer");
    }
    let failure: ErrorBody =
        serde_json::from_slice(&body).or_internal("read the server's refusal")?;
    Err(failure.into_error(Code::InternalError))
}

async fn here(sources: &Sources, command: Command) -> Result<serde_json::Value> {
    let random = Arc::new(SystemEntropy::new());
    // It may be the wrong folder, and a link made there leads nowhere.
    let new = without_data()?;
    let config = Config::load(sources, random.as_ref())?.config;
    let app = App::start(config, Arc::new(SystemClock), random)
        .await
        .map_err(|e| does_not_answer(e, sources))?;
    if let Some(root) = new {
        print_aside(format_args!(
            "The data folder {} is new: no server has run on it yet. DATA_DIR names another.",
            root.display()
        ));
    }
    operator::run(&app, command).await
}

/// Of a database that another process has although nobody listens at the
/// socket: a server has it a little longer than that.
fn does_not_answer(error: Error, sources: &Sources) -> Error {
    let (Some(holder), Ok(data)) = (error.details.get("holder"), data_dir(sources)) else {
        return error;
    };
    let who = match holder.as_u64() {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    Error::new(
        error.code,
        format!(
            "{who} has the data folder {} and does not answer: a server that is starting or \
             stopping right now, or another hivesync admin; try again in a moment, or look at the \
             server's log",
            data.root().display()
        ),
    )
}
