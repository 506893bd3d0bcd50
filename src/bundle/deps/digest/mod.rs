//! The digest that names a set of installed dependencies: everything that
//! decides what an install gives, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use ring::digest::{Context as Digest, SHA256};
use serde_json::{Map, Value};

use super::manager::{Install, LOCKFILES, Manager};
use super::manifests::Manifests;
use super::origins;
use crate::bundle::detect::{Manifest, Plan};
use crate::bundle::stop::Stop;
use crate::bundle::{npmrc, tree};
use crate::domain::ProjectId;
use crate::error::Result;

/// Changes when the layout of the cache does.
const FORMAT: &str = "dependencies 2";

/// The parts of a manifest that no install looks at. Managers have ever more
/// settings of their own in there, so all other parts count.
const HARMLESS_KEYS: [&str; 27] = [
    "author",
    "babel",
    "browser",
    "browserslist",
    "bugs",
    "contributors",
    "description",
    "eslintConfig",
    "expo",
    "exports",
    "funding",
    "homepage",
    "jest",
    "keywords",
    "license",
    "lint-staged",
    "main",
    "module",
    "postcss",
    "prettier",
    "react-native",
    "repository",
    "sideEffects",
    "stylelint",
    "type",
    "types",
    "typings",
];

/// The configuration of package managers, beside the lockfile.
const SETTINGS: [&str; 8] = [
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    "bunfig.toml",
    "pnpm-workspace.yaml",
    ".pnpmfile.cjs",
    ".pnpmfile.mjs",
    "pnpmfile.js",
];

/// Files with variables that Bun and later Yarns read by themselves.
const VARIABLES: [&str; 8] = [
    ".env",
    ".env.local",
    ".env.development",
    ".env.development.local",
    ".env.production",
    ".env.production.local",
    ".env.test",
    ".env.yarn",
];

/// Folders whose files are a part of the install.
const FOLDERS: [&str; 3] = ["patches", ".yarn/patches", ".yarn/plugins"];

/// What of an `.npmrc` changes only how the same packages are laid out.
const HARMLESS_NPMRC: [&str; 13] = [
    "audit",
    "auto-install-peers",
    "engine-strict",
    "fund",
    "legacy-peer-deps",
    "loglevel",
    "node-linker",
    "package-lock",
    "prefer-offline",
    "public-hoist-pattern[]",
    "save-exact",
    "shamefully-hoist",
    "strict-peer-dependencies",
];

/// What of the toolchain goes into the digest.
pub(super) struct Toolset<'a> {
    pub(super) node_version: &'a str,
    /// Such as `npm@11.19.1`.
    pub(super) manager: &'a str,
    /// Installed paths differ by it.
    pub(super) level: &'a str,
}

/// The dependencies' name, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// 64 hex digits.
    pub(super) digest: String,
    /// `None`: shared by every project with the same digest.
    pub(super) owner: Option<ProjectId>,
}

/// What the name is made of.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) plan: &'a Plan,
    pub(super) install: &'a Install,
    pub(super) manifests: &'a Manifests,
    pub(super) toolset: &'a Toolset<'a>,
}

impl Subject<'_> {
    /// Reads all of it. Blocking.
    pub(super) fn key(self, project: ProjectId, stop: &Stop) -> Result<Key> {
        let Self {
            plan,
            install,
            manifests,
            toolset,
        } = self;
        let owner = self.is_the_projects_own().then_some(project);
        let mut parts = Parts {
            digest: Digest::new(&SHA256),
            tree: &plan.tree,
            base: &install.root,
            stop,
        };
        for text in [
            FORMAT,
            std::env::consts::ARCH,
            toolset.node_version,
            toolset.manager,
            toolset.level,
            if plan.install_scripts { "scripts" } else { "" },
            &owner.map(|id| id.to_string()).unwrap_or_default(),
        ] {
            parts.add("", text.as_bytes());
        }
        for (dir, manifest) in manifests {
            let shown = dir.strip_prefix(&install.root).unwrap_or(dir);
            let relevant = relevant(manifest.json(), plan.install_scripts);
            parts.add(&shown.to_string_lossy(), relevant.to_string().as_bytes());
            for local in local_dependencies(manifest) {
                parts.add_all(&dir.join(local))?;
            }
            // Those of the folder itself are laid out for nobody.
            for program in programs(manifest) {
                let path = dir.join(program);
                if *dir != install.root && tree::is_file(&plan.tree, &path) {
                    parts.add_all(&path)?;
                }
            }
        }
        let settings = up_to_the_top(plan, install)
            .flat_map(|dir| SETTINGS.map(|name| dir.join(name)))
            .collect::<Vec<_>>();
        let beside = LOCKFILES.map(|(name, _)| install.root.join(name));
        let variables = match install.manager {
            Manager::Bun | Manager::YarnBerry => {
                VARIABLES.map(|name| install.root.join(name)).to_vec()
            }
            Manager::Npm | Manager::Pnpm | Manager::YarnClassic => Vec::new(),
        };
        let folders = FOLDERS.map(|name| install.root.join(name));
        let paths = beside.iter().chain(&variables).chain(&settings);
        for path in paths.chain(&folders) {
            parts.add_all(path)?;
        }
        Ok(Key {
            digest: data_encoding::HEXLOWER.encode(parts.digest.finish().as_ref()),
            owner,
        })
    }

    /// Whether nobody else may have what is installed: where installing runs code
    /// of the project or asks other registries than the operator's, and wherever
    /// the manager takes its downloads on trust. There what one project has led it
    /// to download would be in what others get, and a lockfile, a manifest or a
    /// setting that means more than we know of is enough for that.
    fn is_the_projects_own(self) -> bool {
        let Self { plan, install, .. } = self;
        plan.install_scripts
            || !install.manager.verifies_downloads()
            || up_to_the_top(plan, install).any(|dir| configures_code(&plan.tree, dir))
            || origins::any_is_foreign(plan, install, self.manifests)
    }
}

/// The folder of the lockfile and those above it in the tree: managers look for
/// their configuration, and some for the workspace, all the way up.
fn up_to_the_top<'a>(plan: &'a Plan, install: &'a Install) -> impl Iterator<Item = &'a Path> {
    let tree = plan.tree.as_path();
    let dirs = install.root.ancestors();
    dirs.take_while(move |dir| dir.starts_with(tree))
}

/// Whether `dir` has settings of npm's that can name code or another registry.
fn configures_code(tree: &Path, dir: &Path) -> bool {
    // What is too large to be read may say anything.
    let Ok(bytes) = tree::read(tree, &dir.join(".npmrc"), tree::SMALL) else {
        return true;
    };
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    text.is_some_and(|text| {
        npmrc::parse(&text)
            .iter()
            .any(|(key, _)| !HARMLESS_NPMRC.contains(&key.as_str()))
    })
}

fn relevant(manifest: &Value, scripts: bool) -> Value {
    let counts = |key: &str| !HARMLESS_KEYS.contains(&key) && (scripts || key != "scripts");
    let kept: Map<String, Value> = manifest
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| counts(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Value::Object(kept)
}

/// Dependencies that are files or folders of the tree itself.
fn local_dependencies(manifest: &Manifest) -> Vec<PathBuf> {
    manifest
        .specifiers()
        .filter_map(|(_, specifier)| {
            ["file:", "link:", "portal:"]
                .into_iter()
                .find_map(|scheme| specifier.strip_prefix(scheme))
        })
        .map(PathBuf::from)
        .collect()
}

/// The programs of a package: managers look into them before they lay them out.
fn programs(manifest: &Manifest) -> Vec<PathBuf> {
    let files: Vec<&Value> = match manifest.json().get("bin") {
        Some(Value::Object(named)) => named.values().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let texts = files.into_iter().filter_map(Value::as_str);
    texts.map(PathBuf::from).collect()
}

struct Parts<'a> {
    digest: Digest,
    tree: &'a Path,
    /// What names are relative to.
    base: &'a Path,
    stop: &'a Stop,
}

impl Parts<'_> {
    /// Name and length stand before the bytes, so that no two sets of parts
    /// give the same stream.
    fn add(&mut self, name: &str, bytes: &[u8]) {
        for part in [name.as_bytes(), bytes] {
            self.digest.update(&(part.len() as u64).to_le_bytes());
            self.digest.update(part);
        }
    }

    /// A file, or every file of a folder; nothing when `path` is absent.
    fn add_all(&mut self, path: &Path) -> Result<()> {
        // A manifest may name the same folder as often as it likes.
        self.stop.check()?;
        if self.add_file(path)? || !tree::is_dir(self.tree, path) {
            return Ok(());
        }
        for dir in tree::folders(path, |name| name == "node_modules") {
            let mut files: Vec<PathBuf> = fs::read_dir(&dir)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
                .map(|entry| entry.path())
                .collect();
            files.sort();
            self.stop.check()?;
            for file in files {
                self.add_file(&file)?;
            }
        }
        Ok(())
    }

    /// Answers whether it is one.
    fn add_file(&mut self, path: &Path) -> Result<bool> {
        let Some((file, length)) = tree::open(self.tree, path) else {
            return Ok(false);
        };
        let shown = path.strip_prefix(self.base).unwrap_or(path);
        let shown = shown.to_string_lossy();
        self.digest.update(&(shown.len() as u64).to_le_bytes());
        self.digest.update(shown.as_bytes());
        tree::digest_into(&mut self.digest, file, length, self.stop)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
