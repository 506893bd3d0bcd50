//! `hivesync preview`: upload this folder (or name a ref), wait for the
//! builds with a bar for each platform, print URL and QR code.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::credentials::Credentials;
use super::follow::{self, Outcome};
use super::{login, pack, qr};
use crate::config::Secret;
use crate::domain::preview::Platform;
use crate::error::{Code, Context, Error, Result};

#[derive(Args, Debug)]
pub struct PreviewArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Address of the server; without it the one logged in to last
    #[arg(long, env = "HIVESYNC_SERVER")]
    server: Option<String>,
    /// An API token, instead of `hivesync login`
    #[arg(long, env = "HIVESYNC_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Name or id of the project; made if there is none. Default: the folder's name
    #[arg(long)]
    project: Option<String>,
    /// What to build for; several may be given
    #[arg(long, value_delimiter = ',', default_value = "ios", value_parser = parse_platform)]
    platform: Vec<Platform>,
    /// Build this branch, tag or commit of the project instead of uploading
    #[arg(long = "ref", value_name = "REF")]
    git_ref: Option<String>,
    /// Save the finished bundles in this folder
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Print URLs and job ids and do not wait for the builds
    #[arg(long)]
    no_wait: bool,
    /// Print no QR codes
    #[arg(long)]
    no_qr: bool,
    /// Print one JSON object, and nothing else, on standard output
    #[arg(long)]
    json: bool,
}

fn parse_platform(text: &str) -> std::result::Result<Platform, String> {
    Platform::parse(text).ok_or_else(|| "one of ios, android and web".to_owned())
}

#[derive(Deserialize)]
struct ProjectAnswer {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct ProjectList {
    projects: Vec<ProjectAnswer>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct ArchiveAnswer {
    commit: String,
    #[serde(rename = "ref")]
    git_ref: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: String,
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
struct Requested {
    platform: Platform,
    job_id: String,
    preview_url: String,
    download_url: String,
    #[serde(skip)]
    estimated_seconds: u32,
    #[serde(skip)]
    access: Secret,
    #[serde(flatten)]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_as: Option<PathBuf>,
}

impl Requested {
    fn succeeded(&self) -> bool {
        self.outcome.as_ref().is_none_or(Outcome::succeeded)
    }

    /// The commit that is built.
    async fn commit(&self, client: &Client) -> Result<String> {
        #[derive(Deserialize)]
        struct Status {
            commit: String,
        }
        let path = format!("/preview/status/{}", self.job_id);
        Ok(client.get::<Status>(&path).await?.commit)
    }

    /// The first link began to expire when the build was asked for, and a cold
    /// build may outlive it: this one has its whole time before it.
    async fn renew_url(&mut self, client: &Client, project: i64) -> Result<()> {
        if let Some(outcome) = &self.outcome {
            let token = issue(client, project, &outcome.commit, self.platform).await?;
            self.preview_url = token.preview_url;
        }
        Ok(())
    }
}

/// Answers whether every preview that was waited for has succeeded.
pub async fn run(args: PreviewArgs) -> Result<bool> {
    let client = connect(&args)?;
    let project = find_project(&client, &args).await?;
    let say = |text: String| {
        if !args.json {
            eprintln!("{text}");
        }
    };
    let (git_ref, commit) = if let Some(name) = &args.git_ref {
        (name.clone(), None)
    } else {
        let upload = upload(&client, project.id, &args.path).await?;
        let short: String = upload.commit.chars().take(10).collect();
        say(format!(
            "Uploaded {} to project {} as commit {short}.",
            args.path.display(),
            project.name
        ));
        (upload.git_ref, Some(upload.commit))
    };

    let mut requested = Vec::with_capacity(args.platform.len());
    for platform in &args.platform {
        let mut preview = request(&client, project.id, &git_ref, *platform).await?;
        // The branch may have moved on since: somebody else has uploaded.
        if let Some(commit) = &commit
            && preview.commit(&client).await? != *commit
        {
            preview = request(&client, project.id, commit, *platform).await?;
        }
        requested.push(preview);
    }
    if !args.no_wait {
        let show_bars = !args.json && std::io::stderr().is_terminal();
        let bars = follow::Bars::new(show_bars, !args.json);
        let waits = requested.iter().map(|r| {
            bars.follow(
                &client,
                r.platform,
                &r.job_id,
                &r.access,
                r.estimated_seconds,
            )
        });
        let outcomes = futures::future::try_join_all(waits).await?;
        for (request, outcome) in requested.iter_mut().zip(outcomes) {
            request.outcome = Some(outcome);
        }
        for request in requested.iter_mut().filter(|r| r.succeeded()) {
            request.renew_url(&client, project.id).await?;
        }
    }
    if let Some(folder) = &args.output {
        for request in requested
            .iter_mut()
            .filter(|r| r.outcome.as_ref().is_some_and(Outcome::succeeded))
        {
            request.saved_as = Some(save(&client, request, folder).await?);
        }
    }
    print(&args, client.server(), &project, &git_ref, &requested)?;
    Ok(requested.iter().all(Requested::succeeded))
}

fn connect(args: &PreviewArgs) -> Result<Client> {
    let credentials = Credentials::load(&login::config_home()?)?;
    let server = args
        .server
        .as_deref()
        .or(credentials.default_server())
        .unwrap_or(login::LOCAL_SERVER)
        .trim_end_matches('/');
    let token = match &args.token_file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).or_internal(&format!("read {}", path.display()))?;
            Some(Secret::new(text.trim()))
        }
        None => std::env::var("HIVESYNC_TOKEN")
            .ok()
            .filter(|t| !t.is_empty())
            .map(Secret::new)
            .or_else(|| credentials.token(server)),
    };
    let Some(token) = token else {
        return Err(Error::new(
            Code::Unauthenticated,
            format!("not logged in to {server}; run: hivesync login --server {server}"),
        ));
    };
    Client::new(server, Some(token))
}

/// The project named on the command line: by id, else by name among those the
/// caller sees, else a new one.
async fn find_project(client: &Client, args: &PreviewArgs) -> Result<ProjectAnswer> {
    if let Some(id) = args.project.as_deref().and_then(|p| p.parse::<i64>().ok()) {
        return client.get(&format!("/projects/{id}")).await;
    }
    let name = match &args.project {
        Some(name) => name.clone(),
        None => folder_name(&args.path)?,
    };
    let mut cursor = String::new();
    loop {
        let page: ProjectList = client.get(&format!("/projects?limit=200{cursor}")).await?;
        if let Some(found) = page.projects.into_iter().find(|p| p.name == name) {
            return Ok(found);
        }
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    if args.git_ref.is_some() {
        return Err(Error::new(
            Code::ProjectNotFound,
            format!(
                "there is no project named {name}; name it with --project, or leave --ref out to upload"
            ),
        ));
    }
    client
        .post(
            "/projects",
            &json!({"name": name, "source": {"kind": "upload"}}),
        )
        .await
}

fn folder_name(path: &Path) -> Result<String> {
    let full = path.canonicalize().map_err(|e| {
        Error::invalid(
            "path",
            format!("cannot open the folder {}: {e}", path.display()),
        )
    })?;
    full.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .ok_or_else(|| {
            Error::invalid(
                "project",
                "the root folder has no name; name it with --project",
            )
        })
}

async fn upload(client: &Client, project: i64, folder: &Path) -> Result<ArchiveAnswer> {
    let folder = folder.to_owned();
    let (file, size) = tokio::task::spawn_blocking(move || {
        let mut file = tempfile::tempfile().or_internal("make a temporary file")?;
        pack::pack(&folder, &mut file)?;
        std::io::Seek::rewind(&mut file).or_internal("read the archive again")?;
        let size = file.metadata().or_internal("measure the archive")?.len();
        Ok::<_, Error>((file, size))
    })
    .await
    .or_internal("pack the folder")??;
    let stream = tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(file));
    let request = client
        .request(Method::PUT, &format!("/projects/{project}/source/archive"))
        .header(CONTENT_TYPE, "application/gzip")
        .header(reqwest::header::CONTENT_LENGTH, size)
        .body(reqwest::Body::wrap_stream(stream));
    client.json(request).await
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

async fn request(
    client: &Client,
    project: i64,
    git_ref: &str,
    platform: Platform,
) -> Result<Requested> {
    let token = issue(client, project, git_ref, platform).await?;
    let build: BuildAnswer = client
        .post("/preview/build", &json!({"token": token.token}))
        .await?;
    Ok(Requested {
        platform,
        job_id: build.job_id,
        preview_url: token.preview_url,
        download_url: build.download_url,
        estimated_seconds: build.estimated_seconds,
        access: Secret::new(build.access_token),
        outcome: None,
        saved_as: None,
    })
}

/// Streams the bundle into `folder`, aside first, so that a file there is whole.
async fn save(client: &Client, request: &Requested, folder: &Path) -> Result<PathBuf> {
    tokio::fs::create_dir_all(folder)
        .await
        .or_internal(&format!("make {}", folder.display()))?;
    let path = folder.join(format!("{}-{}.zip", request.job_id, request.platform));
    let aside = path.with_extension("part");
    let call = client.with_token(request.access.clone());
    let mut response = call
        .send(call.request(
            Method::GET,
            &format!("/preview/download/{}", request.job_id),
        ))
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

fn print(
    args: &PreviewArgs,
    server: &str,
    project: &ProjectAnswer,
    git_ref: &str,
    requested: &[Requested],
) -> Result<()> {
    if args.json {
        let answer: Value =
            json!({"project_id": project.id, "ref": git_ref, "previews": requested});
        println!("{answer}");
        return Ok(());
    }
    for r in requested {
        println!();
        match &r.outcome {
            Some(outcome) => println!("{}", outcome.sentence(r.platform, &r.job_id)),
            None => println!("{}: job {} was accepted", r.platform, r.job_id),
        }
        if !r.succeeded() {
            println!("  log: {server}/api/v1/preview/logs/{}", r.job_id);
            continue;
        }
        if let Some(path) = &r.saved_as {
            println!("  saved as {}", path.display());
        }
        println!("  {}", r.preview_url);
        if !args.no_qr {
            println!("{}", qr::terminal(&r.preview_url)?);
        }
    }
    Ok(())
}
