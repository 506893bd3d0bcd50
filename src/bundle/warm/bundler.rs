//! One warm bundler: its process, its checkout, and what it was started with.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::driver::{self, Answer, Begin, End, FileChange, Order, Ready};
use super::pool::Kept;
use crate::bundle::detect::Plan;
use crate::bundle::log::BuildLog;
use crate::bundle::sandbox::{Access, Cell, Command, Resident};
use crate::bundle::stop::{Limit, cancelled};
use crate::bundle::tree;
use crate::bundle::workbench::{Workbench, blocking, make_dir};
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
    Spent(String),
}

/// Why a bundler has not come up.
#[derive(Debug)]
pub enum NotStarted {
    /// By its own word, or by what it has made: whoever reads the project's
    /// build log may know.
    Because(String),
    /// By a fault of the server, or because it was cancelled or took too long.
    Failed(Error),
}

impl From<Error> for NotStarted {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Dropped, its processes die; its folder stays until the next start.
pub struct Bundler {
    pub facts: Facts,
    /// The commit that its checkout is of.
    pub commit: String,
    /// The commit that it was last told of: another one while a build has moved
    /// its checkout on and ended before the order.
    pub told: String,
    pub bench: Workbench,
    cell: Cell,
    resident: Resident,
    builds: u64,
    order: Ordered,
}

/// What has become of its last order.
enum Ordered {
    Answered,
    /// It was given a part of it at most: what follows would be read as the rest.
    InPart,
    /// It was given, and the answer is still to come.
    Given(Pending),
}

/// What is needed to judge an answer.
struct Pending {
    touched: Vec<Touched>,
    limit: Limit,
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
    pub async fn start(start: Start<'_>) -> Result<Self, NotStarted> {
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
            tree: &cell.inside(&start.bench.project),
            root: &cell.inside(root),
            kind: start.facts.plan.kind.as_str(),
            platform: start.facts.plan.platform.as_str(),
            entry: start.facts.entry.as_deref(),
        };
        let order = serde_json::to_string(&begin).or_internal("order a warm bundler")?;
        let mut bundler = Self {
            facts: start.facts,
            told: start.commit.clone(),
            commit: start.commit,
            bench: start.bench,
            cell,
            resident,
            builds: 0,
            order: Ordered::Answered,
        };
        let pending = Pending {
            touched: Vec::new(),
            limit: *start.limit,
        };
        let said = match bundler.ask(&order, pending, start.cancel).await {
            Ok(said) => said,
            Err(error) => {
                bundler.end(start.cancel).await;
                return Err(error.into());
            }
        };
        let why = match said.as_deref().map(serde_json::from_str) {
            Some(Ok(Ready { ready: true, .. })) => return Ok(bundler),
            Some(Ok(Ready { why: Some(why), .. })) => driver::reason(&why),
            _ => "the bundler has not come up".to_owned(),
        };
        bundler.end(start.cancel).await;
        Err(NotStarted::Because(why))
    }

    /// Builds what lies in its checkout, which `touched` tells from what it
    /// was last told of.
    ///
    /// # Errors
    /// `CANCELLED`: it may answer yet, see [`Kept::settle`]. `PREVIEW_TIMEOUT`
    /// when `limit` is over, and others when it is not to be kept still: it must
    /// be ended then.
    pub async fn build(
        &mut self,
        touched: &[Touched],
        log: &BuildLog,
        limit: &Limit,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        self.builds += 1;
        let out = self.out();
        make_dir(&out)?;
        let order = self.order(&out, touched)?;
        let pending = Pending {
            touched: touched.to_vec(),
            limit: *limit,
        };
        self.speak_to(Some(log));
        let said = self.ask(&order, pending, cancel).await;
        self.speak_to(None);
        self.judged(said?, touched).await
    }

    /// Where its last build goes.
    fn out(&self) -> PathBuf {
        self.bench.out.join(self.builds.to_string())
    }

    /// What the answer to the last order, which was about `touched`, comes to.
    async fn judged(&self, said: Option<String>, touched: &[Touched]) -> Result<Outcome> {
        let Some(said) = said else {
            return Ok(Outcome::Spent("it has ended by itself".to_owned()));
        };
        let Ok(answer) = serde_json::from_str::<Answer>(&said) else {
            return Ok(Outcome::Spent("its answer cannot be read".to_owned()));
        };
        if answer.id != self.builds {
            return Ok(Outcome::Spent("it answers something else".to_owned()));
        }
        match answer.end {
            End::Built { proof } if proof == self.proof(touched).await? => {
                Ok(Outcome::Built(self.out()))
            }
            End::Built { .. } => Ok(Outcome::Spent(
                "what it has built is not of this commit".to_owned(),
            )),
            End::Failed => Ok(Outcome::Failed),
            End::Stale { why } => Ok(Outcome::Spent(driver::reason(&why))),
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
                (
                    inside.as_path(),
                    tree::read(&top, host, tree::LARGE).ok().flatten(),
                )
            })))
        })
        .await
    }

    /// Gives an order and waits for the answer, with which the process stands
    /// still again; `None` when it has ended.
    async fn ask(
        &mut self,
        order: &str,
        pending: Pending,
        cancel: &CancellationToken,
    ) -> Result<Option<String>> {
        let limit = pending.limit;
        self.resident.resume().await;
        self.order = Ordered::InPart;
        // It may not read its orders, either.
        let ordered = tokio::select! {
            ordered = self.resident.order(order) => ordered,
            () = tokio::time::sleep(limit.left()) => return Err(limit.exceeded()),
            () = cancel.cancelled() => return Err(cancelled()),
        };
        if !ordered.or_internal("order a warm bundler")? {
            return Ok(None);
        }
        self.order = Ordered::Given(pending);
        self.told.clone_from(&self.commit);
        let answer = tokio::select! {
            answer = self.resident.answer() => answer,
            () = tokio::time::sleep(limit.left()) => return Err(limit.exceeded()),
            () = cancel.cancelled() => return Err(cancelled()),
        };
        self.answered().await?;
        Ok(answer)
    }

    async fn answered(&mut self) -> Result<()> {
        if self.resident.pause().await {
            self.order = Ordered::Answered;
            return Ok(());
        }
        // Whatever it goes on with, it takes no more orders.
        self.order = Ordered::InPart;
        Err(Error::internal("it does not come to rest"))
    }

    /// Waits for the answer that is still to come, and throws it away.
    async fn hear_out(&mut self, pending: Pending) -> bool {
        let answer = tokio::select! {
            answer = self.resident.answer() => answer,
            () = tokio::time::sleep(pending.limit.left()) => return false,
        };
        if self.answered().await.is_err() {
            return false;
        }
        let outcome = self.judged(answer, &pending.touched).await;
        // One that failed is as good as another: the next build will see.
        matches!(outcome, Ok(Outcome::Built(_) | Outcome::Failed))
    }

    /// Whose log hears what it says. A log is complete only once nobody can
    /// write to it any more.
    pub fn speak_to(&self, log: Option<&BuildLog>) {
        self.resident.speak_to(log);
    }
}

impl Kept for Bundler {
    fn key(&self) -> &str {
        &self.facts.key
    }

    fn memory(&self) -> u64 {
        self.resident.memory()
    }

    fn is_awake(&self) -> bool {
        self.resident.is_awake()
    }

    fn hush(&self) {
        self.speak_to(None);
    }

    async fn settle(&mut self) -> bool {
        let settled = match std::mem::replace(&mut self.order, Ordered::InPart) {
            Ordered::Answered => {
                self.order = Ordered::Answered;
                true
            }
            Ordered::InPart => false,
            Ordered::Given(pending) => self.hear_out(pending).await,
        };
        let out = self.out();
        settled
            && blocking(move || remove_tree(&out).or_internal("remove what nobody takes"))
                .await
                .is_ok()
    }

    /// Kills its process and removes its folder.
    async fn end(self, leaving: &CancellationToken) {
        self.resident.speak_to(None);
        self.resident.end().await;
        remove_folder(self.bench.dir().to_owned(), leaving).await;
    }
}

/// Removes the folder of a bundler that has ended, as far as it comes before
/// `leaving` is cancelled.
pub async fn remove_folder(dir: PathBuf, leaving: &CancellationToken) {
    let removing = async {
        let removed = blocking(move || remove_tree(&dir).or_internal("remove a folder")).await;
        if let Err(error) = removed {
            tracing::warn!(error = %error.chain(), "a bundler's folder could not be removed");
        }
    };
    tokio::select! {
        biased;
        () = leaving.cancelled() => {}
        () = removing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_leaves_the_folder_to_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("1-ios-0");
        std::fs::create_dir_all(folder.join("project")).unwrap();
        let leaving = CancellationToken::new();
        leaving.cancel();
        remove_folder(folder.clone(), &leaving).await;
        assert!(folder.exists());
        remove_folder(folder.clone(), &CancellationToken::new()).await;
        assert!(!folder.exists());
    }
}
