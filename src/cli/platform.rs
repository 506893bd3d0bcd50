//! What `hivesync preview` builds for: what is asked for must be possible, and
//! when nobody says, it is an app for phones, unless what is there can only be
//! shown in a browser.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde::Deserialize;

use super::client::Client;
use super::project::Project;
use crate::bundle::detect::{CONFIG_FILE, Manifest, app_folder_in, detect};
use crate::domain::preview::Platform;
use crate::domain::project::ProjectConfig;
use crate::error::{Code, Context, Result};

/// Of a folder on this machine.
pub(super) fn usual_of_folder(folder: &Path, config: &ProjectConfig) -> Platform {
    let Ok(folder) = folder.canonicalize() else {
        return Platform::Ios;
    };
    match detect(&folder, config, Platform::Ios) {
        Ok(_) => Platform::Ios,
        Err(e) if e.code == Code::UnsupportedPlatform => Platform::Web,
        // What is wrong with it, the build says.
        Err(_) => match Manifest::read(&folder, &folder) {
            Ok(Some(m)) if m.depends_on("expo") || m.depends_on("react-native") => Platform::Ios,
            _ => Platform::Web,
        },
    }
}

/// Refuses those of the platforms that are asked for for which the folder cannot
/// be built: nothing is sent, and nobody waits for the others first. Whatever
/// else is wrong with it, the build says.
///
/// # Errors
/// `UNSUPPORTED_PLATFORM`.
pub(super) fn require_of_folder(
    folder: &Path,
    config: &ProjectConfig,
    asked: &[Platform],
) -> Result<()> {
    let Ok(folder) = folder.canonicalize() else {
        return Ok(());
    };
    for platform in asked {
        match detect(&folder, config, *platform) {
            Err(error) if error.code == Code::UnsupportedPlatform => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The same of what `git_ref` names on the server.
pub(super) async fn require_of_ref(
    client: &Client,
    project: &Project,
    git_ref: &str,
    asked: &[Platform],
) -> Result<()> {
    match manifests(client, project, git_ref).await {
        Ok(folder) => require_of_folder(folder.path(), &project.config, asked),
        Err(_) => Ok(()),
    }
}

/// Of what `git_ref` names on the server. Where that cannot be read, the build
/// says so.
pub(super) async fn usual_of_ref(client: &Client, project: &Project, git_ref: &str) -> Platform {
    match manifests(client, project, git_ref).await {
        Ok(folder) => usual_of_folder(folder.path(), &project.config),
        Err(_) => Platform::Ios,
    }
}

/// A folder with the files that say what kind of project it is.
async fn manifests(client: &Client, project: &Project, git_ref: &str) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir().or_internal("make a temporary folder")?;
    let copy = async |path: PathBuf| -> Result<()> {
        let Some(text) = file(client, project, git_ref, &path).await? else {
            return Ok(());
        };
        let copy = folder.path().join(path);
        std::fs::create_dir_all(copy.parent().unwrap_or(folder.path()))
            .and_then(|()| std::fs::write(copy, text))
            .or_internal("write a temporary file")
    };
    copy(CONFIG_FILE.into()).await?;
    let app = app_folder_in(folder.path(), &project.config);
    copy(app.join("package.json")).await?;
    Ok(folder)
}

/// The text of a file in what `git_ref` names; `None` when there is no such file.
async fn file(
    client: &Client,
    project: &Project,
    git_ref: &str,
    path: &Path,
) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct File {
        binary: bool,
        content: String,
    }
    let path = path.to_string_lossy();
    let request = client
        .request(Method::GET, &format!("/projects/{}/file", project.id))
        .query(&[("ref", git_ref), ("path", &path)]);
    match client.json::<File>(request).await {
        Ok(file) => Ok((!file.binary).then_some(file.content)),
        Err(e) if e.code == Code::RefNotFound => Ok(None),
        Err(e) => Err(e),
    }
}
