//! What kind of project a checkout is, and what its build needs to know:
//! found from the files, said by its `hivesync.toml`, overridden by the
//! project's settings.

mod manifest;

use std::path::{Path, PathBuf};

pub use manifest::Manifest;

use crate::bundle::tree;
use crate::domain::preview::Platform;
use crate::domain::project::{ProjectConfig, ProjectKind};
use crate::error::{Code, Error, Result};

/// The file in a tree that says how it is built: the keys of
/// [`ProjectConfig`].
pub const CONFIG_FILE: &str = "hivesync.toml";

/// How a project is built.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: ProjectKind,
    pub platform: Platform,
    /// The checkout.
    pub tree: PathBuf,
    /// The app's folder, in the tree or the tree itself.
    pub root: PathBuf,
    pub manifest: Option<Manifest>,
    pub entry_file: Option<String>,
    pub build_script: Option<String>,
    pub output_dir: Option<PathBuf>,
    pub install_scripts: bool,
    /// What the owner should know, for the log.
    pub remarks: Vec<String>,
}

/// # Errors
/// `INVALID_PROJECT_STRUCTURE`, with what was looked for and where;
/// `UNSUPPORTED_PLATFORM`.
pub fn detect(tree: &Path, settings: &ProjectConfig, platform: Platform) -> Result<Plan> {
    let mut remarks = Vec::new();
    let config = merged(tree, settings, &mut remarks)?;
    let root = app_folder(tree, config.root.as_deref())?;
    let manifest = Manifest::read(tree, &root)?;
    let output_dir = config
        .output_dir
        .as_deref()
        .map(|dir| inner_path("output_dir", dir))
        .transpose()?;
    if let Some(entry) = &config.entry_file {
        inner_path("entry_file", entry)?;
    }
    let mut plan = Plan {
        kind: ProjectKind::Static,
        platform,
        tree: tree.to_owned(),
        root,
        manifest,
        entry_file: config.entry_file,
        build_script: config.build_script,
        output_dir,
        install_scripts: config.install_scripts,
        remarks,
    };
    plan.kind = match config.kind {
        Some(kind) => kind,
        None => plan.found_kind()?,
    };
    plan.check_platform()?;
    Ok(plan)
}

/// The tree's own file, overridden by the project's settings.
fn merged(
    tree: &Path,
    settings: &ProjectConfig,
    remarks: &mut Vec<String>,
) -> Result<ProjectConfig> {
    let Some(bytes) = tree::read(tree, &tree.join(CONFIG_FILE)) else {
        return Ok(settings.clone());
    };
    let text = String::from_utf8_lossy(&bytes);
    let file: ProjectConfig = toml::from_str(&text).map_err(|e| {
        Error::new(
            Code::InvalidProjectStructure,
            format!("{CONFIG_FILE} cannot be read: {}", e.message()),
        )
    })?;
    if file.install_scripts && !settings.install_scripts {
        // Installing reaches the network with the operator's credentials:
        // that is for the project's owner to allow, not for whoever commits.
        remarks.push(format!(
            "{CONFIG_FILE} asks for install_scripts, which only the project's settings can allow"
        ));
    }
    let own = settings.clone();
    Ok(ProjectConfig {
        kind: own.kind.or(file.kind),
        root: own.root.or(file.root),
        entry_file: own.entry_file.or(file.entry_file),
        build_script: own.build_script.or(file.build_script),
        output_dir: own.output_dir.or(file.output_dir),
        install_scripts: own.install_scripts,
    })
}

fn app_folder(tree: &Path, root: Option<&str>) -> Result<PathBuf> {
    let Some(root) = root else {
        return Ok(tree.to_owned());
    };
    let folder = tree.join(inner_path("root", root)?);
    match tree::within(tree, &folder) {
        Some(real) if real.is_dir() => Ok(folder),
        _ => Err(Error::new(
            Code::InvalidProjectStructure,
            format!(
                "the project's root is set to `{root}`, and this commit has no such folder: \
                 correct `root` in the project's settings or in {CONFIG_FILE}"
            ),
        )),
    }
}

fn inner_path(key: &str, text: &str) -> Result<PathBuf> {
    tree::relative(text).ok_or_else(|| {
        Error::new(
            Code::InvalidProjectStructure,
            format!("`{key}` is `{text}`; it must be a path inside the project, without `..`"),
        )
    })
}

impl Plan {
    fn found_kind(&self) -> Result<ProjectKind> {
        if let Some(manifest) = &self.manifest {
            if manifest.depends_on("expo") {
                return Ok(ProjectKind::Expo);
            }
            if manifest.depends_on("react-native") {
                return Ok(ProjectKind::ReactNative);
            }
            if manifest.script(self.script_name()).is_some() {
                return Ok(ProjectKind::Web);
            }
        }
        if self.static_folder().is_some() {
            return Ok(ProjectKind::Static);
        }
        Err(self.nothing_found())
    }

    /// The package script that builds a web project.
    #[must_use]
    pub fn script_name(&self) -> &str {
        self.build_script.as_deref().unwrap_or("build")
    }

    /// The folder of a static project that holds its `index.html`.
    #[must_use]
    pub fn static_folder(&self) -> Option<PathBuf> {
        let named = self.output_dir.iter().map(|dir| self.root.join(dir));
        let usual = ["", "public", "dist", "docs"]
            .into_iter()
            .filter(|_| self.output_dir.is_none())
            .map(|dir| self.root.join(dir));
        named
            .chain(usual)
            .find(|dir| tree::is_file(&self.tree, &dir.join("index.html")))
    }

    /// The app's folder as the owner names it.
    #[must_use]
    pub fn shown_root(&self) -> String {
        tree::shown(&self.tree, &self.root)
    }

    fn check_platform(&self) -> Result<()> {
        let refused = |reason: String| Err(Error::new(Code::UnsupportedPlatform, reason));
        match (self.kind, self.platform) {
            (ProjectKind::Static | ProjectKind::Web, Platform::Web)
            | (ProjectKind::Expo | ProjectKind::ReactNative, Platform::Ios | Platform::Android) => {
                Ok(())
            }
            (ProjectKind::Static | ProjectKind::Web, platform) => refused(format!(
                "this is a {} project: it can be previewed on web, not on {platform}; set `kind` \
                 if it is an expo or react-native project",
                self.kind.as_str()
            )),
            (ProjectKind::ReactNative, Platform::Web) => refused(
                "this is a react-native project: it can be previewed on ios and android; for web, \
                 set `kind = \"web\"` and the script that builds it"
                    .to_owned(),
            ),
            (ProjectKind::Expo, Platform::Web) => {
                let missing: Vec<&str> = ["react-native-web", "react-dom"]
                    .into_iter()
                    .filter(|package| {
                        !self
                            .manifest
                            .as_ref()
                            .is_some_and(|m| m.depends_on(package))
                    })
                    .collect();
                if missing.is_empty() {
                    return Ok(());
                }
                refused(format!(
                    "this expo project cannot be built for web: its package.json lacks {}; run \
                     `npx expo install react-dom react-native-web` and commit",
                    missing.join(" and ")
                ))
            }
        }
    }

    fn nothing_found(&self) -> Error {
        let script = self.script_name();
        let mut text = format!(
            "no project was found in {}: looked for a package.json that depends on expo or \
             react-native, a package.json with a `{script}` script, and an index.html (also in \
             public, dist and docs)",
            self.shown_root()
        );
        let elsewhere = self.candidates();
        if elsewhere.is_empty() {
            text.push_str("; set `kind`, `root` or `build_script` in the project's settings");
        } else {
            text.push_str("; set `root` in the project's settings to the app's folder, such as ");
            text.push_str(&elsewhere.join(" or "));
        }
        Error::new(Code::InvalidProjectStructure, text)
    }

    /// Folders not far below that look like a project.
    fn candidates(&self) -> Vec<String> {
        tree::folders(&self.root, |name| name == "node_modules")
            .into_iter()
            .filter_map(|dir| {
                let below = dir.strip_prefix(&self.root).ok()?;
                let depth = below.components().count();
                let looks = ["package.json", "index.html"]
                    .iter()
                    .any(|file| dir.join(file).is_file());
                ((1..=3).contains(&depth) && looks).then(|| {
                    let path = dir.strip_prefix(&self.tree).unwrap_or(below);
                    format!("`{}`", path.display())
                })
            })
            .take(3)
            .collect()
    }
}

#[cfg(test)]
mod tests;
