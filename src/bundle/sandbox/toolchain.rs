//! Node and npm: found on the server's `PATH`, shown to builds read-only.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::on_path;

/// The JavaScript toolchain that every build uses.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The real executable, not a shim of a version manager.
    pub node: PathBuf,
    /// Such as `20.20.2`; a part of the dependency cache's digest.
    pub node_version: String,
    /// The folder of the npm package.
    pub npm: Option<PathBuf>,
    /// Empty without npm.
    pub npm_version: String,
}

impl Toolchain {
    /// Where node and npm lie; the version is not known yet, because asking
    /// for it takes as long as everything else of a start together.
    pub(super) fn locate() -> Option<Self> {
        let found = on_path("node")?.canonicalize().ok()?;
        let node = if is_program(&found) {
            found
        } else {
            // A version manager's shim is a script that starts another file:
            // only node itself knows which.
            let path = ask(&found, "process.execPath")?;
            Path::new(&path).canonicalize().ok()?
        };
        let npm = find_npm(&node);
        let npm_version = npm.as_deref().map(npm_version).unwrap_or_default();
        Some(Self {
            node,
            node_version: String::new(),
            npm,
            npm_version,
        })
    }

    /// The same with its version, by running it outside of any sandbox.
    pub(super) fn asked(mut self) -> Option<Self> {
        self.node_version = ask(&self.node, VERSION)?;
        Some(self)
    }

    /// The folders where node and npm are found by their names.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let npm = on_path("npm");
        let mut folders: Vec<PathBuf> = [Some(&self.node), npm.as_ref()]
            .into_iter()
            .filter_map(|program| program?.parent().map(Path::to_owned))
            .collect();
        folders.dedup();
        folders
    }

    /// The major version of node; 0 when it cannot be read.
    #[must_use]
    pub fn node_major(&self) -> u32 {
        let major = self.node_version.split('.').next().unwrap_or_default();
        major.parse().unwrap_or(0)
    }

    /// What must be bound into a sandbox that already has `/usr`, so that node
    /// and npm run at their own paths.
    pub(super) fn binds(&self) -> Vec<PathBuf> {
        let mut binds = Vec::new();
        for file in [Some(&self.node), self.npm.as_ref()].into_iter().flatten() {
            if file.starts_with("/usr") {
                continue;
            }
            let bind = installation(file).unwrap_or_else(|| file.clone());
            if !binds.contains(&bind) {
                binds.push(bind);
            }
        }
        binds
    }
}

/// The expression whose value is the version, without a `v`.
pub(super) const VERSION: &str = "process.versions.node";

fn ask(node: &Path, expression: &str) -> Option<String> {
    let answer = Command::new(node)
        .args(["-p", expression])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let text = text.trim();
    (answer.status.success() && !text.is_empty()).then(|| text.to_owned())
}

/// A binary, as opposed to a script.
fn is_program(path: &Path) -> bool {
    let mut start = [0; 2];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| start != *b"#!")
}

/// npm beside this node, else the one on the `PATH`.
fn find_npm(node: &Path) -> Option<PathBuf> {
    let beside = node
        .parent()
        .and_then(Path::parent)
        .map(|prefix| prefix.join("lib/node_modules/npm"));
    let on_path = || {
        let cli = on_path("npm")?.canonicalize().ok()?;
        (cli.file_name() == Some(OsStr::new("npm-cli.js")))
            .then(|| cli.parent()?.parent().map(Path::to_owned))
            .flatten()
    };
    beside
        .filter(|dir| dir.join("bin/npm-cli.js").is_file())
        .and_then(|dir| dir.canonicalize().ok())
        .or_else(on_path)
}

fn npm_version(package: &Path) -> String {
    std::fs::read(package.join("package.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
        .and_then(|json| json.get("version")?.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The installation that `file` belongs to (`<prefix>/bin/node`,
/// `<prefix>/lib/node_modules/npm`), with the libraries beside it. `None` when
/// that would show a build more than an installation: a home folder, say.
fn installation(file: &Path) -> Option<PathBuf> {
    let prefix = if file.ends_with("lib/node_modules/npm") {
        file.ancestors().nth(3)?
    } else {
        file.ancestors().nth(2)?
    };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let too_broad = prefix.components().count() < 3
        || home.is_some_and(|home| home.starts_with(prefix))
        || !prefix.join("lib").is_dir()
        || !prefix.join("bin").is_dir();
    (!too_broad).then(|| prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_programs_and_libraries_is_an_installation() {
        let prefix = tempfile::tempdir().unwrap();
        let bin = prefix.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        assert_eq!(installation(&bin.join("node")), None);
        std::fs::create_dir_all(prefix.path().join("lib")).unwrap();
        assert_eq!(
            installation(&bin.join("node")).as_deref(),
            Some(prefix.path())
        );
        assert_eq!(installation(Path::new("/opt/bin/node")), None);
    }

    #[test]
    fn what_lies_in_usr_needs_no_bind() {
        let toolchain = Toolchain {
            node: "/usr/bin/node".into(),
            node_version: "20.1.0".into(),
            npm: Some("/usr/lib/node_modules/npm".into()),
            npm_version: "10.0.0".into(),
        };
        assert!(toolchain.binds().is_empty());
        assert_eq!(toolchain.node_major(), 20);
    }
}
