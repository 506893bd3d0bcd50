//! Which project `hivesync preview` is about, and what is asked of it before a
//! build.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use super::client::Client;
use super::pack::open_folder;
use crate::domain::project::ProjectConfig;
use crate::error::{Code, Error, Result};

/// How often a fetch is asked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the command line says of the project.
pub(super) struct Wanted<'a> {
    /// Its name or id.
    pub(super) project: Option<&'a str>,
    /// Its name, where nothing else is said.
    pub(super) folder: &'a Path,
    pub(super) fit: Fit,
}

/// What the project is for. Names are not unique, so of several with one name
/// the one that fits is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// To upload a folder to; made if there is none.
    Folder,
    /// To build what its own source has.
    Ref,
    /// To be looked at or changed.
    Any,
}

#[derive(Deserialize)]
pub(super) struct Project {
    pub(super) id: i64,
    pub(super) name: String,
    source: SourceAnswer,
    pub(super) config: ProjectConfig,
    /// Whether this command has made it.
    #[serde(skip)]
    made: bool,
}

#[derive(Deserialize)]
struct SourceAnswer {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct List<T> {
    projects: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Refs {
    refs: Vec<IgnoredAny>,
}

impl Project {
    /// Whether its commits are brought in when the server is asked to: from a
    /// repository elsewhere or a folder on the server's machine.
    pub(super) fn is_fetched(&self) -> bool {
        matches!(self.source.kind.as_deref(), Some("git" | "local"))
    }

    fn fits(&self, fit: Fit) -> bool {
        match fit {
            Fit::Folder => self.require_upload().is_ok(),
            Fit::Ref => self.require_upload().is_err(),
            Fit::Any => true,
        }
    }

    /// # Errors
    /// `CONFLICT` when its commits come from elsewhere.
    pub(super) fn require_upload(&self) -> Result<()> {
        let (source, example) = match self.source.kind.as_deref() {
            Some("git") => ("a linked repository", "latest"),
            Some("push") => ("what is pushed to it", "latest"),
            Some("local") => ("a folder on the server's machine", "local"),
            _ => return Ok(()),
        };
        Err(Error::new(
            Code::Conflict,
            format!(
                "the commits of {} come from {source}, so this folder is not uploaded; say with \
                 --ref what to build, such as --ref {example}, or name another project with \
                 --project",
                self.name
            ),
        ))
    }

    /// What to do about a ref that it has not.
    pub(super) fn refs_advice(&self) -> &'static str {
        match self.source.kind.as_deref() {
            Some("local") => "a folder's files are built with --ref local",
            _ => "check its spelling, and whether it was pushed",
        }
    }

    /// Takes back what was made for nothing: no project of that name was there
    /// before this command, and `refusal` is why nothing can come of it. Another
    /// command may have found it meanwhile, so what has commits stays.
    pub(super) async fn unmake(&self, client: &Client, refusal: &Error) {
        // After a failure on the way nobody knows what has arrived; and where the
        // same may be taken later, others may be sending theirs.
        if !self.made || refusal.code.retryable() {
            return;
        }
        // The error that led here is the one to tell.
        let path = format!("/projects/{}", self.id);
        let refs = client.get::<Refs>(&format!("{path}/refs?limit=1")).await;
        if refs.is_ok_and(|found| found.refs.is_empty()) {
            let _ = client.send(client.request(Method::DELETE, &path)).await;
        }
    }

    /// Brings what has changed since to the server, and waits for it. Answers
    /// false to those who may not: they build what is there.
    pub(super) async fn sync(&self, client: &Client) -> Result<bool> {
        #[derive(Deserialize)]
        struct Accepted {
            job_id: String,
        }
        #[derive(Deserialize)]
        struct Job {
            completed_at: Option<String>,
            error: Option<JobError>,
        }
        #[derive(Deserialize)]
        struct JobError {
            code: String,
            message: String,
        }
        let request = client.request(Method::POST, &format!("/projects/{}/sync", self.id));
        let Accepted { job_id } = match client.json(request).await {
            Ok(accepted) => accepted,
            Err(e) if matches!(e.code, Code::Forbidden | Code::ProjectAccessDenied) => {
                return Ok(false);
            }
            Err(e) => return Err(e),
        };
        loop {
            let job: Job = client.get(&format!("/jobs/{job_id}")).await?;
            // Even if the server tries again later: nobody waits for that here.
            if let Some(error) = job.error {
                let code = Code::parse(&error.code).unwrap_or(Code::DependencyFailure);
                return Err(Error::new(code, error.message));
            }
            if job.completed_at.is_some() {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The project named on the command line: by id, else by name among those the
/// caller sees, else a new one.
pub(super) async fn find(client: &Client, wanted: &Wanted<'_>) -> Result<Project> {
    if let Some(id) = wanted.project.and_then(|p| p.parse::<i64>().ok()) {
        return client.get(&format!("/projects/{id}")).await;
    }
    let name = match wanted.project {
        Some(name) => name.to_owned(),
        None => folder_name(wanted.folder)?,
    };
    let mut named: Vec<Project> = all(client).await?;
    named.retain(|project| project.name == name);
    if let Some(found) = chosen(named, wanted.fit)? {
        return Ok(found);
    }
    let advice = match wanted.fit {
        Fit::Folder => return make(client, &name).await,
        Fit::Ref => "name it with --project, or leave --ref out to upload",
        Fit::Any => "name one of those that this prints: hivesync project list",
    };
    Err(Error::new(
        Code::ProjectNotFound,
        format!("there is no project named {name}; {advice}"),
    ))
}

/// All projects that the caller sees.
pub(super) async fn all<T: DeserializeOwned>(client: &Client) -> Result<Vec<T>> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: List<T> = client.get(&format!("/projects?limit=200{cursor}")).await?;
        found.extend(page.projects);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}

/// The one of several with the same name that is meant.
///
/// # Errors
/// `CONFLICT`, with their ids, when that cannot be told.
fn chosen(mut found: Vec<Project>, fit: Fit) -> Result<Option<Project>> {
    if found.len() > 1 && found.iter().any(|project| project.fits(fit)) {
        found.retain(|project| project.fits(fit));
    }
    if found.len() <= 1 {
        return Ok(found.pop());
    }
    let ids: Vec<String> = found
        .iter()
        .map(|p| {
            format!(
                "{} ({})",
                p.id,
                p.source.kind.as_deref().unwrap_or("upload")
            )
        })
        .collect();
    Err(Error::new(
        Code::Conflict,
        format!(
            "there are {} projects named {}: {}; name one by its id with --project",
            found.len(),
            found[0].name,
            ids.join(", ")
        ),
    ))
}

async fn make(client: &Client, name: &str) -> Result<Project> {
    let body = json!({"name": name, "source": {"kind": "upload"}});
    let made = client.post::<Project>("/projects", &body).await;
    let made = made.map(|project| Project {
        made: true,
        ..project
    });
    made.map_err(|e| {
        if e.code == Code::Forbidden {
            let message = format!(
                "there is no project named {name}, and this token may not make one; name a \
                 project with --project, or make it once with: hivesync login, hivesync preview"
            );
            return Error::new(Code::Forbidden, message);
        }
        e
    })
}

fn folder_name(path: &Path) -> Result<String> {
    let full = open_folder(path)?;
    full.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .ok_or_else(|| {
            Error::invalid(
                "project",
                "the root folder has no name; name it with --project",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shops(kinds: &[(i64, &str)]) -> Vec<Project> {
        let project = |(id, kind): &(i64, &str)| {
            let answer = json!({"id": id, "name": "shop", "source": {"kind": kind}, "config": {}});
            serde_json::from_value(answer).expect("a project")
        };
        kinds.iter().map(project).collect()
    }

    #[test]
    fn of_several_with_one_name_the_fitting_one_is_meant() {
        let two = [(3, "git"), (8, "upload")];
        let id = |fit| chosen(shops(&two), fit).unwrap().map(|project| project.id);
        assert_eq!(id(Fit::Folder), Some(8));
        assert_eq!(id(Fit::Ref), Some(3));
        for (kinds, fit) in [
            (&two[..], Fit::Any),
            (&[(3, "upload"), (8, "upload")][..], Fit::Folder),
            (&[(3, "upload"), (8, "upload")][..], Fit::Ref),
        ] {
            let error = chosen(shops(kinds), fit).err().expect("ambiguous");
            assert_eq!(error.code, Code::Conflict);
            assert!(error.message.contains("3 (") && error.message.contains("8 ("));
        }
        assert!(chosen(shops(&[]), Fit::Folder).unwrap().is_none());
        let one = chosen(shops(&two[..1]), Fit::Folder).unwrap();
        assert_eq!(
            one.map(|project| project.id),
            Some(3),
            "what is wrong is told later"
        );
    }
}
