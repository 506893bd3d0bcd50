//! Starting a warm bundler, in the background, after a cold build has shown
//! that the project builds.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::warm::{INDEX, entry, product};
use crate::app::App;
use crate::bundle::deps::{self, Stores, View};
use crate::bundle::detect::detect;
use crate::bundle::expo;
use crate::bundle::log::BuildLog;
use crate::bundle::npmrc::Npmrc;
use crate::bundle::redact::Redactor;
use crate::bundle::sandbox::{Access, Cell};
use crate::bundle::stop::Limit;
use crate::bundle::transform::{TransformCache, key_of};
use crate::bundle::warm::{
    Bundler, Facts, Kept, NotStarted, Outcome, Spot, Start, mark, remove_folder,
};
use crate::bundle::workbench::{Build, Workbench, blocking, make_dir};
use crate::domain::preview::{Platform, SandboxLevel};
use crate::domain::project::{Project, ProjectKind};
use crate::error::{Code, Context, Result};

/// What a cold build has shown.
pub(super) struct Shown {
    pub(super) project: Project,
    pub(super) platform: Platform,
    pub(super) kind: ProjectKind,
    pub(super) level: SandboxLevel,
    pub(super) commit: String,
    /// See [`key_of`].
    pub(super) key: String,
    /// The SHA-256 of each file of its bundle.
    pub(super) digests: BTreeMap<String, Vec<u8>>,
}

/// Starts a bundler for what was shown, unless there is one or no room for one.
/// Returns at once.
pub(super) fn begin(app: &Arc<App>, shown: Shown) {
    if !bundles_warm(shown.kind, shown.platform) {
        return;
    }
    let spot = Spot {
        project: shown.project.id,
        platform: shown.platform,
    };
    let Some(place) = app.bundlers.place(spot, &shown.key) else {
        return;
    };
    let bundlers = app.bundlers.clone();
    let app = Arc::clone(app);
    bundlers.spawn(async move {
        match start(&app, &shown).await {
            Ok(bundler) => place.fill(bundler),
            Err(_) if app.bundlers.closing().is_cancelled() => {}
            Err(reason) => place.fail(told(spot, reason)),
        }
    });
}

/// What the project's next build is told of a bundler that has not come up. A
/// fault of the server is for its log.
fn told(spot: Spot, reason: NotStarted) -> String {
    let Spot { project, platform } = spot;
    let why = match reason {
        NotStarted::Failed(error) if error.code == Code::InternalError => {
            let error = error.chain();
            tracing::warn!(%project, %platform, error, "a warm bundler could not be started");
            return "it could not be started; the server's log has the cause".to_owned();
        }
        NotStarted::Failed(error) => error.message.into_owned(),
        NotStarted::Because(why) => why,
    };
    tracing::info!(%project, %platform, why, "this project gets no warm bundler");
    why
}

/// Metro alone stays: other tools are run in their build mode, as they are.
pub(super) fn bundles_warm(kind: ProjectKind, platform: Platform) -> bool {
    match kind {
        ProjectKind::Expo => true,
        ProjectKind::ReactNative => platform != Platform::Web,
        ProjectKind::Web | ProjectKind::Static => false,
    }
}

async fn start(app: &Arc<App>, shown: &Shown) -> Result<Bundler, NotStarted> {
    let name = format!("{}-{}-{}", shown.project.id, shown.platform, random(app, 8));
    let dir = app.data.bundlers().join(&name);
    let bench = {
        let dir = dir.clone();
        blocking(move || {
            make_dir(&dir)?;
            Workbench::fresh(&dir)
        })
        .await?
    };
    let npmrc = Npmrc::load(app.config.builds.npmrc.as_deref())?;
    let nobody = Box::new(|| Box::pin(std::future::ready(())) as _);
    let (log, writer) = BuildLog::open(
        &bench.file("start.log"),
        app.config.builds.limits.log_bytes,
        Redactor::new(npmrc.secrets().iter().map(String::as_str)),
        nobody,
    )
    .await?;
    let started = run(app, shown, &bench, &name, &npmrc, &log).await;
    drop(log);
    writer.finish().await;
    if started.is_err() {
        remove_folder(dir, app.bundlers.closing()).await;
    }
    started
}

async fn run(
    app: &Arc<App>,
    shown: &Shown,
    bench: &Workbench,
    name: &str,
    npmrc: &Npmrc,
    log: &BuildLog,
) -> Result<Bundler, NotStarted> {
    let mut build = prepare(app, shown, bench, name, log).await?;
    let facts = equip(app, shown, &mut build, npmrc).await?;
    let mut bundler = Bundler::start(Start {
        facts,
        commit: shown.commit.clone(),
        bench: bench.clone(),
        cell: build.cell.clone(),
        nonce: format!("@{} ", random(app, 16)),
        heap: app.bundlers.heap(),
        log,
        limit: &build.limit,
        cancel: &build.cancel,
    })
    .await?;
    match prove(app, &mut bundler, shown, &build).await {
        Ok(()) => Ok(bundler),
        Err(error) => {
            bundler.end(&build.cancel).await;
            Err(error)
        }
    }
}

/// Checks the commit out, as a build that has everything but its dependencies.
async fn prepare(
    app: &App,
    shown: &Shown,
    bench: &Workbench,
    name: &str,
    log: &BuildLog,
) -> Result<Build> {
    let (project, index) = (shown.project.id, bench.file(INDEX));
    app.repos
        .checkout_with(project, &shown.commit, &bench.project, &index)
        .await?;
    let (tree, settings, platform) = (
        bench.project.clone(),
        shown.project.config.clone(),
        shown.platform,
    );
    let plan = blocking(move || detect(&tree, &settings, platform)).await?;
    let mut build = Build {
        project: shown.project.id,
        cell: cell(app, bench, shown, name)?,
        view: View::plain(&plan.tree),
        plan,
        bench: bench.clone(),
        log: log.clone(),
        cancel: app.bundlers.closing().clone(),
        limit: Limit::starting_now(app.config.previews.cold_timeout, "PREVIEW_COLD_TIMEOUT_MS"),
    };
    lend_scratch(&mut build)?;
    Ok(build)
}

/// Gives it its dependencies and the project's transform cache.
async fn equip(app: &App, shown: &Shown, build: &mut Build, npmrc: &Npmrc) -> Result<Facts> {
    let project = shown.project.id;
    let transform = TransformCache::open(&app.data, project, &app.config.builds.limits)?;
    let stores = Stores {
        data: &app.data,
        registries: &app.registries,
        npmrc,
        transform: &transform,
    };
    let dependencies = deps::provide(build, stores, project).await?;
    transform.lend(build).await?;
    let config = match build.plan.kind {
        ProjectKind::Expo => expo::public_config(build).await,
        _ => None,
    };
    Ok(Facts {
        entry: entry(&build.plan)?,
        key: key_of(build, &dependencies.digest).await?,
        plan: build.plan.clone(),
        config,
    })
}

/// The checkout read-only: what a build has written must not meet the next.
fn cell(app: &App, bench: &Workbench, shown: &Shown, name: &str) -> Result<Cell> {
    let mut cell = bench.bare_cell(Cell::new(&app.sandbox, shown.level, &mark(name)));
    cell.belong_to(shown.project.id)
        .or_internal("find a user for a warm bundler")?;
    let guest = std::path::Path::new("/work");
    cell.mount(&bench.project, &guest.join("project"), Access::ReadOnly);
    cell.mount(&bench.out, &guest.join("out"), Access::ReadWrite);
    Ok(cell)
}

/// Expo keeps notes in a folder of the project, which may be a part of it.
fn lend_scratch(build: &mut Build) -> Result<()> {
    let scratch = build.plan.root.join(".expo");
    if build.plan.kind == ProjectKind::Expo && std::fs::symlink_metadata(&scratch).is_err() {
        make_dir(&scratch)?;
        build.cell.remount(&scratch, Access::ReadWrite);
    }
    Ok(())
}

/// So many random bytes, as text.
fn random(app: &App, length: usize) -> String {
    let mut bytes = vec![0; length];
    app.random.fill(&mut bytes);
    HEXLOWER.encode(&bytes)
}

/// Lets the bundler build the same commit: it must come out byte by byte as the
/// cold build did.
async fn prove(
    app: &App,
    bundler: &mut Bundler,
    shown: &Shown,
    build: &Build,
) -> Result<(), NotStarted> {
    let because = |why: &str| Err(NotStarted::Because(why.to_owned()));
    let outcome = bundler
        .build(&[], &build.log, &build.limit, &build.cancel)
        .await?;
    let out = match outcome {
        Outcome::Built(out) => out,
        Outcome::Failed => return because("the bundler could not build the commit"),
        Outcome::Spent(why) => return because(&why),
    };
    let product = product(app, &bundler.facts, &out, &bundler.bench, build.stop()).await?;
    let stop = build.stop();
    let digests = blocking(move || product.digests(&stop)).await?;
    if digests == shown.digests {
        return Ok(());
    }
    because("the bundler's bundle differs from that of the cold build")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProjectId;
    use crate::error::Error;

    #[test]
    fn a_project_hears_nothing_of_a_fault_of_the_server() {
        let spot = Spot {
            project: ProjectId(1),
            platform: Platform::Ios,
        };
        let inner = Error::internal("git failed: /data/repos/1 is not a repository");
        let why = told(spot, inner.into());
        assert_eq!(
            why,
            "it could not be started; the server's log has the cause"
        );
        let late = Error::new(Code::PreviewTimeout, "it took too long");
        assert_eq!(told(spot, late.into()), "it took too long");
        let said = NotStarted::Because("it has styles".to_owned());
        assert_eq!(told(spot, said), "it has styles");
    }
}
