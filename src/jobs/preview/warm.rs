//! Building with the project's warm bundler, where there is one: the stages up
//! to the product, with only what has changed.
//!
//! Whatever stands in the way of that is a reason to build cold, never a reason
//! to fail; only a cancel ends the build.

use std::path::Path;
use std::sync::Arc;

use super::stages::Stages;
use crate::app::App;
use crate::bundle::bounds::Bounds;
use crate::bundle::deps::{self, View};
use crate::bundle::detect::{Plan, detect};
use crate::bundle::product::Product;
use crate::bundle::stop::{Limit, Stop, cancelled};
use crate::bundle::transform::{cache_key, configures};
use crate::bundle::warm::{Absence, Facts, Lease, Outcome, Spot, Touched, take};
use crate::bundle::workbench::{Build, Workbench, blocking};
use crate::bundle::{expo, react_native};
use crate::disk::remove_tree;
use crate::domain::preview::{BundlerOrigin, Platform, Preview, SandboxLevel, Stage};
use crate::domain::project::{Project, ProjectKind};
use crate::error::{Code, Context, Error, Result};
use crate::git::{Change, Changed};

/// What the warm bundler has come to.
pub(super) enum Warm {
    Built(Box<Build>, Box<Product>),
    /// There is none, or it could not build this commit.
    Absent,
    /// It says that the project does not build. It is right if a cold build
    /// says so, too.
    Failed(Lease),
}

/// Why the warm bundler does not serve.
enum Obstacle {
    Because(String),
    /// The project does not build, as far as it knows.
    Failed,
}

type Attempt<T> = std::result::Result<T, Obstacle>;

fn obstacle<T>(why: impl Into<String>) -> Attempt<T> {
    Err(Obstacle::Because(why.into()))
}

impl Stages<'_> {
    /// # Errors
    /// `CANCELLED` alone.
    pub(super) async fn warm(&mut self, project: &Project, level: SandboxLevel) -> Result<Warm> {
        let spot = self.spot();
        // Another build of the project may have it.
        let patience = self.app.config.previews.warm_timeout;
        let taken = tokio::select! {
            taken = self.app.bundlers.take(spot) => taken,
            () = tokio::time::sleep(patience) => None,
            () = self.cancel.cancelled() => return Err(cancelled()),
        };
        let Some(mut lease) = taken else {
            return Ok(Warm::Absent);
        };
        let why = match self.warm_stages(&mut lease, project, level).await {
            Ok(Ok((build, product))) => {
                lease.keep();
                return Ok(Warm::Built(Box::new(build), Box::new(product)));
            }
            Ok(Err(Obstacle::Failed)) => {
                self.log
                    .note("the warm bundler could not build this; trying once without it")
                    .await;
                return Ok(Warm::Failed(lease));
            }
            // The next build may have it: nothing is wrong with it.
            Err(error) if error.code == Code::Cancelled => return Err(error),
            Ok(Err(Obstacle::Because(why))) => why,
            Err(error) => given_up(error),
        };
        lease.end();
        self.log
            .note(format!(
                "the warm bundler does not serve ({why}); building without it"
            ))
            .await;
        Ok(Warm::Absent)
    }

    /// Says in a build of what `key` stands for why there is no warm bundler to do
    /// it, and how much time it has instead.
    pub(super) async fn note_absence(&self, key: &str) {
        let why = match self.app.bundlers.absence(self.spot(), key) {
            Absence::Off => "no warm bundlers are kept here (WARM_BUNDLERS=0)".to_owned(),
            Absence::Failed(why) => format!("no warm bundler is kept for this project: {why}"),
            Absence::Starting => "the project's warm bundler is only just starting".to_owned(),
            Absence::Busy => "the project's warm bundler works for another build".to_owned(),
            Absence::None => "no warm bundler is kept for this project and platform; one is \
                              started after this build, if there is memory for it"
                .to_owned(),
        };
        let seconds = self.app.config.previews.cold_timeout.as_secs_f64();
        let note = format!(
            "{why}; this build has the time of a cold one, {seconds:.0} s (PREVIEW_COLD_TIMEOUT_MS)"
        );
        self.log.note(note).await;
    }

    fn spot(&self) -> Spot {
        let preview = self.progress.preview();
        Spot {
            project: preview.project_id,
            platform: preview.platform,
        }
    }

    async fn warm_stages(
        &mut self,
        lease: &mut Lease,
        project: &Project,
        level: SandboxLevel,
    ) -> Result<Attempt<(Build, Product)>> {
        let (touched, plan) = match self.bring_up_to_date(lease, project).await? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        if let Err(why) = self.same_dependencies(lease, &plan, level).await? {
            return Ok(Err(why));
        }
        self.progress
            .update(|preview| {
                preview.warm = Some(true);
                preview.bundler = Some(BundlerOrigin::Kept);
            })
            .await?;
        let build = self.warm_build(plan, level).await?;
        let product = self.bundle_warm(lease, &build, &touched).await?;
        Ok(product.map(|product| (build, product)))
    }

    /// The checkout stage: writes what differs between the bundler's commit
    /// and this one.
    async fn bring_up_to_date(
        &mut self,
        lease: &mut Lease,
        project: &Project,
    ) -> Result<Attempt<(Vec<Touched>, Plan)>> {
        let app = Arc::clone(self.app);
        let log = self.log.clone();
        let preview = self.progress.preview().clone();
        let settings = project.config.clone();
        self.stage(Stage::Checkout, async move {
            log.note(format!("commit {}", preview.commit)).await;
            let tree = lease.bench.project.clone();
            let (id, from, to) = (preview.project_id, lease.told.clone(), &preview.commit);
            let Some(changed) = app.repos.changes(id, &from, to).await? else {
                return Ok(obstacle(
                    "it was started for a commit that differs too much",
                ));
            };
            if let Some(path) = changed.iter().map(|c| &c.path).find(|path| decides(path)) {
                return Ok(obstacle(format!("{} has changed", path.display())));
            }
            let index = lease.bench.file(INDEX);
            let lies = lease.commit.clone();
            if !app.repos.update(id, &lies, to, &tree, &index).await? {
                return Ok(obstacle("its checkout is not as it was left"));
            }
            lease.commit.clone_from(to);
            log.note(format!(
                "{} from commit {}, which the warm bundler has",
                match changed.len() {
                    1 => "1 file differs".to_owned(),
                    count => format!("{count} files differ"),
                },
                &from[..12]
            ))
            .await;
            let touched = changed.into_iter().map(|c| touched(&tree, c)).collect();
            let plan = blocking(move || detect(&tree, &settings, preview.platform)).await?;
            Ok(Ok((touched, plan)))
        })
        .await
    }

    /// The stage of the dependencies: they must be those that the bundler has.
    async fn same_dependencies(
        &mut self,
        lease: &Lease,
        plan: &Plan,
        level: SandboxLevel,
    ) -> Result<Attempt<()>> {
        let sandbox = self.app.sandbox.clone();
        let project = self.progress.preview().project_id;
        let (known, plan) = (lease.facts.clone(), plan.clone());
        let log = self.log.clone();
        let stop = Stop {
            limit: self.warm_limit(),
            cancel: self.cancel.clone(),
        };
        self.stage(Stage::Dependencies, async move {
            let same = blocking(move || {
                let digest = deps::digest_of(&plan, &sandbox, level, project, &stop)?;
                let same = known.key == cache_key(&plan, &digest, level.as_str(), &stop)?
                    && known.plan.kind == plan.kind
                    && known.plan.root == plan.root
                    && known.entry == entry(&plan)?;
                Ok(same)
            })
            .await?;
            if !same {
                return Ok(obstacle("dependencies or configuration have changed"));
            }
            log.note("the warm bundler has them").await;
            Ok(Ok(()))
        })
        .await
    }

    async fn warm_build(&self, plan: Plan, level: SandboxLevel) -> Result<Build> {
        let Preview { id, project_id, .. } = self.progress.preview();
        let dir = self.app.data.job_tmp(id);
        let bench = blocking(move || Workbench::fresh(&dir)).await?;
        Ok(Build {
            project: *project_id,
            cell: bench.cell(&self.app.sandbox, level, id),
            view: View::plain(&plan.tree),
            plan,
            bench,
            log: self.log.clone(),
            cancel: self.cancel.clone(),
            limit: self.warm_limit(),
        })
    }

    fn warm_limit(&self) -> Limit {
        let limit = self.app.config.previews.warm_timeout;
        Limit::starting_now(limit, "PREVIEW_MAX_TIMEOUT_MS")
    }

    async fn bundle_warm(
        &mut self,
        lease: &mut Lease,
        build: &Build,
        touched: &[Touched],
    ) -> Result<Attempt<Product>> {
        let app = Arc::clone(self.app);
        self.stage(Stage::Bundle, async move {
            build.log.command(&shown(&lease.facts)).await;
            let outcome = lease
                .build(touched, &build.log, &build.limit, &build.cancel)
                .await?;
            match outcome {
                Outcome::Built(out) => {
                    let product =
                        product(&app, &lease.facts, &out, &build.bench, build.stop()).await?;
                    Ok(Ok(product))
                }
                Outcome::Failed => Ok(Err(Obstacle::Failed)),
                Outcome::Spent(why) => Ok(obstacle(why)),
            }
        })
        .await
    }

    /// What becomes of a bundler that could not build, once a cold build of the
    /// same commit has ended: it was right if that could not, either. Of one that
    /// was cancelled nobody knows, and a later build will tell.
    pub(super) fn judge<T>(suspect: Option<Lease>, cold: &Result<T>) {
        let Some(lease) = suspect else { return };
        match cold.as_ref().map_err(|error| error.code) {
            Err(Code::PreviewBuildFailed) => lease.keep(),
            Err(Code::Cancelled) => drop(lease),
            _ => lease.end(),
        }
    }
}

/// What a build is told of the error that has ended its bundler. A fault of the
/// server is for its log.
fn given_up(error: Error) -> String {
    if error.code == Code::InternalError {
        tracing::warn!(error = %error.chain(), "a warm bundler was given up");
        return "a fault of the server; its log has the cause".to_owned();
    }
    tracing::info!(error = %error.chain(), "a warm bundler was given up");
    error.message.into_owned()
}

/// In a bundler's folder: the index of its checkout.
pub(super) const INDEX: &str = "index";

/// Whether a file at `path` decides how everything else is built, or lies where
/// the bundler has something of its own.
fn decides(path: &Path) -> bool {
    let named = path
        .file_name()
        .and_then(|name| name.to_str())
        .is_none_or(configures);
    named
        || path
            .components()
            .any(|part| part.as_os_str() == "node_modules" || part.as_os_str() == ".expo")
}

fn touched(tree: &Path, changed: Changed) -> Touched {
    Touched {
        path: tree.join(changed.path),
        change: match changed.change {
            Change::Added => "added",
            Change::Modified => "modified",
            Change::Deleted => "deleted",
        },
    }
}

/// The entry file, where the bundler is told of it.
pub(super) fn entry(plan: &Plan) -> Result<Option<String>> {
    match plan.kind {
        ProjectKind::ReactNative => react_native::entry_file(plan).map(Some),
        _ => Ok(None),
    }
}

/// What a bundler does, as a person would type it.
fn shown(facts: &Facts) -> String {
    let platform = facts.plan.platform;
    match &facts.entry {
        Some(entry) => format!(
            "react-native bundle --platform {platform} --dev false --entry-file {entry} (warm)"
        ),
        None if platform == Platform::Web => "expo export --platform web (warm)".to_owned(),
        None => format!("expo export --platform {platform} --no-bytecode (warm)"),
    }
}

/// Takes the bundle that lies in `out` to `bench`, out of the bundler's reach.
pub(super) async fn product(
    app: &App,
    facts: &Facts,
    out: &Path,
    bench: &Workbench,
    stop: Stop,
) -> Result<Product> {
    let bounds = Bounds::new(&app.data, &app.config.builds.limits);
    let (facts, out, root) = (facts.clone(), out.to_owned(), bench.out.clone());
    blocking(move || {
        let taken = root.join("taken");
        take(&out, &taken, &bounds, &stop)?;
        remove_tree(&out).or_internal("remove what was taken")?;
        match facts.plan.kind {
            ProjectKind::ReactNative => react_native::product(&root, &taken),
            _ => expo::product(&root, &taken, facts.plan.platform, facts.config),
        }
    })
    .await
}
