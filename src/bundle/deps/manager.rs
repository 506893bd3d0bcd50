//! Which package manager a project uses, in which version, and how it is asked
//! to install exactly what the lockfile says.

use std::path::{Path, PathBuf};

use super::tools::Tool;
use crate::bundle::detect::{Manifest, Plan};
use crate::bundle::tree;
use crate::error::Result;

/// The package managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    Npm,
    Pnpm,
    YarnClassic,
    /// Yarn 2 and later.
    YarnBerry,
    Bun,
}

/// The lockfiles, the most particular manager first: a `package-lock.json` is
/// often left over from before another manager was chosen. Of npm's own two
/// the first here wins there, too.
pub(super) const LOCKFILES: [(&str, Manager); 6] = [
    ("bun.lock", Manager::Bun),
    ("bun.lockb", Manager::Bun),
    ("pnpm-lock.yaml", Manager::Pnpm),
    ("yarn.lock", Manager::YarnBerry),
    ("npm-shrinkwrap.json", Manager::Npm),
    ("package-lock.json", Manager::Npm),
];

/// How a project's dependencies are installed.
#[derive(Clone, Debug)]
pub struct Install {
    pub manager: Manager,
    /// The folder with the lockfile: the project's, or that of the workspace
    /// it is a part of.
    pub root: PathBuf,
    pub lockfile: Option<PathBuf>,
    /// The major version that `packageManager` asks for.
    wanted_major: Option<u32>,
}

impl Manager {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Manager::Npm => "npm",
            Manager::Pnpm => "pnpm",
            Manager::YarnClassic | Manager::YarnBerry => "yarn",
            Manager::Bun => "bun",
        }
    }

    /// Whether it compares what it takes from its download cache with what the
    /// lockfile says. npm finds packages there by their digests and verifies each
    /// as it reads. pnpm believes its store's files by their times; Yarn 1 and Bun
    /// look for names and versions, and a digest that was noted beside them at
    /// most; later Yarns compare only where the lockfile has a checksum.
    #[must_use]
    pub const fn verifies_downloads(self) -> bool {
        matches!(self, Manager::Npm)
    }
}

impl Install {
    /// Looks from the app's folder up to the top of the tree.
    pub fn find(plan: &Plan) -> Result<Install> {
        let tree = plan.tree.as_path();
        let folders: Vec<&Path> = plan
            .root
            .ancestors()
            .take_while(|dir| dir.starts_with(tree))
            .collect();
        let named = named_manager(tree, &folders)?;
        for dir in &folders {
            let here: Vec<_> = LOCKFILES
                .into_iter()
                .filter(|(file, _)| tree::is_file(tree, &dir.join(file)))
                .collect();
            let asked = |manager: Manager| {
                named
                    .as_ref()
                    .is_some_and(|(name, _)| name == manager.as_str())
            };
            let chosen = here
                .iter()
                .find(|(_, manager)| asked(*manager))
                .or_else(|| here.first());
            if let Some((file, manager)) = chosen {
                let wanted_major = named
                    .as_ref()
                    .filter(|_| asked(*manager))
                    .and_then(|(_, major)| *major);
                return Ok(with_lockfile(tree, dir, file, *manager, wanted_major));
            }
        }
        Ok(without_lockfile(plan, &folders, named))
    }

    /// The tool to fetch; `None` for npm, which comes with node.
    #[must_use]
    pub fn tool(&self, node_major: u32) -> Option<Tool> {
        let lock = || {
            let path = self.lockfile.as_deref()?;
            String::from_utf8(tree::read(&self.root, path, tree::LARGE).ok()??).ok()
        };
        match self.manager {
            Manager::Npm => None,
            Manager::Pnpm => {
                let major = self
                    .wanted_major
                    .or_else(|| pnpm_major(&lock()?))
                    .unwrap_or(10);
                Some(Tool::pnpm(major, node_major))
            }
            Manager::YarnClassic => Some(Tool::yarn_classic()),
            Manager::YarnBerry => {
                // It takes a lockfile of an older format for one that must
                // change, and refuses: the format decides, not the manifest.
                let format = lock().and_then(|text| berry_format(&text));
                let wanted = self.wanted_major.filter(|major| *major <= 3);
                Some(Tool::yarn_berry(
                    format.or(wanted.map(|_| 6)).unwrap_or(u32::MAX),
                ))
            }
            Manager::Bun => Some(Tool::bun()),
        }
    }

    /// The words that install what the lockfile says and nothing else.
    #[must_use]
    pub fn words(&self, scripts: bool) -> Vec<&'static str> {
        let frozen = self.lockfile.is_some();
        let mut words = match (self.manager, frozen) {
            (Manager::Npm, true) => vec!["npm", "ci", "--prefer-offline"],
            (Manager::Npm, false) => vec!["npm", "install", "--no-package-lock"],
            (Manager::Pnpm, true) => {
                vec!["pnpm", "install", "--frozen-lockfile", "--prefer-offline"]
            }
            (Manager::Pnpm, false) => vec!["pnpm", "install", "--no-frozen-lockfile"],
            (Manager::YarnClassic, true) => {
                vec!["yarn", "install", "--non-interactive", "--frozen-lockfile"]
            }
            (Manager::YarnClassic, false) => vec!["yarn", "install", "--non-interactive"],
            (Manager::YarnBerry, true) => vec!["yarn", "install", "--immutable"],
            (Manager::YarnBerry, false) => vec!["yarn", "install", "--no-immutable"],
            (Manager::Bun, true) => {
                vec!["bun", "install", "--backend=copyfile", "--frozen-lockfile"]
            }
            (Manager::Bun, false) => vec!["bun", "install", "--backend=copyfile"],
        };
        if !scripts {
            words.push(match self.manager {
                Manager::YarnBerry => "--mode=skip-build",
                _ => "--ignore-scripts",
            });
        }
        words
    }
}

/// `packageManager` of the nearest manifest that has it: the name and, if it
/// reads as one, the major version.
fn named_manager(tree: &Path, folders: &[&Path]) -> Result<Option<(String, Option<u32>)>> {
    for dir in folders {
        let Some(manifest) = Manifest::read(tree, dir)? else {
            continue;
        };
        if let Some(text) = manifest.text("packageManager") {
            let (name, version) = text.split_once('@').unwrap_or((text, ""));
            let major = version.split('.').next().unwrap_or_default();
            return Ok(Some((name.to_owned(), major.parse().ok())));
        }
    }
    Ok(None)
}

fn with_lockfile(
    tree: &Path,
    dir: &Path,
    file: &str,
    manager: Manager,
    wanted_major: Option<u32>,
) -> Install {
    let lockfile = dir.join(file);
    let manager = match manager {
        Manager::YarnBerry if is_classic(tree, &lockfile) => Manager::YarnClassic,
        other => other,
    };
    Install {
        manager,
        root: dir.to_owned(),
        lockfile: Some(lockfile),
        wanted_major,
    }
}

fn without_lockfile(
    plan: &Plan,
    folders: &[&Path],
    named: Option<(String, Option<u32>)>,
) -> Install {
    let workspace = folders
        .iter()
        .copied()
        .find(|dir| is_workspace(&plan.tree, dir));
    let (name, wanted_major) = named.unwrap_or_default();
    let manager = match (name.as_str(), wanted_major) {
        ("pnpm", _) => Manager::Pnpm,
        ("yarn", Some(1)) => Manager::YarnClassic,
        ("yarn", _) => Manager::YarnBerry,
        ("bun", _) => Manager::Bun,
        _ => Manager::Npm,
    };
    Install {
        manager,
        root: workspace.unwrap_or(&plan.root).to_owned(),
        lockfile: None,
        wanted_major,
    }
}

/// Whether `dir` is the top of a workspace.
pub(super) fn is_workspace(tree: &Path, dir: &Path) -> bool {
    tree::is_file(tree, &dir.join("pnpm-workspace.yaml"))
        || Manifest::read(tree, dir)
            .is_ok_and(|manifest| manifest.is_some_and(|m| m.is_workspace()))
}

fn is_classic(tree: &Path, lockfile: &Path) -> bool {
    tree::read(tree, lockfile, tree::LARGE)
        .ok()
        .flatten()
        .is_some_and(|bytes| !String::from_utf8_lossy(&bytes).contains("__metadata:"))
}

/// By the lockfile's format; each is written by the majors named here.
fn pnpm_major(lockfile: &str) -> Option<u32> {
    let version = lockfile
        .lines()
        .find_map(|line| line.strip_prefix("lockfileVersion:"))?
        .trim()
        .trim_matches(['\'', '"']);
    match version.split('.').next()? {
        "5" => Some(7),
        "6" => Some(8),
        _ => Some(10),
    }
}

fn berry_format(lockfile: &str) -> Option<u32> {
    let after = lockfile.split_once("__metadata:")?.1;
    let version = after
        .lines()
        .find_map(|line| line.trim().strip_prefix("version:"))?;
    version.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::detect::detect;
    use crate::domain::preview::Platform;
    use crate::domain::project::{ProjectConfig, ProjectKind};

    fn install(files: &[(&str, &str)], root: &str) -> (Install, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let settings = ProjectConfig {
            kind: Some(ProjectKind::Web),
            root: Some(root.to_owned()),
            ..ProjectConfig::default()
        };
        let plan = detect(dir.path(), &settings, Platform::Web).unwrap();
        let install = Install::find(&plan).unwrap();
        let root = install.root.strip_prefix(dir.path()).unwrap().to_owned();
        (install, root)
    }

    fn manager(files: &[(&str, &str)]) -> Manager {
        install(files, ".").0.manager
    }

    #[test]
    fn the_lockfile_names_the_manager() {
        assert_eq!(manager(&[("package-lock.json", "{}")]), Manager::Npm);
        assert_eq!(manager(&[("pnpm-lock.yaml", "")]), Manager::Pnpm);
        assert_eq!(
            manager(&[("yarn.lock", "# yarn lockfile v1\n")]),
            Manager::YarnClassic
        );
        assert_eq!(
            manager(&[("yarn.lock", "__metadata:\n  version: 8\n")]),
            Manager::YarnBerry
        );
        assert_eq!(manager(&[("bun.lock", "{}")]), Manager::Bun);
        assert_eq!(manager(&[("package.json", "{}")]), Manager::Npm);
    }

    #[test]
    fn of_two_lockfiles_the_manifest_decides_else_the_more_particular() {
        let both = [("package-lock.json", "{}"), ("pnpm-lock.yaml", "")];
        assert_eq!(manager(&both), Manager::Pnpm);
        let named = [
            both[0],
            both[1],
            ("package.json", r#"{"packageManager": "npm@10.1.0"}"#),
        ];
        assert_eq!(manager(&named), Manager::Npm);
    }

    #[test]
    fn an_app_in_a_workspace_is_installed_from_the_top() {
        let files = [
            ("package.json", r#"{"workspaces": ["apps/*"]}"#),
            ("package-lock.json", "{}"),
            ("apps/site/package.json", "{}"),
        ];
        let (install, root) = install(&files, "apps/site");
        assert_eq!(install.manager, Manager::Npm);
        assert_eq!(root, Path::new(""));
    }

    #[test]
    fn the_version_follows_the_lockfiles_format() {
        assert_eq!(pnpm_major("lockfileVersion: '9.0'\n"), Some(10));
        assert_eq!(pnpm_major("lockfileVersion: '6.0'\n"), Some(8));
        assert_eq!(pnpm_major("lockfileVersion: 5.4\n"), Some(7));
        assert_eq!(berry_format("__metadata:\n  version: 8\n"), Some(8));
        assert_eq!(Tool::yarn_berry(6).spec(), "@yarnpkg/cli-dist@3.8.7");
        assert_eq!(Tool::yarn_berry(8).spec(), "@yarnpkg/cli-dist@4.13.0");
    }

    #[test]
    fn install_scripts_are_off_unless_allowed() {
        for manager in [
            Manager::Npm,
            Manager::Pnpm,
            Manager::YarnClassic,
            Manager::YarnBerry,
            Manager::Bun,
        ] {
            let install = Install {
                manager,
                root: PathBuf::new(),
                lockfile: Some(PathBuf::new()),
                wanted_major: None,
            };
            let off = install.words(false);
            assert!(
                off.contains(&"--ignore-scripts") || off.contains(&"--mode=skip-build"),
                "{off:?}"
            );
            assert_eq!(install.words(true).len(), off.len() - 1);
        }
    }
}
