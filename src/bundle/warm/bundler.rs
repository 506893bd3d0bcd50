//! One warm bundler: its process, its checkout, and what it was started with.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::driver::{self, Answer, Begin, End, FileChange, Order, Ready};
use super::pool::Kept;
use crate::bundle::detect::Plan;
use crate::bundle::log::BuildLog;
use crate::bundle::sandbox::{Access, Cell, Command, Resident};
use crate::bundle::tree;
use crate::bundle::workbench::{Limit, Workbench, blocking, cancelled, make_dir};
use crate::disk::remove_tree;
use crate::error::{Context, Error, Result};

/// What a bundler was started with. A commit for which any of it differs needs
/// another one.
#[derive(Clone, Debug)]
pub struct Facts {
    pub plan: Plan,
    /// For React Native.
    pub entry: Option<String>,
    /// See [`crate::bundle::transform::cache_key`].
    pub key: String,
    /// Expo's public app config.
    pub config: Option<Value>,
}

/// A file that has changed since the last build, as a host path.
#[derive(Clone, Debug)]
pub struct Touched {
    pub path: PathBuf,
    /// `added`, `modified` or `deleted`.
    pub change: &'static str,
}

/// How a build has ended.
#[derive(Debug)]
pub enum Outcome {
    /// The bundle lies in this folder.
    Built(PathBuf),
    /// By what the log says: as far as the bundler knows, the project's fault.
    Failed,
    /// The bundler is of no more use.
    Unfit(String),
}

/// Dropped, its processes die; its folder stays until the next start.
pub struct Bundler {
    pub facts: Facts,
    /// The commit that its checkout is of.
    pub commit: String,
    pub bench: Workbench,
    cell: Cell,
    resident: Resident,
    builds: u64,
}

/// What a bundler is started with.
pub struct Start<'a> {
    pub facts: Facts,
    pub commit: String,
    pub bench: Workbench,
    pub cell: Cell,
    /// How its answers begin: nothing that the project could write by chance.
    pub nonce: String,
    /// Bytes of its heap.
    pub heap: u64,
    pub log: &'a BuildLog,
    pub limit: &'a Limit,
    pub cancel: &'a CancellationToken,
}

impl Bundler {
    /// Starts the process and waits until the project's bundler is loaded.
    ///
    /// # Errors
    /// When it cannot be started or is not as the driver knows it; the log has
    /// more.
    pub async fn start(start: Start<'_>) -> Result<Self> {
        let scripts = start.bench.file("driver");
        let main = driver::write(&scripts)?;
        let mut cell = start.cell;
        cell.mount(&scripts, Path::new("/work/driver"), Access::ReadOnly);
        let root = &start.facts.plan.root;
        let command = Command::new("node", root)
            .arg(format!("--max-old-space-size={}", start.heap >> 20))
            .arg(cell.inside(&main))
            .env("NODE_ENV", "production");
        start.log.command(&command.display()).await;
        let resident = cell
            .reside(&command, start.nonce.clone())
            .or_internal("start a warm bundler")?;
        resident.speak_to(Some(start.log));
        let begin = Begin {
            nonce: &start.nonce,
            root: &cell.inside(root),
            kind: start.facts.plan.kind.as_str(),
            platform: start.facts.plan.platform.as_str(),
            entry: start.facts.entry.as_deref(),
        };
        let order = serde_json::to_string(&begin).or_internal("order a warm bundler")?;
        let mut bundler = Self {
            facts: start.facts,
            commit: start.commit,
            bench: start.bench,
            cell,
            resident,
            builds: 0,
        };
        let said = match bundler.ask(&order, start.limit, start.cancel).await {
            Ok(said) => said,
            Err(error) => {
                bundler.end().await;
                return Err(error);
            }
        };
        let why = match said.as_deref().map(serde_json::from_str) {
            Some(Ok(Ready { ready: true, .. })) => return Ok(bundler),
            Some(Ok(Ready { why: Some(why), .. })) => driver::reason(&why),
            _ => "the bundler has not come up".to_owned(),
        };
        bundler.end().await;
        Err(Error::internal(why))
    }

    /// Builds what lies in its checkout, which `touched` tells from what it
    /// built before.
    ///
    /// # Errors
    /// `CANCELLED`, `PREVIEW_TIMEOUT` when `limit` is over, and others when it is
    /// not to be kept still: it must be ended then.
    pub async fn build(
        &mut self,
        touched: &[Touched],
        log: &BuildLog,
        limit: &Limit,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        self.builds += 1;
        let out = self.bench.out.join(self.builds.to_string());
        make_dir(&out)?;
        let order = self.order(&out, touched)?;
        self.speak_to(Some(log));
        let said = self.ask(&order, limit, cancel).await;
        self.speak_to(None);
        let Some(said) = said? else {
            return Ok(Outcome::Unfit("it has ended by itself".to_owned()));
        };
        let Ok(answer) = serde_json::from_str::<Answer>(&said) else {
            return Ok(Outcome::Unfit("its answer cannot be read".to_owned()));
        };
        if answer.id != self.builds {
            return Ok(Outcome::Unfit("it answers something else".to_owned()));
        }
        match answer.end {
            End::Built { proof } if proof == self.proof(touched).await? => Ok(Outcome::Built(out)),
            End::Built { .. } => Ok(Outcome::Unfit(
                "what it has built is not of this commit".to_owned(),
            )),
            End::Failed => Ok(Outcome::Failed),
            End::Stale { why } => Ok(Outcome::Unfit(driver::reason(&why))),
        }
    }

    fn order(&self, out: &Path, touched: &[Touched]) -> Result<String> {
        let changes: Vec<FileChange<'_>> = touched
            .iter()
            .map(|touched| FileChange {
                path: self.cell.inside(&touched.path),
                change: touched.change,
            })
            .collect();
        let order = Order {
            id: self.builds,
            out: &self.cell.inside(out),
            changes: &changes,
        };
        serde_json::to_string(&order).or_internal("order a warm bundler")
    }

    /// What the bundler must know if it has built the checkout as it is.
    async fn proof(&self, touched: &[Touched]) -> Result<String> {
        let files: Vec<(PathBuf, PathBuf)> = touched
            .iter()
            .map(|touched| (self.cell.inside(&touched.path), touched.path.clone()))
            .collect();
        let top = self.bench.project.clone();
        blocking(move || {
            Ok(driver::proof(files.iter().map(|(inside, host)| {
                (inside.as_path(), tree::read(&top, host))
            })))
        })
        .await
    }

    /// Gives an order and waits for the answer, with which the process stands
    /// still again; `None` when it has ended.
    async fn ask(
        &mut self,
        order: &str,
        limit: &Limit,
        cancel: &CancellationToken,
    ) -> Result<Option<String>> {
        self.resident.resume().await;
        let answer = tokio::select! {
            answer = self.resident.ask(order) => answer.or_internal("order a warm bundler")?,
            () = tokio::time::sleep(limit.left()) => return Err(limit.exceeded()),
            () = cancel.cancelled() => return Err(cancelled()),
        };
        if self.resident.pause().await {
            Ok(answer)
        } else {
            Err(Error::internal("it does not come to rest"))
        }
    }

    /// Whose log hears what it says. A log is complete only once nobody can
    /// write to it any more.
    pub fn speak_to(&self, log: Option<&BuildLog>) {
        self.resident.speak_to(log);
    }
}

impl Kept for Bundler {
    fn memory(&self) -> u64 {
        self.resident.memory()
    }

    fn is_awake(&self) -> bool {
        self.resident.is_awake()
    }

    fn hush(&self) {
        self.speak_to(None);
    }

    /// Kills its process and removes its folder.
    async fn end(self) {
        self.resident.speak_to(None);
        self.resident.end().await;
        let dir = self.bench.dir().to_owned();
        let removed = blocking(move || remove_tree(&dir).or_internal("remove a folder")).await;
        if let Err(error) = removed {
            tracing::warn!(error = %error.chain(), "a bundler's folder could not be removed");
        }
    }
}
