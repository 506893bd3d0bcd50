//! `hivesync preview`: upload this folder (or name a ref), wait for the
//! builds with a bar for each platform, print URL and QR code.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::client::Client;
use super::connection::Connection;
use super::follow;
use super::outcome::Outcome;
use super::output::{print as tell, print_aside};
use super::platform;
use super::project::{self, Fit, Project, Wanted};
use super::qr;
use super::requested::Requested;
use super::source::{Source, source};
use super::upload::Archive;
use crate::domain::preview::Platform;
use crate::error::{Context, Result};

/// The exit code of what a person interrupted, as shells have it.
const INTERRUPTED: u8 = 130;
/// That of what took too long, as `timeout` of the coreutils has it.
const TOOK_TOO_LONG: u8 = 124;

#[derive(Args, Debug)]
pub struct PreviewArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    pub(super) path: PathBuf,
    #[command(flatten)]
    connection: Connection,
    /// Name or id of the project; made if there is none. Default: the folder's name
    #[arg(long)]
    project: Option<String>,
    /// What to build for; several may be given. Default: ios, or web for what is no app
    #[arg(long, value_delimiter = ',', value_parser = parse_platform)]
    platform: Vec<Platform>,
    /// Build this branch, tag or commit of the project instead of uploading
    #[arg(long = "ref", value_name = "REF")]
    pub(super) git_ref: Option<String>,
    /// Save the finished bundles in this folder
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Print URLs and job ids and do not wait for the builds
    #[arg(long)]
    no_wait: bool,
    /// Wait for the builds no longer than this (exit code 124); the server builds on
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    timeout: u64,
    /// Print no QR codes
    #[arg(long)]
    no_qr: bool,
    /// Print one JSON object, and nothing else, on standard output; `error` is in it if nothing came of it
    #[arg(long)]
    json: bool,
}

fn parse_platform(text: &str) -> std::result::Result<Platform, String> {
    Platform::parse(text).ok_or_else(|| "one of ios, android and web".to_owned())
}

/// Succeeds when every preview that was waited for does.
pub async fn run(args: PreviewArgs) -> Result<ExitCode> {
    let ended = preview(&args).await;
    if let Err(error) = &ended
        && args.json
    {
        // Whoever reads the object learns of it there, too.
        tell(json!({"error": {"code": error.code.as_str(), "message": error.message}}));
    }
    ended
}

async fn preview(args: &PreviewArgs) -> Result<ExitCode> {
    let client = args.connection.client()?;
    // First: nothing is made on the server for a folder that cannot be sent.
    let archive = match args.git_ref {
        None => Some(Archive::of(&args.path).await?),
        Some(_) => None,
    };
    let wanted = Wanted {
        project: args.project.as_deref(),
        folder: &args.path,
        fit: if archive.is_some() {
            Fit::Folder
        } else {
            Fit::Ref
        },
    };
    let project = project::find(&client, &wanted).await?;
    if archive.is_some()
        && let Err(refusal) =
            platform::require_of_folder(&args.path, &project.config, &args.platform)
    {
        project.unmake(&client, &refusal).await;
        return Err(refusal);
    }
    let source = source(&client, &project, archive, args).await?;
    let platforms = platforms(&client, &project, args).await;
    if args.git_ref.is_some() && platforms.len() > 1 {
        platform::require_of_ref(&client, &project, &source.git_ref, &platforms).await?;
    }
    let mut requested = Vec::new();
    for platform in platforms {
        let preview = request(&client, &project, &source, platform).await;
        requested.push(preview.map_err(|e| source.explain(e, &project))?);
    }
    if !args.no_wait {
        let outcomes = match wait(&client, &requested, args).await? {
            Waited::Ended(outcomes) => outcomes,
            Waited::Left(code) => {
                if args.json {
                    print(args, &client, &project, &source.git_ref, &requested)?;
                }
                return Ok(ExitCode::from(code));
            }
        };
        for (request, outcome) in requested.iter_mut().zip(outcomes) {
            request.outcome = Some(outcome);
            // A failure is seen behind its own link; a new one would build again.
            if request.succeeded() {
                request.renew_url(&client, project.id).await?;
            } else if !args.json {
                request.read_log(&client).await;
            }
        }
    }
    if let Some(folder) = &args.output {
        let finished = |r: &&mut Requested| r.outcome.as_ref().is_some_and(Outcome::succeeded);
        for request in requested.iter_mut().filter(finished) {
            request.saved_as = Some(request.save(&client, folder).await?);
        }
    }
    print(args, &client, &project, &source.git_ref, &requested)?;
    Ok(if requested.iter().all(Requested::succeeded) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl PreviewArgs {
    /// Tells a person; a program reads the JSON.
    pub(super) fn say(&self, text: impl Display) {
        if !self.json {
            print_aside(text);
        }
    }
}

async fn platforms(client: &Client, project: &Project, args: &PreviewArgs) -> Vec<Platform> {
    if !args.platform.is_empty() {
        let mut once = Vec::new();
        for platform in &args.platform {
            if !once.contains(platform) {
                once.push(*platform);
            }
        }
        return once;
    }
    let usual = match &args.git_ref {
        Some(git_ref) => platform::usual_of_ref(client, project, git_ref).await,
        None => platform::usual_of_folder(&args.path, &project.config),
    };
    args.say(format_args!(
        "Building for {usual}; --platform chooses another."
    ));
    vec![usual]
}

async fn request(
    client: &Client,
    project: &Project,
    source: &Source,
    platform: Platform,
) -> Result<Requested> {
    let preview = Requested::new(client, project.id, &source.git_ref, platform).await?;
    // The branch may have moved on since: somebody else has uploaded.
    match &source.commit {
        Some(commit) if preview.commit(client).await? != *commit => {
            Requested::new(client, project.id, commit, platform).await
        }
        _ => Ok(preview),
    }
}

/// How the waiting came out.
enum Waited {
    Ended(Vec<Outcome>),
    /// Somebody wanted to wait no longer; the exit code.
    Left(u8),
}

/// Follows the builds to their ends, in the order in which they were
/// requested.
async fn wait(client: &Client, requested: &[Requested], args: &PreviewArgs) -> Result<Waited> {
    for r in requested.iter().filter(|r| !r.was_there()) {
        args.say(format_args!(
            "{}: job {}\n  page: {}",
            r.platform, r.job_id, r.preview_url
        ));
    }
    let show_bars = !args.json && std::io::stderr().is_terminal();
    let bars = follow::Bars::new(show_bars, !args.json);
    let waits = requested.iter().map(|r| bars.follow(client, r));
    // Listens from here on, not from the first event.
    let mut interrupt = signal(SignalKind::interrupt()).or_internal("listen for an interrupt")?;
    let (why, code) = tokio::select! {
        outcomes = futures::future::try_join_all(waits) => return outcomes.map(Waited::Ended),
        _ = interrupt.recv() => ("\nNot waiting any longer".to_owned(), INTERRUPTED),
        () = tokio::time::sleep(Duration::from_secs(args.timeout)) => {
            (format!("Not ended after {} s (--timeout)", args.timeout), TOOK_TOO_LONG)
        }
    };
    drop(bars);
    print_aside(format_args!("{why}. The server builds on; look here:"));
    for r in requested {
        print_aside(format_args!("  {}: {}", r.platform, r.preview_url));
    }
    Ok(Waited::Left(code))
}

fn print(
    args: &PreviewArgs,
    client: &Client,
    project: &Project,
    git_ref: &str,
    requested: &[Requested],
) -> Result<()> {
    if args.json {
        let answer: Value =
            json!({"project_id": project.id, "ref": git_ref, "previews": requested});
        tell(answer);
        return Ok(());
    }
    for r in requested {
        tell("");
        match &r.outcome {
            Some(outcome) => tell(outcome.sentence(r.platform, &r.job_id)),
            None => tell(format_args!(
                "{}: job {} was accepted",
                r.platform, r.job_id
            )),
        }
        if !r.succeeded() {
            for line in &r.excerpt {
                tell(format_args!("  | {line}"));
            }
            tell(format_args!("  log: {}", r.log_url(client)));
            if r.is_link_good() {
                tell(format_args!("  page: {}", r.preview_url));
            }
            continue;
        }
        if let Some(path) = &r.saved_as {
            tell(format_args!("  saved as {}", path.display()));
        }
        tell(format_args!("  {}", r.preview_url));
        tell(format_args!(
            "  this link opens until {}; to get another, ask again",
            r.link_until.to_rfc3339()
        ));
        if !args.no_qr {
            tell(qr::terminal(&r.preview_url)?);
        }
    }
    Ok(())
}
