//! Previews of `examples/hello-expo` for iOS, beside the same work done by hand
//! with npm and the Expo command line.
//!
//! Ours runs from the first byte of the upload until the bundle can be
//! downloaded; by hand from the start of the command until it has ended. Each
//! round edits the same line on both sides. By hand keeps its `node_modules`
//! and Metro's cache between rounds, as a developer does; ours has the bundler
//! running that it keeps for a project in use.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;

use super::{ROUNDS, median};
use crate::process::run as run_command;
use crate::report::{Better, Figure, Reach, Report};
use crate::world::{Accepted, Hive};
use crate::{Result, project};

/// The most that ours may take of the time by hand when nothing is kept.
const COLD: f64 = 1.05;
/// What the log of a build by a warm bundler says.
const BY_WARM: &str = "the warm bundler has them";
/// How many builds a bundler may take to be there.
const WARM_UPS: usize = 30;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let by_hand = ByHand::new()?;
    let ours = Ours::start().await?;

    let install = by_hand.install().await?;
    let export = by_hand.export(0, true).await?;
    let (first, _) = ours.preview(ours.project, 0).await?;
    report.add(
        line("preview, cold, nothing kept", first)
            .beside("npm ci && expo export --no-bytecode", install + export)
            .reach(Reach::Times(1.0 / COLD)),
    );

    let [mut edited, mut plain, mut bytecode] = [const { Vec::new() }; 3];
    // Each side's first export with a kept cache is no one's usual one.
    by_hand.export(1, false).await?;
    ours.warm_up().await?;
    for round in 0..ROUNDS {
        let (seconds, accepted) = ours.preview(ours.project, 10 + round).await?;
        if !ours.was_warm(&accepted).await? {
            return Err("the warm bundler was gone when it was measured".into());
        }
        edited.push(seconds);
        plain.push(by_hand.export(10 + round, true).await?);
        bytecode.push(by_hand.export(20 + round, false).await?);
    }
    for (peer, theirs, times) in [
        ("expo export --no-bytecode, warm", plain, 4.0),
        ("expo export, warm", bytecode, 8.0),
    ] {
        report.add(
            line("preview, warm, one file edited", median(edited.clone()))
                .beside(peer, median(theirs))
                .reach(Reach::Times(times)),
        );
    }

    let mut again = Vec::new();
    for _ in 0..ROUNDS {
        again.push(ours.again().await?);
    }
    report.add(line("preview, same commit again", median(again)).reach(Reach::Value(0.050)));

    let [mut restored, mut installed] = [const { Vec::new() }; 2];
    for round in 0..ROUNDS {
        restored.push(ours.restore(round).await?);
        installed.push(by_hand.install().await?);
    }
    ours.hive.stop().await?;
    report.add(
        line(
            "dependencies of another project, known lockfile",
            median(restored),
        )
        .beside("npm ci, downloads kept", median(installed))
        .reach(Reach::Times(20.0)),
    );
    Ok(())
}

fn line(work: &str, seconds: f64) -> Figure {
    Figure::new(work, "s", Better::Lower, seconds)
}

/// A checkout, and a home that nothing was kept in before.
struct ByHand {
    folder: TempDir,
}

impl ByHand {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["home", "tmp", "npm"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        project::copy(&folder.path().join("app"))?;
        Ok(Self { folder })
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<f64> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path().join("app"))
            .env("HOME", self.folder.path().join("home"))
            .env("TMPDIR", self.folder.path().join("tmp"))
            .env("npm_config_cache", self.folder.path().join("npm"))
            .envs(project::npm_settings()?)
            .env("CI", "1")
            .env("EXPO_NO_TELEMETRY", "1");
        let began = Instant::now();
        run_command(&mut command).await?;
        Ok(began.elapsed().as_secs_f64())
    }

    async fn install(&self) -> Result<f64> {
        let arguments = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
        self.run("npm", &arguments).await
    }

    async fn export(&self, edit: usize, plain: bool) -> Result<f64> {
        project::edit(&self.folder.path().join("app"), edit)?;
        let mut arguments = vec!["expo", "export", "--platform", "ios"];
        if plain {
            arguments.push("--no-bytecode");
        }
        self.run("npx", &arguments).await
    }
}

/// A server on a new data folder, and a project on it.
struct Ours {
    hive: Hive,
    project: i64,
    sources: TempDir,
}

impl Ours {
    async fn start() -> Result<Self> {
        let sources = tempfile::tempdir()?;
        project::copy(&sources.path().join("app"))?;
        let npmrc = sources.path().join("npmrc");
        project::write_npmrc(&npmrc)?;
        let npmrc = npmrc.to_str().ok_or("a path that is no text")?;
        let settings = [("BUILD_NPMRC", npmrc), ("PREVIEW_MAX_TIMEOUT_MS", "120000")];
        let mut hive = Hive::start(&settings).await?;
        hive.log_in().await?;
        let project = hive.project("hello-expo").await?;
        Ok(Self {
            hive,
            project,
            sources,
        })
    }

    fn app(&self) -> PathBuf {
        self.sources.path().join("app")
    }

    /// Uploads the sources with an edited line and waits for the bundle.
    async fn preview(&self, project: i64, edit: usize) -> Result<(f64, Accepted)> {
        project::edit(&self.app(), edit)?;
        let archive = project::pack(&self.app())?;
        let began = Instant::now();
        self.hive.upload(project, archive).await?;
        let accepted = self.hive.ask(project, "ios").await?;
        self.hive.built(&accepted).await?;
        Ok((began.elapsed().as_secs_f64(), accepted))
    }

    /// Builds until the bundler that the first build has started is there and
    /// has built once.
    async fn warm_up(&self) -> Result<()> {
        for edit in 0..WARM_UPS {
            let (_, accepted) = self.preview(self.project, 100 + edit).await?;
            if self.was_warm(&accepted).await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(format!("no warm bundler has come in {WARM_UPS} builds").into())
    }

    async fn was_warm(&self, accepted: &Accepted) -> Result<bool> {
        Ok(self.hive.log(accepted).await?.contains(BY_WARM))
    }

    /// Asks again for what is built already.
    async fn again(&self) -> Result<f64> {
        let began = Instant::now();
        let accepted = self.hive.ask(self.project, "ios").await?;
        self.hive.built(&accepted).await?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// How long a new project of the same lockfile is in the stage that brings
    /// its dependencies.
    async fn restore(&self, round: usize) -> Result<f64> {
        let project = self.hive.project(&format!("another {round}")).await?;
        project::edit(&self.app(), 30 + round)?;
        self.hive
            .upload(project, project::pack(&self.app())?)
            .await?;
        let accepted = self.hive.ask(project, "ios").await?;
        self.hive.built(&accepted).await?;
        self.hive.time_in_stage(&accepted, "dependencies").await
    }
}
