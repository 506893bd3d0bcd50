//! What can be said of a build before it is queued: nobody need wait behind
//! other builds to learn that theirs cannot be.

use crate::app::App;
use crate::bundle::detect::{CONFIG_FILE, Early};
use crate::domain::preview::Platform;
use crate::domain::project::Project;
use crate::error::{Code, Error, Result};
use crate::git::EntryKind;

/// Refuses a build that its project's files say cannot be. What they do not
/// say, and what cannot be read, is left to the build.
///
/// # Errors
/// `UNSUPPORTED_PLATFORM`; `INVALID_INPUT` for files that are not what they
/// should be.
pub(super) async fn judge(
    app: &App,
    project: &Project,
    commit: &str,
    platform: Platform,
) -> Result<()> {
    let Ok(config_file) = read(app, project, commit, CONFIG_FILE).await else {
        return Ok(());
    };
    let early = Early::of(config_file.as_deref(), &project.config).map_err(refused)?;
    let Some(path) = early.manifest() else {
        return Ok(());
    };
    match read(app, project, commit, &path.to_string_lossy()).await {
        Ok(manifest) => early.judge(manifest.as_deref(), platform).map_err(refused),
        Err(_) => Ok(()),
    }
}

/// The file's bytes; `None` when the commit has no such file.
async fn read(app: &App, project: &Project, commit: &str, path: &str) -> Result<Option<Vec<u8>>> {
    match app.repos.file(project.id, commit, path).await {
        // What a link leads to is looked up in a checkout.
        Ok(file) if file.kind == EntryKind::Symlink => {
            Err(Error::invalid("path", "the file is a symbolic link"))
        }
        Ok(file) => Ok(Some(file.content)),
        Err(error) if error.code == Code::RefNotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is an error of a build has no HTTP status: here it is one of the request.
fn refused(error: Error) -> Error {
    match error.code {
        Code::InvalidProjectStructure => Error::invalid("git_ref", error.message),
        _ => error,
    }
}
