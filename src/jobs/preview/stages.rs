//! The stages of a build, in their order: checkout, dependencies, bundle, and
//! those of [`super::deliver`].

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::start::{self, Shown};
use super::warm::Warm;
use crate::app::App;
use crate::bundle::deps::{self, Dependencies, Stores, View};
use crate::bundle::detect::{Plan, detect};
use crate::bundle::log::{BuildLog, Nudge};
use crate::bundle::npmrc::Npmrc;
use crate::bundle::package::Packed;
use crate::bundle::product::Product;
use crate::bundle::redact::Redactor;
use crate::bundle::stop::{Limit, cancelled};
use crate::bundle::transform::{TransformCache, key_of};
use crate::bundle::workbench::{Build, Workbench, blocking};
use crate::bundle::{expo, react_native, static_site, web};
use crate::domain::preview::{Bundle, BundlerOrigin, SandboxLevel, Stage};
use crate::domain::project::{Project, ProjectKind};
use crate::ephemeral::topic;
use crate::error::{Code, Context, Error, Result};

/// The SHA-256 of each file of a bundle, by its name.
type Digests = BTreeMap<String, Vec<u8>>;

/// Runs all stages. The bundle is stored when it returns, and the build log
/// complete.
pub(super) async fn build(
    app: &Arc<App>,
    progress: &mut Progress,
    attempt: u32,
    cancel: &CancellationToken,
) -> Result<Bundle> {
    let npmrc = Npmrc::load(app.config.builds.npmrc.as_deref())?;
    let id = progress.preview().id.clone();
    let (log, writer) = BuildLog::open(
        &app.data.build_log(&id),
        app.config.builds.limits.log_bytes,
        Redactor::new(npmrc.secrets().iter().map(String::as_str)),
        nudge(app, topic::log(&id)),
    )
    .await?;
    if attempt > 1 {
        log.attempt(attempt).await;
    }
    let stages = Stages {
        app,
        progress,
        npmrc,
        log: log.clone(),
        cancel,
    };
    let result = stages.run().await;
    if let Err(error) = &result {
        log.ending(ending(error)).await;
    }
    drop(log);
    // Whoever sees the end of the preview sees the whole log.
    writer.finish().await;
    result
}

/// A lost nudge is a delay: followers also look by themselves.
fn nudge(app: &App, topic: String) -> Nudge {
    let ephemeral = Arc::clone(&app.ephemeral);
    Box::new(move || {
        let (ephemeral, topic) = (Arc::clone(&ephemeral), topic.clone());
        Box::pin(async move {
            let _ = ephemeral.publish(&topic, "").await;
        })
    })
}

/// The last line of a log that does not end well.
fn ending(error: &Error) -> String {
    let code = error.code.as_str();
    match error.code {
        Code::InternalError => format!("{code}: a fault of the server; its log has the cause"),
        _ => format!("{code}: {}", super::with_reason(error)),
    }
}

pub(super) struct Stages<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) progress: &'a mut Progress,
    npmrc: Npmrc,
    pub(super) log: BuildLog,
    pub(super) cancel: &'a CancellationToken,
}

impl Stages<'_> {
    async fn run(mut self) -> Result<Bundle> {
        let project = self.project().await?;
        let trusted = project.trusted || self.app.config.server.local_dev_mode;
        let level = match self.app.sandbox.level_for(trusted) {
            Ok(level) => level,
            Err(refusal) => {
                let (bundle, _) = Box::pin(self.cold(project, Err(refusal), false)).await?;
                return Ok(bundle);
            }
        };
        self.progress
            .update(|preview| preview.sandbox = Some(level))
            .await?;

        let suspect = match Box::pin(self.warm(&project, level)).await? {
            Warm::Built(mut build, product) => {
                // The short limit was the bundler's, and it has kept it.
                build.limit = self.cold_limit();
                let packed = self.package(&build, *product).await?;
                return self.upload(&build, packed).await;
            }
            Warm::Failed(lease) => Some(lease),
            Warm::Absent => None,
        };
        let built = Box::pin(self.cold(project, Ok(level), suspect.is_some())).await;
        // Whoever is not to blame keeps its place, and whoever is makes room for
        // the next.
        Self::judge(suspect, &built);
        let (bundle, shown) = built?;
        start::begin(self.app, shown);
        Ok(bundle)
    }

    /// Without a warm bundler, or after one that could not build. Its time is the
    /// long one even where caches are filled: what has to be started anew takes as
    /// long as the machine needs for that. Where there is no sandbox for the
    /// project, only what runs nothing is built.
    async fn cold(
        &mut self,
        project: Project,
        level: Result<SandboxLevel>,
        retried: bool,
    ) -> Result<(Bundle, Shown)> {
        let (bench, plan) = self.checkout(&project).await?;
        let level = match level {
            Err(_) if plan.kind == ProjectKind::Static => SandboxLevel::None,
            level => level?,
        };
        let transform =
            TransformCache::open(&self.app.data, project.id, &self.app.config.builds.limits)?;
        let mut build = self.prepare(bench, plan, level)?;
        let dependencies = self.dependencies(&mut build, &transform).await?;
        transform.lend(&mut build).await?;

        let key = key_of(&build, &dependencies.digest).await?;
        if !retried && start::bundles_warm(build.plan.kind, build.plan.platform) {
            self.note_absence(&key).await;
        }
        let (warm, bundler) = if build.plan.kind == ProjectKind::Static {
            (true, None)
        } else {
            let filled = transform.is_warm(build.plan.platform, &key);
            (dependencies.cached && filled, Some(BundlerOrigin::Started))
        };
        self.progress
            .update(|preview| {
                preview.warm = Some(warm);
                preview.bundler = bundler;
            })
            .await?;
        build.limit = self.cold_limit();
        let (packed, digests) = self
            .bundle_and_package(&build, &transform, &dependencies, &key)
            .await?;
        deps::settled(&build, &self.app.data, &dependencies).await?;
        let bundle = self.upload(&build, packed).await?;
        let preview = self.progress.preview();
        let shown = Shown {
            project,
            platform: preview.platform,
            kind: build.plan.kind,
            level,
            commit: preview.commit.clone(),
            key,
            digests,
        };
        Ok((bundle, shown))
    }

    fn cold_limit(&self) -> Limit {
        let limit = self.app.config.previews.cold_timeout;
        Limit::starting_now(limit, "PREVIEW_COLD_TIMEOUT_MS")
    }

    async fn project(&self) -> Result<Project> {
        let id = self.progress.preview().project_id;
        let found = self.app.store.project(id).await?;
        found
            .map(|project| project.value)
            .ok_or_else(|| Error::new(Code::SourceUnavailable, "the project was deleted"))
    }

    /// Shows and logs a stage around `work`.
    pub(super) async fn stage<T>(
        &mut self,
        stage: Stage,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.progress.enter(stage).await?;
        self.log.stage_begins(stage).await;
        let started = Instant::now();
        let result = work.await;
        match &result {
            Ok(_) => self.log.stage_done(stage, started.elapsed()).await,
            Err(error) => {
                self.log
                    .stage_failed(stage, started.elapsed(), error.code)
                    .await;
            }
        }
        result
    }

    async fn checkout(&mut self, project: &Project) -> Result<(Workbench, Plan)> {
        let app = Arc::clone(self.app);
        let (log, cancel) = (self.log.clone(), self.cancel.clone());
        let preview = self.progress.preview().clone();
        let settings = project.config.clone();
        self.stage(Stage::Checkout, async move {
            let dir = app.data.job_tmp(&preview.id);
            let bench = blocking(move || Workbench::fresh(&dir)).await?;
            log.note(format!("commit {}", preview.commit)).await;
            let checkout = tokio::select! {
                checkout = app.repos.checkout(
                    preview.project_id,
                    &preview.commit,
                    &bench.project,
                ) => checkout?,
                () = cancel.cancelled() => return Err(cancelled()),
            };
            stop_point!(CheckoutAfter);
            for path in &checkout.left_out {
                log.note(format!(
                    "left out {path}: a link that points out of the tree"
                ))
                .await;
            }
            for path in &checkout.submodules {
                log.note(format!(
                    "{path} is a submodule: it stays empty, submodules are not fetched"
                ))
                .await;
            }
            let (tree, platform) = (bench.project.clone(), preview.platform);
            let plan = blocking(move || detect(&tree, &settings, platform)).await?;
            log.note(format!(
                "{} project in {}, for {platform}",
                plan.kind.with_article(),
                plan.shown_root()
            ))
            .await;
            for remark in &plan.remarks {
                log.note(remark).await;
            }
            Ok((bench, plan))
        })
        .await
    }

    fn prepare(&self, bench: Workbench, plan: Plan, level: SandboxLevel) -> Result<Build> {
        let preview = self.progress.preview();
        let mut cell = bench.cell(&self.app.sandbox, level, &preview.id);
        cell.belong_to(preview.project_id)
            .or_internal("find a user for the build")?;
        Ok(Build {
            project: preview.project_id,
            cell,
            view: View::plain(&plan.tree),
            plan,
            bench,
            log: self.log.clone(),
            cancel: self.cancel.clone(),
            limit: Limit::starting_now(
                self.app.config.previews.install_timeout,
                "PREVIEW_INSTALL_TIMEOUT_MS",
            ),
        })
    }

    async fn dependencies(
        &mut self,
        build: &mut Build,
        transform: &TransformCache,
    ) -> Result<Dependencies> {
        let app = Arc::clone(self.app);
        let npmrc = self.npmrc.clone();
        let project = self.progress.preview().project_id;
        let log = self.log.clone();
        self.stage(Stage::Dependencies, async move {
            if build.plan.kind == ProjectKind::Static {
                log.note("a static project has none").await;
                return Ok(Dependencies::none());
            }
            let stores = Stores {
                data: &app.data,
                registries: &app.registries,
                npmrc: &npmrc,
                transform,
            };
            deps::provide(build, stores, project).await
        })
        .await
    }

    async fn bundle_and_package(
        &mut self,
        build: &Build,
        transform: &TransformCache,
        dependencies: &Dependencies,
        key: &str,
    ) -> Result<(Packed, Digests)> {
        let product = self
            .stage(Stage::Bundle, async {
                let product = bundle(build, dependencies).await;
                // Even a build that failed has transformed most files.
                transform.keep(build).await;
                let product = product?;
                build.check_cancelled()?;
                Ok(product)
            })
            .await?;
        transform.put_stamp(build.plan.platform, key)?;
        for remark in &product.remarks {
            self.log.note(remark).await;
        }
        // What is too large for a bundle is not read before it is refused.
        let packed = self.package(build, product.clone()).await?;
        let digests = self.digests(build, product).await?;
        Ok((packed, digests))
    }

    /// What a warm bundler must come to, if there is to be one.
    async fn digests(&self, build: &Build, product: Product) -> Result<Digests> {
        if !start::bundles_warm(build.plan.kind, build.plan.platform) {
            return Ok(Digests::new());
        }
        let stop = build.stop();
        blocking(move || product.digests(&stop)).await
    }
}

async fn bundle(build: &Build, dependencies: &Dependencies) -> Result<Product> {
    match build.plan.kind {
        ProjectKind::Expo => expo::bundle(build).await,
        ProjectKind::ReactNative => react_native::bundle(build).await,
        ProjectKind::Web => web::bundle(build, dependencies.manager).await,
        ProjectKind::Static => {
            let plan = build.plan.clone();
            blocking(move || static_site::bundle(&plan)).await
        }
    }
}
