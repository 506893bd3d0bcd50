//! The few calls of the W3C `WebDriver` protocol that the tests need, over plain
//! JSON. `chromedriver` and Chromium must be installed; a test that finds
//! neither fails and says so.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::common::{DEADLINE, client};

/// The key of an element's reference (`WebDriver`, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser of its own, without a profile. [`Browser::close`] ends it;
/// dropping it kills what is left.
pub(crate) struct Browser {
    driver: Child,
    client: reqwest::Client,
    session: String,
    /// Chromium's profile and whatever it drops elsewhere.
    _home: TempDir,
}

impl Browser {
    /// A window of this many pixels.
    pub(crate) async fn open(width: u32, height: u32) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let (driver, port) = start_driver(&home).await;
        let client = client();
        let base = format!("http://127.0.0.1:{port}/session");
        let profile = format!("--user-data-dir={}", home.path().join("profile").display());
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                "--no-first-run", "--disable-background-networking", "--no-proxy-server",
                format!("--window-size={width},{height}"), profile,
            ]},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": DEADLINE.as_millis()},
        }}});
        let mut browser = Self {
            driver,
            client,
            session: base,
            _home: home,
        };
        let made = browser.call(Method::POST, "", Some(capabilities)).await;
        let id = made["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        // Windows have a smallest width of their own; the viewport has none.
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        browser.post("/goog/cdp/execute", command).await;
        browser
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("chromedriver answers");
        let status = answer.status();
        let mut answer: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "{path}: {}", answer["value"]);
        answer["value"].take()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Goes there and waits for the page's load.
    pub(crate) async fn goto(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    pub(crate) async fn url(&self) -> String {
        let url = self.call(Method::GET, "/url", None).await;
        url.as_str().expect("an address").to_owned()
    }

    /// The value of a JavaScript expression, awaited if it is a promise. An
    /// error becomes the text `threw <name>`.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; (async () => ({expression}))().then(done, \
             (error) => done(`threw ${{error.name}}`));"
        );
        self.post("/execute/async", json!({"script": script, "args": []}))
            .await
    }

    /// Waits until an expression is true, looking once in every frame that the
    /// browser draws.
    pub(crate) async fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0]; const look = () => {{ let holds = false; \
             try {{ holds = Boolean({expression}); }} catch {{}} \
             if (holds) {{ done(true); }} else {{ setTimeout(look, 10); }} }}; look();"
        );
        let body = json!({"script": script, "args": []});
        let request = self
            .client
            .post(format!("{}/execute/async", self.session))
            .json(&body);
        let held = request.send().await.is_ok_and(|a| a.status().is_success());
        if !held {
            let page = self.eval("document.documentElement.outerHTML").await;
            let log = self.console().await;
            panic!("never true: {expression}\nconsole: {log:#?}\npage: {page}");
        }
    }

    async fn element(&self, selector: &str) -> Value {
        let found = self
            .post(
                "/element",
                json!({"using": "css selector", "value": selector}),
            )
            .await;
        assert!(found[ELEMENT].is_string(), "{selector}: {found}");
        found
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        let id = element[ELEMENT].as_str().expect("a reference");
        self.post(&format!("/element/{id}/click"), json!({})).await;
    }

    /// Types into whatever has the focus.
    pub(crate) async fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({"type": "keyDown", "value": key}),
                    json!({"type": "keyUp", "value": key}),
                ]
            })
            .collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.post("/actions", body).await;
    }

    /// Goes into a frame, and back out of all of them with [`Self::leave`].
    pub(crate) async fn enter(&self, selector: &str) {
        let element = self.element(selector).await;
        self.post("/frame", json!({"id": element})).await;
    }

    pub(crate) async fn leave(&self) {
        self.post("/frame", json!({"id": null})).await;
    }

    /// Errors and warnings that the browser has noted since the last call.
    pub(crate) async fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    pub(crate) async fn close(mut self) {
        self.call(Method::DELETE, "", None).await;
        self.driver.kill().await.expect("chromedriver ends");
    }
}

/// Starts chromedriver on a port of its choice.
async fn start_driver(home: &TempDir) -> (Child, u16) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chromedriver; install the packages chromium and chromium-driver");
    let output = driver.stdout.take().expect("piped");
    let mut lines = BufReader::new(output).lines();
    let port = tokio::time::timeout(DEADLINE, async {
        while let Some(line) = lines.next_line().await.expect("readable") {
            if let Some((_, rest)) = line.split_once("started successfully on port ") {
                return rest.trim_end_matches('.').parse().expect("a port");
            }
        }
        panic!("chromedriver ended without naming its port");
    })
    .await
    .expect("chromedriver starts in time");
    // It goes on writing; nobody listens, and a closed pipe would end it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (driver, port)
}
