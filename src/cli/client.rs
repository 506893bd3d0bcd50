//! The API client of the command line.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Secret;
use crate::error::{Code, Context, Error, Result};
use crate::net::tls;

/// A server and the credential to use there.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Without a trailing slash.
    server: String,
    token: Option<Secret>,
}

/// The shape of every error that a server answers.
#[derive(Deserialize)]
pub(super) struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    code: String,
    message: String,
    #[serde(default)]
    details: Value,
}

impl ErrorBody {
    /// The error with the server's code and words. A code of a newer server
    /// that we do not know becomes `unknown`.
    pub(super) fn into_error(self, unknown: Code) -> Error {
        let ErrorFields {
            code,
            message,
            details,
        } = self.error;
        let error = Error::new(Code::parse(&code).unwrap_or(unknown), message);
        match details.get("field") {
            Some(field) => error.with("field", field.clone()),
            None => error,
        }
    }
}

impl Client {
    pub fn new(server: &str, token: Option<Secret>) -> Result<Self> {
        tls::choose_provider();
        let url = url::Url::parse(server)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https"));
        if url.is_none() {
            return Err(Error::invalid(
                "server",
                format!("{server} is not an http or https address"),
            ));
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("hivesync/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .build()
            .or_internal("set up the HTTP client")?;
        Ok(Self {
            http,
            server: server.trim_end_matches('/').to_owned(),
            token,
        })
    }

    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    #[must_use]
    pub fn with_token(&self, token: Secret) -> Self {
        Self {
            token: Some(token),
            ..self.clone()
        }
    }

    /// A request below `/api/v1`, or to a full URL that the server gave out.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http://") || path.starts_with("https://") {
            path.to_owned()
        } else {
            format!("{}/api/v1{path}", self.server)
        };
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    /// Sends, and turns every answer that is not a success into an error with
    /// the server's code and words.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|e| {
            // The URL may carry a capability.
            let cause = e.without_url();
            Error::new(
                Code::DependencyFailure,
                format!(
                    "no answer from {}: {}; is the server running? start it with: hivesync serve",
                    self.server,
                    root_cause(&cause)
                ),
            )
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let Ok(body) = response.json::<ErrorBody>().await else {
            return Err(Error::new(
                Code::DependencyFailure,
                format!(
                    "{} answered {status}; is this address a HiveSync server?",
                    self.server
                ),
            ));
        };
        Err(body.into_error(Code::DependencyFailure))
    }

    pub async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        self.send(request)
            .await?
            .json()
            .await
            .map_err(reqwest::Error::without_url)
            .or_code(Code::DependencyFailure, "read the server's answer")
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(self.request(Method::GET, path)).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        self.json(self.request(Method::POST, path).json(body)).await
    }
}

/// The innermost cause says what happened; the outer ones only that a
/// request failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
