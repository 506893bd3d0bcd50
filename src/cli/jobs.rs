//! `hivesync cancel` and `hivesync retry`: a build that is no longer wanted, or
//! wanted again.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::connection::Connection;
use super::output::{print, print_json};
use crate::domain::JobId;
use crate::error::{Error, Result};

#[derive(Args, Debug)]
pub struct JobArgs {
    /// The job's id, such as `hivesync preview` prints it
    job: String,
    #[command(flatten)]
    connection: Connection,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Ends a build that is queued or runs.
///
/// # Errors
/// What the server refuses, such as `JOB_ALREADY_COMPLETED`.
pub async fn cancel(args: JobArgs) -> Result<ExitCode> {
    change(args, "cancel").await
}

/// Queues a build again that has failed or was cancelled.
///
/// # Errors
/// What the server refuses.
pub async fn retry(args: JobArgs) -> Result<ExitCode> {
    change(args, "retry").await
}

async fn change(args: JobArgs, verb: &str) -> Result<ExitCode> {
    // It becomes a part of an address.
    let job: JobId = args
        .job
        .parse()
        .map_err(|_| Error::invalid("job", "a job's id is job_ and 26 letters and digits"))?;
    let client = args.connection.client()?;
    let request = client.request(Method::POST, &format!("/preview/{verb}/{job}"));
    let answer: Value = client.json(request).await?;
    if args.json {
        print_json(&answer);
    } else {
        let word = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        print(format_args!(
            "{}: {} (job {job})",
            word("platform"),
            word("status")
        ));
    }
    Ok(ExitCode::SUCCESS)
}
