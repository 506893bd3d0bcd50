//! Where a project's commits come from, as a caller names it.

use std::path::Path;

use crate::app::App;
use crate::domain::ProjectId;
use crate::domain::project::{SealedCredential, Source};
use crate::error::{Error, Result};
use crate::git::{Remote, refname};
use crate::services::seal::{self, GitCredential};

/// A source as it is asked for.
#[derive(Clone, Debug)]
pub enum SourceInput {
    Git {
        url: String,
        branch: Option<String>,
        credential: CredentialInput,
    },
    Push,
    Upload,
    Local {
        path: String,
    },
}

/// A credential is write-only, so a caller who changes something else cannot
/// send it again: leaving it out keeps it.
#[derive(Clone, Debug, Default)]
pub enum CredentialInput {
    /// The stored one, as long as the URL is the same: it is never shown to
    /// another address than the one it was given for.
    #[default]
    Keep,
    Remove,
    Set(GitCredential),
}

/// Checks a source and seals its credential. `old` is what stands there now.
///
/// # Errors
/// `INVALID_INPUT` that names the field.
pub(super) async fn check(
    app: &App,
    project: ProjectId,
    input: SourceInput,
    old: Option<&Source>,
) -> Result<Source> {
    match input {
        SourceInput::Upload => Ok(Source::Upload),
        SourceInput::Push => Err(Error::invalid(
            "source.kind",
            "pushing to this server is not available yet; use git, upload or, in local dev mode, local",
        )),
        SourceInput::Git {
            url,
            branch,
            credential,
        } => {
            // In its normal form: one address, one spelling.
            let remote = Remote::parse(&url, &app.config.sources.allowed_hosts)?;
            let url = remote.as_str().to_owned();
            if let Some(branch) = &branch {
                refname::check_branch("source.branch", branch)?;
            }
            let credential = resolve(app, project, credential, &url, old)?;
            Ok(Source::Git {
                url,
                branch,
                credential,
            })
        }
        SourceInput::Local { path } => {
            if !app.config.server.local_dev_mode {
                return Err(Error::invalid(
                    "source.kind",
                    "a local folder is available only in local dev mode (LOCAL_DEV_MODE=true)",
                ));
            }
            let path = check_folder(app, &path).await?;
            Ok(Source::Local { path })
        }
    }
}

fn resolve(
    app: &App,
    project: ProjectId,
    credential: CredentialInput,
    url: &str,
    old: Option<&Source>,
) -> Result<Option<SealedCredential>> {
    let credential = match credential {
        CredentialInput::Set(credential) => credential,
        CredentialInput::Remove => return Ok(None),
        CredentialInput::Keep => {
            return Ok(match old {
                Some(Source::Git {
                    url: same,
                    credential,
                    ..
                }) if same == url => credential.clone(),
                _ => None,
            });
        }
    };
    let fits = |text: &str| text.len() <= 4096 && !text.contains(char::is_control);
    if credential.password.is_empty() || !fits(&credential.password) {
        return Err(Error::invalid(
            "source.credential.password",
            "a password or access token, in one line of at most 4096 bytes",
        ));
    }
    if !fits(&credential.username) || credential.username.contains(':') {
        return Err(Error::invalid(
            "source.credential.username",
            "a username in one line, without a colon",
        ));
    }
    seal::seal(app, project, &credential).map(Some)
}

/// The folder's real path: a link is followed now, not at every build.
async fn check_folder(app: &App, path: &str) -> Result<String> {
    let bad = |why: &str| Error::invalid("source.path", why.to_owned());
    if !Path::new(path).is_absolute() {
        return Err(bad("the folder's absolute path"));
    }
    let real = tokio::fs::canonicalize(path)
        .await
        .map_err(|e| bad("there is no such folder, or it cannot be read").caused_by(e))?;
    if !tokio::fs::metadata(&real).await.is_ok_and(|m| m.is_dir()) {
        return Err(bad("this is not a folder"));
    }
    if real.starts_with(app.data.root()) || app.data.root().starts_with(&real) {
        return Err(bad(
            "the folder holds, or lies in, the server's own data folder",
        ));
    }
    real.into_os_string()
        .into_string()
        .map_err(|_| bad("the folder's path is not UTF-8"))
}
