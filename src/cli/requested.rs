//! One requested preview: asking for it, its bundle on disk, what its log says
//! of a failure.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::excerpt;
use super::outcome::Outcome;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Secret;
use crate::domain::preview::Platform;
use crate::error::{Context, Result};

#[derive(Deserialize)]
struct TokenAnswer {
    token: String,
    /// Seconds.
    expires_in: u64,
    preview_url: String,
}

#[derive(Deserialize)]
struct BuildAnswer {
    job_id: String,
    estimated_seconds: u32,
    access_token: String,
    download_url: String,
}

/// One requested preview, and in the end what is printed of it.
#[derive(Serialize)]
pub(super) struct Requested {
    pub(super) platform: Platform,
    pub(super) job_id: String,
    pub(super) preview_url: String,
    pub(super) download_url: String,
    /// When `preview_url` leads nowhere any more.
    #[serde(skip)]
    link_ends: Instant,
    /// The same for people.
    #[serde(skip)]
    pub(super) link_until: Timestamp,
    #[serde(skip)]
    pub(super) estimated_seconds: u32,
    #[serde(skip)]
    pub(super) access: Secret,
    #[serde(flatten)]
    pub(super) outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) saved_as: Option<PathBuf>,
    /// What a failed build's log says of the failure, ready for a terminal.
    #[serde(skip)]
    pub(super) excerpt: Vec<String>,
}

impl Requested {
    /// Asks for a preview of what `git_ref` names now.
    pub(super) async fn new(
        client: &Client,
        project: i64,
        git_ref: &str,
        platform: Platform,
    ) -> Result<Self> {
        let token = issue(client, project, git_ref, platform).await?;
        let build: BuildAnswer = client
            .post("/preview/build", &json!({"token": token.token}))
            .await?;
        Ok(Self {
            platform,
            job_id: build.job_id,
            link_ends: Instant::now() + Duration::from_secs(token.expires_in),
            link_until: until(token.expires_in),
            preview_url: token.preview_url,
            download_url: build.download_url,
            estimated_seconds: build.estimated_seconds,
            access: Secret::new(build.access_token),
            outcome: None,
            saved_as: None,
            excerpt: Vec::new(),
        })
    }

    pub(super) fn succeeded(&self) -> bool {
        self.outcome.as_ref().is_none_or(Outcome::succeeded)
    }

    /// Whether its bundle was there before it was asked for.
    pub(super) fn was_there(&self) -> bool {
        self.estimated_seconds == 0
    }

    /// Whether `preview_url` still opens.
    pub(super) fn is_link_good(&self) -> bool {
        Instant::now() < self.link_ends
    }

    /// The whole log, for a browser or curl. Whoever has it may read this one
    /// job for as long as its bundle lives, as whoever has the page may.
    pub(super) fn log_url(&self, client: &Client) -> String {
        format!(
            "{}/api/v1/preview/logs/{}?access={}",
            client.server(),
            self.job_id,
            self.access.expose()
        )
    }

    /// Reads what the log of a failed build says of it. Without that the failure is
    /// still told, so its own failure is not.
    pub(super) async fn read_log(&mut self, client: &Client) {
        let client = client.with_token(self.access.clone());
        let path = format!("/preview/logs/{}", self.job_id);
        let Ok(response) = client.send(client.request(Method::GET, &path)).await else {
            return;
        };
        if let Ok(text) = response.text().await {
            self.excerpt = excerpt::of(&text);
        }
    }

    /// The commit that is built.
    pub(super) async fn commit(&self, client: &Client) -> Result<String> {
        #[derive(Deserialize)]
        struct Status {
            commit: String,
        }
        let path = format!("/preview/status/{}", self.job_id);
        Ok(client.get::<Status>(&path).await?.commit)
    }

    /// The first link began to expire when the build was asked for, and a cold
    /// build may outlive it: this one has its whole time before it.
    pub(super) async fn renew_url(&mut self, client: &Client, project: i64) -> Result<()> {
        if let Some(outcome) = &self.outcome {
            let token = issue(client, project, &outcome.commit, self.platform).await?;
            self.link_ends = Instant::now() + Duration::from_secs(token.expires_in);
            self.link_until = until(token.expires_in);
            self.preview_url = token.preview_url;
        }
        Ok(())
    }

    /// Streams the bundle into `folder`, aside first, so that a file there is whole.
    pub(super) async fn save(&self, client: &Client, folder: &Path) -> Result<PathBuf> {
        tokio::fs::create_dir_all(folder)
            .await
            .or_internal(&format!("make {}", folder.display()))?;
        let path = folder.join(format!("{}-{}.zip", self.job_id, self.platform));
        let aside = path.with_extension("part");
        let call = client.with_token(self.access.clone());
        let mut response = call
            .send(call.request(Method::GET, &format!("/preview/download/{}", self.job_id)))
            .await?;
        let what = format!("save {}", path.display());
        let mut file = tokio::fs::File::create(&aside).await.or_internal(&what)?;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(reqwest::Error::without_url)
            .or_internal(&what)?
        {
            tokio::io::AsyncWriteExt::write_all(&mut file, &chunk)
                .await
                .or_internal(&what)?;
        }
        file.sync_all().await.or_internal(&what)?;
        tokio::fs::rename(&aside, &path).await.or_internal(&what)?;
        Ok(path)
    }
}

/// In so many seconds.
fn until(seconds: u64) -> Timestamp {
    SystemClock.now().after(Duration::from_secs(seconds))
}

async fn issue(
    client: &Client,
    project: i64,
    git_ref: &str,
    platform: Platform,
) -> Result<TokenAnswer> {
    let body = json!({"project_id": project, "git_ref": git_ref, "platform": platform});
    client.post("/preview/token", &body).await
}
