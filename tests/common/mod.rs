//! The server under test: a real one, in this process, on a data folder and a
//! port of its own. Stopping it fails on what it left behind.

#![allow(dead_code, reason = "each test binary uses its part of the harness")]

mod answer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hivesync::app::App;
use hivesync::clock::{Clock, ManualClock, SystemClock, SystemEntropy, Timestamp};
use hivesync::config::{Config, Secret};
use hivesync::domain::UserId;
use hivesync::domain::user::Role;
use hivesync::http::router;
use hivesync::http::server::{self, Limits, listen};
use hivesync::lifecycle::Ending;
use hivesync::net::tls;
use hivesync::services::auth::Actor;
use hivesync::services::auth::accounts::{self, NewAccount};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use answer::Answer;

/// Nothing in a test takes longer; a deadline, never a wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// The password of every account that the harness makes.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// How the server shall be, before it starts.
pub(crate) struct Setup {
    data: TempDir,
    config: Config,
    clock: Arc<dyn Clock>,
    worker: bool,
    limits: Limits,
}

impl Setup {
    /// The defaults of [`Config::for_tests`], the machine's clock, no worker.
    pub(crate) fn new() -> Self {
        Self::on(tempfile::tempdir().expect("a temporary folder"))
    }

    /// The same on a folder that a server has used before.
    pub(crate) fn on(data: TempDir) -> Self {
        let mut config = Config::for_tests(data.path());
        // A test runs the builds that it asks for; those ahead have their own.
        config.builds.warm_up = false;
        config.builds.bytecode = false;
        config.builds.launcher = Some(env!("CARGO_BIN_EXE_hivesync").into());
        Self {
            config,
            data,
            clock: Arc::new(SystemClock),
            worker: false,
            limits: Limits::new(1000),
        }
    }

    pub(crate) fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) fn clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Runs the jobs, too.
    pub(crate) fn worker(mut self) -> Self {
        self.worker = true;
        self
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) async fn start(self) -> TestServer {
        let app = App::start(self.config, self.clock, Arc::new(SystemEntropy::new()))
            .await
            .expect("the stores open");
        let listener = listen::tcp(&app.config.server).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        app.listening.set(address).expect("set once");
        let life = app.lifecycle.clone();
        let router = router::router(Arc::clone(&app));
        life.spawn(
            "http",
            server::serve(listener, router, self.limits, life.clone()),
        );
        if self.worker {
            life.spawn("worker", hivesync::worker::run(Arc::clone(&app)));
        }
        TestServer {
            base: format!("http://{address}"),
            client: client(),
            app,
            data: Some(self.data),
        }
    }
}

/// A clock that stands at a time of no meaning until a test moves it.
pub(crate) fn manual_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_secs(
        1_900_000_000,
    )))
}

/// An HTTP client that follows no redirect: tests look at them.
pub(crate) fn client() -> reqwest::Client {
    tls::choose_provider();
    reqwest::Client::builder()
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client")
}

/// An account and the token of its session.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: UserId,
    pub(crate) username: String,
    pub(crate) token: String,
}

/// A running server. Every test ends with [`TestServer::stop`].
pub(crate) struct TestServer {
    pub(crate) app: Arc<App>,
    pub(crate) client: reqwest::Client,
    base: String,
    data: Option<TempDir>,
}

impl TestServer {
    /// The plainest server.
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// `path` from the root, such as `/api/v1/projects`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn data(&self) -> &Path {
        self.app.data.root()
    }

    /// A request to a path below `/api/v1`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, self.url(&format!("/api/v1{path}")))
    }

    /// Sends it with a bearer token, perhaps, and a JSON body, perhaps.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(Method::GET, path, Some(token), None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(token), Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.call(Method::PATCH, path, Some(token), Some(body))
            .await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        self.call(Method::DELETE, path, Some(token), None).await
    }

    /// A new account of role `user`, registered over HTTP.
    pub(crate) async fn register(&self, username: &str) -> Account {
        let body = json!({
            "email": format!("{username}@example.com"),
            "username": username,
            "password": PASSWORD,
        });
        let answer = self
            .call(Method::POST, "/auth/register", None, Some(&body))
            .await
            .expect(201);
        account_in(&answer)
    }

    /// A new account of any role, made by the operator and logged in.
    pub(crate) async fn account(&self, username: &str, role: Role) -> Account {
        let new = NewAccount {
            email: format!("{username}@example.com"),
            username: username.to_owned(),
            password: Secret::new(PASSWORD),
        };
        accounts::create_user(&self.app, &Actor::Operator, new, role)
            .await
            .expect("a new account");
        let body = json!({"username_or_email": username, "password": PASSWORD});
        let answer = self
            .call(Method::POST, "/auth/login", None, Some(&body))
            .await
            .expect(200);
        account_in(&answer)
    }

    /// A new project of this account.
    pub(crate) async fn project(&self, owner: &Account, name: &str) -> i64 {
        let answer = self
            .post("/projects", &owner.token, &json!({"name": name}))
            .await
            .expect(201);
        answer["id"].as_i64().expect("a project's id")
    }

    /// Stops the server and looks for what it left: tasks, temporary files.
    pub(crate) async fn stop(self) {
        drop(self.stop_and_keep().await);
    }

    /// The same, and gives its data folder to another start.
    pub(crate) async fn stop_and_keep(mut self) -> TempDir {
        let app = Arc::clone(&self.app);
        app.lifecycle.stop();
        let ending = app.lifecycle.finish(DEADLINE).await;
        assert_eq!(ending, Ending::Clean, "the server's tasks");
        let left: Vec<_> = std::fs::read_dir(app.data.tmp())
            .expect("DATA_DIR/tmp")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert!(left.is_empty(), "left in DATA_DIR/tmp: {left:?}");
        let data = self.data.take().expect("taken once");
        drop(self);
        assert_eq!(
            Arc::strong_count(&app),
            1,
            "something still holds the stopped server"
        );
        data
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        assert!(
            self.data.is_none() || std::thread::panicking(),
            "a test must end with server.stop().await"
        );
    }
}

fn account_in(answer: &Value) -> Account {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    Account {
        id: UserId(answer["user"]["id"].as_i64().expect("an id")),
        username: text(&answer["user"]["username"]),
        token: text(&answer["token"]),
    }
}
