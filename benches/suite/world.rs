//! The product's own binary on a data folder, with an account to ask it by;
//! and a data folder with as many jobs as one likes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivesync::app::App;
use hivesync::blobs::BlobKey;
use hivesync::clock::{SystemClock, SystemEntropy, Timestamp};
use hivesync::domain::preview::{Bundle, Platform, Preview, PreviewStatus, TokenFacts};
use hivesync::domain::project::ProjectKind;
use hivesync::domain::{JobId, ProjectId, UserId};
use hivesync::net::tls;
use hivesync::store::{Batch, Expect, Record};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::Result;
use crate::process::{Process, free_address};
use crate::server::{config, new_job};

const PASSWORD: &str = "a password of the bench";

/// `hivesync serve`.
pub(crate) struct Hive {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// From the start of the process to the first answer of `/readyz`.
    pub(crate) ready_after: Duration,
    client: reqwest::Client,
    token: String,
    /// Its log lies here, and its data if it was given none.
    folder: TempDir,
}

impl Hive {
    /// Starts it on a new data folder.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        Self::start_in(folder, &data, settings).await
    }

    /// Starts it on a data folder that stays.
    pub(crate) async fn start_on(data: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, data, settings).await
    }

    async fn start_in(folder: TempDir, data: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_hivesync"));
        command
            .arg("serve")
            .current_dir(folder.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("DATA_DIR", data)
            .env("BIND", "127.0.0.1")
            .env("PORT", address.port().to_string())
            .env("ADMIN_EMAIL", "bench@example.com")
            .env("ADMIN_PASSWORD", PASSWORD)
            .env("MIN_FREE_DISK_MB", "0")
            // What is measured is what is asked for.
            .env("PREVIEW_WARM_UP", "false")
            .envs(settings.iter().copied());
        let log = folder.path().join("hivesync.log");
        let client = client()?;
        let began = Instant::now();
        let mut process = Process::start_logged("hivesync", &mut command, &log)?;
        process.listens(address).await?;
        let ready = client
            .get(format!("http://{address}/readyz"))
            .send()
            .await?;
        ready.error_for_status()?;
        Ok(Self {
            process,
            address,
            ready_after: began.elapsed(),
            client,
            token: String::new(),
            folder,
        })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.process.stop().await?;
        Ok(self.folder.close()?)
    }

    /// Logs in as the first admin.
    pub(crate) async fn log_in(&mut self) -> Result<()> {
        let body = json!({"username_or_email": "bench@example.com", "password": PASSWORD});
        let answer = self.call(Method::POST, "/auth/login", Some(&body)).await?;
        answer["token"]
            .as_str()
            .ok_or("no token")?
            .clone_into(&mut self.token);
        Ok(())
    }

    /// Asks a path below `/api/v1`; anything but success is an error.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let url = format!("http://{}/api/v1{path}", self.address);
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    /// A new project of uploads; answers its id.
    pub(crate) async fn project(&self, name: &str) -> Result<i64> {
        let body = json!({"name": name, "source": {"kind": "upload"}});
        let made = self.call(Method::POST, "/projects", Some(&body)).await?;
        Ok(made["id"].as_i64().ok_or("no id")?)
    }

    /// Makes an archive the newest commit of a project.
    pub(crate) async fn upload(&self, project: i64, archive: Vec<u8>) -> Result<()> {
        let url = format!(
            "http://{}/api/v1/projects/{project}/source/archive",
            self.address
        );
        let request = self.client.put(url).bearer_auth(&self.token);
        answer(request.body(archive)).await.map(drop)
    }

    /// Asks for a preview of the newest commit.
    pub(crate) async fn ask(&self, project: i64, platform: &str) -> Result<Accepted> {
        let wanted = json!({"project_id": project, "git_ref": "latest", "platform": platform});
        let token = self
            .call(Method::POST, "/preview/token", Some(&wanted))
            .await?;
        let wanted = json!({"token": token["token"]});
        let accepted = self
            .call(Method::POST, "/preview/build", Some(&wanted))
            .await?;
        let text = |name: &str| accepted[name].as_str().map(str::to_owned);
        Ok(Accepted {
            job: text("job_id").ok_or("no job")?,
            access: text("access_token").ok_or("no access token")?,
        })
    }

    /// How a preview stands; an error if it will not succeed.
    async fn status(&self, accepted: &Accepted) -> Result<Value> {
        let path = format!("/preview/status/{}", accepted.job);
        let preview = self.call(Method::GET, &path, None).await?;
        match preview["status"].as_str() {
            Some("failed" | "cancelled") | None => Err(format!("no preview: {preview}").into()),
            _ => Ok(preview),
        }
    }

    /// Waits until a preview's bundle can be downloaded.
    pub(crate) async fn built(&self, accepted: &Accepted) -> Result<()> {
        while self.status(accepted).await?["status"] != "success" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The build log of a preview that has ended.
    pub(crate) async fn log(&self, accepted: &Accepted) -> Result<String> {
        let path = format!("/api/v1/preview/logs/{}", accepted.job);
        let url = format!("http://{}{path}", self.address);
        let asked = self.client.get(url).bearer_auth(&self.token).send().await?;
        Ok(asked.error_for_status()?.text().await?)
    }

    /// How long such a preview was in a stage, as its log has it. That rounds to
    /// tenths of a second; this is the most that it may have been.
    pub(crate) async fn time_in_stage(&self, accepted: &Accepted, stage: &str) -> Result<f64> {
        let log = self.log(accepted).await?;
        let done = format!("== {stage} done ");
        let seconds = log
            .lines()
            .find_map(|line| line.strip_prefix(&done)?.strip_suffix('s')?.parse().ok());
        let seconds: f64 = seconds.ok_or_else(|| format!("{stage} is not in the log:\n{log}"))?;
        Ok(seconds + 0.05)
    }
}

/// A preview that was asked for.
pub(crate) struct Accepted {
    pub(crate) job: String,
    pub(crate) access: String,
}

impl Accepted {
    pub(crate) fn download_path(&self) -> String {
        format!(
            "/api/v1/preview/download/{}?access={}",
            self.job, self.access
        )
    }
}

fn client() -> Result<reqwest::Client> {
    tls::choose_provider();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let (status, text) = (response.status(), response.text().await?);
    if !status.is_success() {
        return Err(format!("answered {status}: {text}").into());
    }
    Ok(serde_json::from_str(&text)?)
}

/// A data folder with `jobs` ended previews of project 1, below `target`, so
/// that the next run finds it; and the ids of some of them.
pub(crate) async fn stocked(jobs: usize) -> Result<Stock> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/bench-data")
        .join(format!("{jobs}-jobs"));
    let listed = data.join("sample.json");
    if !listed.exists() {
        eprintln!("   storing {jobs} jobs ...");
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        std::fs::create_dir_all(&data)?;
        let mut hive = Hive::start_on(&data, &[]).await?;
        hive.log_in().await?;
        let project = hive.project("stock").await?;
        hive.stop().await?;
        let sample = fill(&data, jobs, ProjectId(project)).await?;
        std::fs::write(
            &listed,
            json!({"project": project, "jobs": sample}).to_string(),
        )?;
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(listed)?)?;
    let jobs = kept["jobs"].as_array().ok_or("no jobs")?;
    Ok(Stock {
        data,
        project: kept["project"].as_i64().ok_or("no project")?,
        sample: jobs
            .iter()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect(),
    })
}

pub(crate) struct Stock {
    pub(crate) data: PathBuf,
    pub(crate) project: i64,
    pub(crate) sample: Vec<String>,
}

/// Rows of one commit.
const TOGETHER: usize = 10_000;
/// Ids that are kept for asking.
const SAMPLE: usize = 1000;

/// Writes previews that have succeeded, each with a job that waits in a queue
/// which no worker of this version serves.
async fn fill(data: &Path, jobs: usize, project: ProjectId) -> Result<Vec<String>> {
    let random = Arc::new(SystemEntropy::new());
    let app = App::start(config(data, "0")?, Arc::new(SystemClock), random).await?;
    // In the order of their keys, as over the years: ids go by time, but many of
    // these are of one millisecond.
    let mut ids: Vec<_> = (0..jobs)
        .map(|_| JobId::generate(app.random.as_ref(), app.clock.now()))
        .collect();
    ids.sort();
    for (index, together) in ids.chunks(TOGETHER).enumerate() {
        let mut batch = Batch::new();
        for (number, id) in together.iter().enumerate() {
            let key = index * TOGETHER + number;
            let mut job = new_job(id.clone(), "preview".into(), "{\"project_id\":1}".into());
            job.queue = hivesync::domain::job::Queue::AiJobs;
            batch = batch
                .put(
                    Record::Preview(preview(&app, id, project, key)),
                    Expect::Absent,
                )
                .enqueue(job);
        }
        app.store.commit(batch).await?;
    }
    let every = (jobs / SAMPLE).max(1);
    let sample = ids.iter().step_by(every).map(|id| id.as_str().to_owned());
    Ok(sample.collect())
}

fn preview(app: &App, id: &JobId, project: ProjectId, number: usize) -> Preview {
    let now = app.clock.now();
    let hex = format!("{number:064x}");
    Preview {
        id: id.clone(),
        project_id: project,
        requested_by: UserId(1),
        git_ref: "main".into(),
        branch: Some("main".into()),
        commit: hex[24..].to_owned(),
        platform: Platform::Ios,
        build_key: hex.clone(),
        token: TokenFacts {
            issued_at: now,
            expires_at: now,
            version: 1,
        },
        status: PreviewStatus::Success,
        stage: None,
        percent: 100,
        warm: Some(true),
        sandbox: None,
        timed_out: false,
        error: None,
        bundle: Some(Bundle {
            key: BlobKey::bundle(project, id).as_str().to_owned(),
            size: 1,
            sha256: hex,
            kind: ProjectKind::Static,
            expires_at: Timestamp::from_secs(4_000_000_000),
            bytecode: None,
        }),
        estimated_seconds: 1,
        created_at: now,
        started_at: Some(now),
        completed_at: Some(now),
        bundler: None,
    }
}
