//! What `hivesync preview` builds: the folder, uploaded, or a ref of what the
//! project's own source has now.

use super::client::Client;
use super::preview::PreviewArgs;
use super::project::Project;
use super::upload::Archive;
use super::workspace;
use crate::bundle::detect::unknown_keys;
use crate::error::{Code, Error, Result};

/// What is to be built.
pub(super) struct Source {
    pub(super) git_ref: String,
    /// What the folder became, if it was uploaded.
    pub(super) commit: Option<String>,
    fetch: Fetch,
}

/// Whether the server has what the project's source has now.
enum Fetch {
    /// It was not asked for, or the caller may not.
    None,
    Done,
    Failed(Error),
}

impl Source {
    /// Why there is no such ref, of a server that does not know what was done
    /// right before it was asked.
    pub(super) fn explain(&self, error: Error, project: &Project) -> Error {
        if error.code != Code::RefNotFound {
            return error;
        }
        let git_ref = &self.git_ref;
        match &self.fetch {
            Fetch::None => error,
            Fetch::Failed(why) => Error::new(
                why.code,
                format!(
                    "{} was not fetched, and the server has no {git_ref} of it from before: {}",
                    project.name, why.message
                ),
            ),
            Fetch::Done => Error::new(
                error.code,
                format!(
                    "{} was fetched right now and has no branch, tag or commit {git_ref}; {}",
                    project.name,
                    project.refs_advice()
                ),
            ),
        }
    }
}

/// Uploads the folder, or brings the project's own source up to date.
pub(super) async fn source(
    client: &Client,
    project: &Project,
    archive: Option<Archive>,
    args: &PreviewArgs,
) -> Result<Source> {
    let Some(archive) = archive else {
        let fetch = if project.is_fetched() {
            fetch(client, project, args).await
        } else {
            Fetch::None
        };
        return Ok(Source {
            git_ref: args.git_ref.clone().unwrap_or_default(),
            commit: None,
            fetch,
        });
    };
    project.require_upload()?;
    if let Some(remark) = workspace::remark(&args.path) {
        args.say(remark);
    }
    let upload = match archive.send(client, project.id).await {
        Ok(upload) => upload,
        Err(error) => {
            project.unmake(client, &error).await;
            return Err(error);
        }
    };
    for warning in unknown_keys(&args.path) {
        args.say(warning);
    }
    let short: String = upload.commit.chars().take(10).collect();
    args.say(format_args!(
        "Uploaded {} to project {} ({}) as commit {short}.",
        args.path.display(),
        project.name,
        project.id
    ));
    Ok(Source {
        git_ref: upload.git_ref,
        commit: Some(upload.commit),
        fetch: Fetch::None,
    })
}

/// What was fetched before is still there when the source cannot be reached,
/// so that is told and no reason to stop.
async fn fetch(client: &Client, project: &Project, args: &PreviewArgs) -> Fetch {
    args.say(format_args!("Fetching the source of {}.", project.name));
    match project.sync(client).await {
        Ok(true) => Fetch::Done,
        Ok(false) => Fetch::None,
        Err(e) => {
            args.say(format_args!(
                "warning[{}]: the source was not fetched: {}",
                e.code.as_str(),
                e.message
            ));
            Fetch::Failed(e)
        }
    }
}
