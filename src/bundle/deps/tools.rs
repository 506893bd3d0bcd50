//! The package managers that do not come with node: pinned versions, fetched
//! from the npm registry on first use and kept under `DATA_DIR/cache/tools`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Manager, Stores, downloads, lock};
use crate::bundle::registry::Gate;
use crate::bundle::sandbox::{Access, Cell, Command, Output};
use crate::bundle::workbench::Build;
use crate::data_dir::DataDir;
use crate::error::{Code, Context, Error, Result};

/// A tool in the version that we know to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    package: String,
    version: &'static str,
    /// The folder with its executable, inside the installation.
    bin: PathBuf,
}

impl Tool {
    fn new(package: &str, version: &'static str) -> Self {
        Self {
            package: package.to_owned(),
            version,
            bin: "node_modules/.bin".into(),
        }
    }

    /// The newest known release of `major` that this node can run.
    pub(super) fn pnpm(major: u32, node_major: u32) -> Self {
        let version = match major {
            0..=7 => "7.33.7",
            8 => "8.15.9",
            9 => "9.15.9",
            // 11 and later need node 22.13; 10 reads the same lockfiles.
            11.. if node_major > 22 => "11.28.10",
            _ => "10.34.9",
        };
        Self::new("pnpm", version)
    }

    pub(super) fn yarn_classic() -> Self {
        Self::new("yarn", "1.22.22")
    }

    /// The newest release that writes lockfiles of that format.
    pub(super) fn yarn_berry(format: u32) -> Self {
        let version = match format {
            0..=6 => "3.8.7",
            7 | 8 => "4.13.0",
            9 => "4.14.1",
            10.. => "4.18.1",
        };
        Self::new("@yarnpkg/cli-dist", version)
    }

    /// Bun's npm package fetches its binary in an install script; the binary
    /// has a package of its own for each platform.
    pub(super) fn bun() -> Self {
        let arch = match std::env::consts::ARCH {
            "aarch64" => "aarch64",
            _ => "x64",
        };
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            _ => "linux",
        };
        let musl = Path::new("/etc/alpine-release").exists();
        let libc = if musl { "-musl" } else { "" };
        let package = format!("@oven/bun-{os}-{arch}{libc}");
        Self {
            bin: Path::new("node_modules").join(&package).join("bin"),
            package,
            version: "1.4.5",
        }
    }

    /// `package@version`, as npm takes it and as the digest has it.
    #[must_use]
    pub fn spec(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }

    /// The folder with the executable, fetched if this is the first use.
    /// Several builds that need it wait for one fetch.
    pub async fn provide(&self, build: &Build, stores: Stores<'_>) -> Result<PathBuf> {
        let home = stores.data.tools().join(self.spec().replace('/', "+"));
        let held = lock::hold(&home, &build.cancel).await?;
        if !home.is_dir() {
            build
                .log
                .note(format!("fetching {} from the registry", self.spec()))
                .await;
            self.fetch(build, stores, &home).await?;
        }
        drop(held);
        Ok(home.join(&self.bin))
    }

    async fn fetch(&self, build: &Build, stores: Stores<'_>, home: &Path) -> Result<()> {
        // Its own folder: the project's .npmrc must have no say in this.
        let aside = build.bench.aside("tool")?;
        let mut cell = build.bench.bare_cell(build.cell.emptied());
        cell.mount(&aside, Path::new("/work/tool"), Access::ReadWrite);
        // No lockfile says what the tool is: it comes from the registry, not from
        // what an install has left.
        let downloads = build.bench.aside("tool-downloads")?;
        downloads::lend_from(&downloads, Manager::Npm, &mut cell)?;
        let mut installing = Build {
            cell,
            ..build.clone()
        };
        let gate = Gate::open_for(&mut installing, stores.registries, stores.npmrc).await?;
        fs::write(aside.join("package.json"), "{\"private\": true}\n")
            .or_internal("prepare a tool's folder")?;
        let command = Command::new("npm", &aside)
            .args(["install", "--no-package-lock", "--ignore-scripts"])
            .arg(self.spec());
        let result = installing
            .run(
                &command,
                Output::Log,
                Code::MissingDependencies,
                "the package manager itself could not be fetched: check that the server reaches \
                 the npm registry, or set BUILD_NPMRC to one that it reaches",
            )
            .await;
        drop(gate);
        Gate::take_back(&build.bench);
        result?;
        if !aside.join(&self.bin).is_dir() {
            return Err(Error::new(
                Code::MissingDependencies,
                format!(
                    "{} was fetched and holds no executable: the registry has another package \
                     under that name, so the operator must look at what BUILD_NPMRC names",
                    self.spec()
                ),
            ));
        }
        fs::create_dir_all(stores.data.tools())
            .and_then(|()| fs::rename(&aside, home))
            .or_internal("keep a fetched package manager")
    }
}

/// Puts the tool's folder on the `PATH` of a cell.
pub(super) fn lend(manager: Manager, bin: &Path, data: &DataDir, cell: &mut Cell) {
    cell.mount(&data.tools(), Path::new("/opt/tools"), Access::ReadOnly);
    cell.prepend_path(bin);
    // Managers look for the exact version that `packageManager` names and
    // fetch it; ours is the one that is used.
    let variables: &[(&str, &str)] = match manager {
        Manager::Npm | Manager::Bun => &[],
        Manager::Pnpm => &[
            ("npm_config_manage_package_manager_versions", "false"),
            ("npm_config_package_manager_strict", "false"),
        ],
        Manager::YarnClassic | Manager::YarnBerry => &[
            ("YARN_IGNORE_PATH", "1"),
            ("YARN_ENABLE_TELEMETRY", "0"),
            ("YARN_NODE_LINKER", "node-modules"),
        ],
    };
    for (name, value) in variables {
        cell.env(name, value);
    }
}
