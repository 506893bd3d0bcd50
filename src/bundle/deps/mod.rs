//! The dependencies of a build: installed once for each digest, kept under
//! `DATA_DIR/cache/preview_deps`, and repeated into each checkout.
//!
//! ```text
//! preview_deps/<digest>/contents.json           what it was made with
//! preview_deps/<digest>/0, 1, ...               the node_modules folders
//! ```
//!
//! A set is filled aside and renamed: one that is there is whole. The install
//! runs in the checkout itself, at the path that every build has, and its
//! `node_modules` folders are then moved into the cache.

mod digest;
mod downloads;
mod links;
mod lock;
mod manager;
mod origins;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use manager::{Install, Manager};
pub use tools::Tool;

use super::detect::Plan;
use super::npmrc::Npmrc;
use super::registry::{Gate, Registries};
use super::sandbox::{Access, Command, Output, Sandbox, Toolchain};
use super::transform::TransformCache;
use super::tree;
use super::workbench::{Build, blocking, make_dir};
use crate::data_dir::DataDir;
use crate::disk::remove_tree;
use crate::domain::ProjectId;
use crate::domain::preview::SandboxLevel;
use crate::error::{Code, Context, Error, Result};
use digest::{Key, Toolset};
use links::Share;

/// What tools write into `node_modules` while they build.
const SCRATCH: [&str; 6] = [".astro", ".vite", ".vite-temp", ".tmp", ".expo", ".prisma"];

/// The name's beginning of a set in the making.
const FILLING: &str = ".filling-";

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

/// What a set was made with.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    manager: String,
    node: String,
    /// The `node_modules` folders, relative to the folder of the lockfile;
    /// the n-th is the set's folder `n`.
    folders: Vec<PathBuf>,
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
    let level = build.cell.level();
    let Some(named) = Named::of(&build.plan, build.cell.sandbox(), level, project)? else {
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
    let cached = set.join("contents.json").is_file();
    if cached {
        let short = &key.digest[..12];
        build
            .log
            .note(format!("dependencies {short} ({version}) are cached"))
            .await;
    } else {
        fill(build, stores, &install, &key, &version, &set).await?;
    }
    // A set that is there never changes: others may restore it with us.
    drop(held);
    restore(build, stores, &install, &set).await?;
    Ok(Dependencies {
        digest: key.digest,
        cached,
        manager: Some(install.manager),
    })
}

/// The digest of the dependencies that [`provide`] would put in place; empty
/// when the project has none.
///
/// # Errors
/// As [`provide`], as far as the checkout alone can tell.
pub fn digest_of(
    plan: &Plan,
    sandbox: &Sandbox,
    level: SandboxLevel,
    project: ProjectId,
) -> Result<String> {
    let named = Named::of(plan, sandbox, level, project)?;
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
    ) -> Result<Option<Self>> {
        let install = Install::find(plan)?;
        if install.lockfile.is_none() && !needs_installing(plan, &install)? {
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
        let key = digest::key(plan, &install, project, &toolset)?;
        Ok(Some(Self {
            install,
            tool,
            version,
            key,
        }))
    }
}

fn needs_installing(plan: &Plan, install: &Install) -> Result<bool> {
    for dir in digest::manifest_folders(&plan.tree, install) {
        let manifest = super::detect::Manifest::read(&plan.tree, &dir)?;
        if manifest.is_some_and(|manifest| manifest.has_dependencies()) {
            return Ok(true);
        }
    }
    Ok(false)
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

/// Installs, and moves the result into the cache.
async fn fill(
    build: &Build,
    stores: Stores<'_>,
    install: &Install,
    key: &Key,
    version: &str,
    set: &Path,
) -> Result<()> {
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
    run_install(build, stores, install, key).await?;
    let toolchain = toolchain(build)?;
    let contents = Contents {
        manager: version.to_owned(),
        node: toolchain.node_version,
        folders: installed_folders(&build.plan.tree, install),
    };
    let (root, set) = (install.root.clone(), set.to_owned());
    blocking(move || keep(&root, &contents, &set)).await
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

/// The `node_modules` folders that an install has left.
fn installed_folders(tree: &Path, install: &Install) -> Vec<PathBuf> {
    digest::manifest_folders(tree, install)
        .into_iter()
        .map(|dir| dir.join("node_modules"))
        .filter(|dir| dir.symlink_metadata().is_ok_and(|meta| meta.is_dir()))
        .filter_map(|dir| Some(dir.strip_prefix(&install.root).ok()?.to_owned()))
        .collect()
}

/// Moves the folders of `contents` from below `root` into the set.
fn keep(root: &Path, contents: &Contents, set: &Path) -> Result<()> {
    let what = "keep the installed dependencies";
    let cache = set.parent().unwrap_or(set);
    make_dir(cache)?;
    let aside = tempfile::Builder::new()
        .prefix(FILLING)
        .tempdir_in(cache)
        .or_internal(what)?;
    for (index, folder) in contents.folders.iter().enumerate() {
        let place = aside.path().join(index.to_string());
        fs::rename(root.join(folder), &place).or_internal(what)?;
        for name in SCRATCH.into_iter().chain([".cache"]) {
            let _ = remove_tree(&place.join(name));
        }
        links::protect(&place).or_internal(what)?;
    }
    let bytes = serde_json::to_vec_pretty(contents).or_internal(what)?;
    fs::write(aside.path().join("contents.json"), bytes).or_internal(what)?;
    links::sync_all(aside.path()).or_internal(what)?;
    // A set without its list of contents is what a crash has left.
    remove_tree(set).or_internal(what)?;
    fs::rename(aside.keep(), set).or_internal(what)
}

/// Repeats the set into the checkout and covers it, read-only.
async fn restore(
    build: &mut Build,
    stores: Stores<'_>,
    install: &Install,
    set: &Path,
) -> Result<()> {
    let (root, from) = (install.root.clone(), set.to_owned());
    let share = if build.cell.covers_files() {
        Share::Files
    } else {
        Share::Nothing
    };
    let folders = blocking(move || {
        let what = "restore the cached dependencies";
        let bytes = fs::read(from.join("contents.json")).or_internal(what)?;
        let contents: Contents = serde_json::from_slice(&bytes).or_internal(what)?;
        let mut places = Vec::new();
        for (index, folder) in contents.folders.iter().enumerate() {
            let place = root.join(folder);
            // A tree may have committed its own: the lockfile's win.
            remove_tree(&place).or_internal(what)?;
            links::repeat(&from.join(index.to_string()), &place, share).or_internal(what)?;
            places.push(place);
        }
        touch(&from);
        Ok(places)
    })
    .await?;
    for place in folders {
        cover(build, stores.transform, &install.root, &place)?;
    }
    Ok(())
}

/// Makes a `node_modules` folder read-only for the build, but for what tools
/// must write in those of the app and of its workspace. Without a sandbox the
/// files' own rights have to do.
fn cover(build: &mut Build, transform: &TransformCache, top: &Path, place: &Path) -> Result<()> {
    let walled = build.cell.level() != SandboxLevel::None;
    if walled {
        build.cell.remount(place, Access::ReadOnly);
    }
    let owner = place.parent();
    let of_app = owner == Some(build.plan.root.as_path());
    if !of_app && owner != Some(top) {
        return Ok(());
    }
    for name in SCRATCH.into_iter().chain((!of_app).then_some(".cache")) {
        let scratch = place.join(name);
        make_dir(&scratch)?;
        if walled {
            build.cell.remount(&scratch, Access::ReadWrite);
        }
    }
    if of_app {
        let cache = place.join(".cache");
        make_dir(&cache)?;
        build
            .cell
            .graft(&transform.modules(), &cache)
            .or_internal("lend the modules' cache")?;
    }
    Ok(())
}

/// Marks the set as used, for the cleanup of the least recently used.
fn touch(set: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let _ = utimensat(CWD, set.join("contents.json"), &times, AtFlags::empty());
}

/// The folder of the installed package `name`, as node finds it from the app's
/// folder.
#[must_use]
pub fn package_dir(tree: &Path, from: &Path, name: &str) -> Option<PathBuf> {
    from.ancestors()
        .take_while(|dir| dir.starts_with(tree))
        .map(|dir| dir.join("node_modules").join(name))
        .find(|dir| tree::is_dir(tree, dir))
}

/// Sets that were being filled when the process ended.
#[must_use]
pub fn half_filled(data: &DataDir) -> Vec<PathBuf> {
    fs::read_dir(data.dependency_cache())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with(FILLING))
        })
        .map(|entry| entry.path())
        .collect()
}
