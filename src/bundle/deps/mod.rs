//! The dependencies of a build: installed once for each digest, kept under
//! `DATA_DIR/cache/preview_deps` ([`sets`]), and repeated into each checkout.
//!
//! The install runs in the checkout itself, at the path that every build has,
//! and its `node_modules` folders are then moved into the cache.

mod digest;
mod downloads;
mod links;
mod lock;
mod manager;
mod manifests;
mod npm_lockfile;
mod origins;
mod sets;
mod tools;
mod view;

use std::path::{Path, PathBuf};

pub use manager::{Install, Manager};
pub use sets::half_filled;
pub use tools::Tool;
pub use view::View;

use super::detect::{CONFIG_FILE, Plan};
use super::npmrc::Npmrc;
use super::registry::{Gate, Registries};
use super::sandbox::{Command, Output, Sandbox, Toolchain};
use super::stop::Stop;
use super::transform::TransformCache;
use super::tree;
use super::workbench::{Build, blocking};
use crate::data_dir::DataDir;
use crate::domain::ProjectId;
use crate::domain::preview::SandboxLevel;
use crate::error::{Code, Error, Result};
use digest::{Key, Toolset};

/// The dependencies, in their place in the checkout.
#[derive(Clone, Debug)]
pub struct Dependencies {
    /// Empty when the project has none.
    pub digest: String,
    /// They were in the cache.
    pub cached: bool,
    pub manager: Option<Manager>,
}

impl Dependencies {
    /// Of a project that needs none.
    #[must_use]
    pub fn none() -> Self {
        Self {
            digest: String::new(),
            cached: true,
            manager: None,
        }
    }
}

/// The parts of the server that installing needs.
#[derive(Clone, Copy)]
pub struct Stores<'a> {
    pub data: &'a DataDir,
    pub registries: &'a Registries,
    pub npmrc: &'a Npmrc,
    pub transform: &'a TransformCache,
}

/// Puts the project's dependencies in their place and shows them read-only to
/// the cell of `build`.
///
/// # Errors
/// `MISSING_DEPENDENCIES`, `PREVIEW_TIMEOUT`, `CANCELLED`.
pub async fn provide(
    build: &mut Build,
    stores: Stores<'_>,
    project: ProjectId,
) -> Result<Dependencies> {
    let (plan, sandbox) = (build.plan.clone(), build.cell.sandbox().clone());
    let (level, stop) = (build.cell.level(), build.stop());
    let named = blocking(move || Named::of(&plan, &sandbox, level, project, &stop)).await?;
    let Some(named) = named else {
        build.log.note("no dependencies to install").await;
        return Ok(Dependencies::none());
    };
    let Named {
        install,
        tool,
        version,
        key,
    } = named;
    if let Some(tool) = &tool {
        let bin = tool.provide(build, stores).await?;
        tools::lend(install.manager, &bin, stores.data, &mut build.cell);
    }
    let set = stores.data.dependency_cache().join(&key.digest);
    let held = lock::hold(&set, &build.cancel).await?;
    let kept = {
        let set = set.clone();
        blocking(move || sets::Contents::of(&set)).await?
    };
    let cached = kept.is_some();
    if let Some(contents) = kept {
        let short = &key.digest[..12];
        build
            .log
            .note(format!("dependencies {short} ({version}) are cached"))
            .await;
        // A set that is there never changes: others may restore it with us.
        drop(held);
        sets::restore(build, stores.transform, &install, &set, contents).await?;
    } else {
        let filled = fill(build, stores, &install, &key, &version, &set).await?;
        let contents = filled.contents();
        let restored = sets::restore(build, stores.transform, &install, &set, contents).await;
        if let Err(error) = restored {
            // Thousands of files are not removed among the tasks of others.
            blocking(move || filled.discard()).await?;
            return Err(error);
        }
        // This build need not wait for the disk; others do.
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = filled.keep() {
                tracing::warn!(error = %error.chain(), "dependencies could not be kept");
            }
            drop(held);
        }));
    }
    Ok(Dependencies {
        digest: key.digest,
        cached,
        manager: Some(install.manager),
    })
}

/// Waits until what [`provide`] has installed is kept for others, so that who
/// comes after this build finds it.
///
/// # Errors
/// `CANCELLED`.
pub async fn settled(build: &Build, data: &DataDir, dependencies: &Dependencies) -> Result<()> {
    let set = data.dependency_cache().join(&dependencies.digest);
    lock::hold(&set, &build.cancel).await.map(drop)
}

/// The digest of the dependencies that [`provide`] would put in place; empty
/// when the project has none. Blocking.
///
/// # Errors
/// As [`provide`], as far as the checkout alone can tell.
pub fn digest_of(
    plan: &Plan,
    sandbox: &Sandbox,
    level: SandboxLevel,
    project: ProjectId,
    stop: &Stop,
) -> Result<String> {
    let named = Named::of(plan, sandbox, level, project, stop)?;
    Ok(named.map_or_else(String::new, |named| named.key.digest))
}

/// A project's dependencies by name: what would be installed, and with what.
struct Named {
    install: Install,
    tool: Option<Tool>,
    /// The package manager's, such as `npm@11.19.1`.
    version: String,
    key: Key,
}

impl Named {
    /// `None` for a project that has no dependencies.
    fn of(
        plan: &Plan,
        sandbox: &Sandbox,
        level: SandboxLevel,
        project: ProjectId,
        stop: &Stop,
    ) -> Result<Option<Self>> {
        let install = Install::find(plan)?;
        let manifests = manifests::read(&plan.tree, &install, stop)?;
        let mut all = manifests.iter();
        if install.lockfile.is_none() && !all.any(|(_, manifest)| manifest.has_dependencies()) {
            return Ok(None);
        }
        let toolchain = toolchain_of(sandbox)?;
        let tool = install.tool(toolchain.node_major());
        let version = tool
            .as_ref()
            .map_or_else(|| format!("npm@{}", toolchain.npm_version), Tool::spec);
        let toolset = Toolset {
            node_version: &toolchain.node_version,
            manager: &version,
            level: level.as_str(),
        };
        let key = digest::Subject {
            plan,
            install: &install,
            manifests: &manifests,
            toolset: &toolset,
        }
        .key(project, stop)?;
        Ok(Some(Self {
            install,
            tool,
            version,
            key,
        }))
    }
}

/// Node and npm.
///
/// # Errors
/// `MISSING_DEPENDENCIES` that says what the operator has to install.
pub fn toolchain(build: &Build) -> Result<Toolchain> {
    toolchain_of(build.cell.sandbox())
}

fn toolchain_of(sandbox: &Sandbox) -> Result<Toolchain> {
    sandbox
        .toolchain()
        .filter(|toolchain| toolchain.npm.is_some())
        .cloned()
        .ok_or_else(|| {
            Error::new(
                Code::MissingDependencies,
                "this project needs Node.js and npm, and the server's PATH has none: the operator \
                 must install Node 20 or later and restart (static projects build without)",
            )
        })
}

/// Installs, and moves the result to where the set belongs.
async fn fill(
    build: &Build,
    stores: Stores<'_>,
    install: &Install,
    key: &Key,
    version: &str,
    set: &Path,
) -> Result<sets::Filled> {
    if install.lockfile.is_none() {
        build
            .log
            .note(format!(
                "there is no lockfile in {}: what is installed may differ from one build to the \
                 next, so this build is not reproducible; commit the lockfile of your package \
                 manager",
                tree::shown(&build.plan.tree, &install.root)
            ))
            .await;
    }
    let (tree, cleared) = (build.plan.tree.clone(), install.clone());
    blocking(move || sets::clear(&tree, &cleared)).await?;
    run_install(build, stores, install, key).await?;
    let toolchain = toolchain(build)?;
    let (manager, tree) = (version.to_owned(), build.plan.tree.clone());
    let (install, set) = (install.clone(), set.to_owned());
    blocking(move || {
        let contents = sets::Contents {
            manager,
            node: toolchain.node_version,
            folders: sets::installed_folders(&tree, &install),
        };
        sets::Filled::from(&tree, &install.root, contents, &set)
    })
    .await
}

async fn run_install(
    build: &Build,
    stores: Stores<'_>,
    install: &Install,
    key: &Key,
) -> Result<()> {
    let mut installing = build.clone();
    downloads::lend(
        stores.data,
        install.manager,
        key.owner,
        &mut installing.cell,
    )?;
    let gate = Gate::open_for(&mut installing, stores.registries, stores.npmrc).await?;
    if let Some(script) = unrun_script(&build.plan) {
        build
            .log
            .note(format!(
                "the `{script}` script of package.json is not run: install scripts are off unless \
                 the project's settings (not {CONFIG_FILE}) allow them; {}",
                build.allow_scripts()
            ))
            .await;
    }
    let words = install.words(build.plan.install_scripts);
    let command = Command::new(words[0], &install.root).args(&words[1..]);
    let hint = if install.lockfile.is_some() {
        "the log shows why; if package.json and the lockfile disagree, install on your machine \
         and commit the lockfile"
    } else {
        "the log shows why"
    };
    let result = installing
        .run(&command, Output::Log, Code::MissingDependencies, hint)
        .await;
    drop(gate);
    // The bundler gets no network, and nothing else that installing left outside
    // of the checkout: it may have run the project's own code.
    build.bench.renew()?;
    result.map(drop)
}

/// The app's own install script that is left out, if it has one.
pub(super) fn unrun_script(plan: &Plan) -> Option<&'static str> {
    let scripts = plan.manifest.as_ref()?.json().get("scripts")?;
    ["preinstall", "install", "postinstall", "prepare"]
        .into_iter()
        .find(|name| !plan.install_scripts && scripts.get(name).is_some())
}

/// The folder of the installed package `name`, as node finds it from the app's
/// folder: a path of the checkout, whatever lies there to the server.
#[must_use]
pub fn package_dir(build: &Build, name: &str) -> Option<PathBuf> {
    let above = build.plan.root.ancestors();
    above
        .take_while(|dir| dir.starts_with(&build.plan.tree))
        .map(|dir| dir.join("node_modules").join(name))
        .find(|dir| build.view.is_dir(dir))
}
