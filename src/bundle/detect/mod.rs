//! What kind of project a checkout is, and what its build needs to know:
//! found from the files, said by its `hivesync.toml`, overridden by the
//! project's settings.

mod config_file;
mod early;
mod manifest;

use std::path::{Path, PathBuf};

use config_file::Merged;
pub use config_file::{CONFIG_FILE, unknown_keys};
pub use early::Early;
pub use manifest::Manifest;

use crate::bundle::tree;
use crate::domain::preview::Platform;
use crate::domain::project::{ProjectConfig, ProjectKind};
use crate::error::{Code, Error, Result};

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
    let merged = Merged::of(tree, settings)?;
    match plan(tree, merged.config, platform) {
        Ok(mut plan) => {
            plan.remarks = [merged.unknown, merged.remarks, plan.remarks].concat();
            Ok(plan)
        }
        Err(error) => Err(with_unknown(error, &merged.unknown)),
    }
}

/// A misspelt key may be all that is wrong.
fn with_unknown(error: Error, unknown: &[String]) -> Error {
    if unknown.is_empty() {
        return error;
    }
    let message = format!("{}; {}", error.message, unknown.join("; "));
    Error {
        message: message.into(),
        ..error
    }
}

/// The app's folder inside a tree of which at least [`CONFIG_FILE`] is there;
/// empty where none is named.
#[must_use]
pub fn app_folder_in(tree: &Path, settings: &ProjectConfig) -> PathBuf {
    let root = Merged::of(tree, settings)
        .ok()
        .and_then(|merged| merged.config.root);
    root.and_then(|root| tree::relative(&root))
        .unwrap_or_default()
}

fn plan(tree: &Path, config: ProjectConfig, platform: Platform) -> Result<Plan> {
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
        remarks: Vec::new(),
    };
    plan.kind = match config.kind {
        Some(kind) => kind,
        None => plan.found_kind()?,
    };
    plan.check_platform()?;
    Ok(plan)
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
    fn found_kind(&mut self) -> Result<ProjectKind> {
        let script = self.script_name();
        if let Some(manifest) = &self.manifest {
            if let Some(kind) = self.kind_of_manifest() {
                return Ok(kind);
            }
            if self.build_script.is_some() || manifest.web_tool().is_some() {
                // Its sources are no site: whoever opened them would see nothing.
                return Err(self.no_build_script(manifest));
            }
        }
        let Some(folder) = self.static_folder() else {
            return Err(self.nothing_found());
        };
        if self.manifest.is_some() {
            let remark = format!(
                "package.json has no `{script}` script: the files of {} are published as they are",
                tree::shown(&self.tree, &folder)
            );
            self.remarks.push(remark);
        }
        Ok(ProjectKind::Static)
    }

    /// What the manifest alone says.
    fn kind_of_manifest(&self) -> Option<ProjectKind> {
        let manifest = self.manifest.as_ref()?;
        if manifest.depends_on("expo") {
            Some(ProjectKind::Expo)
        } else if manifest.depends_on("react-native") {
            Some(ProjectKind::ReactNative)
        } else {
            manifest
                .script(self.script_name())
                .map(|_| ProjectKind::Web)
        }
    }

    /// The package script that builds a web project.
    #[must_use]
    pub fn script_name(&self) -> &str {
        self.build_script.as_deref().unwrap_or("build")
    }

    /// The folder of a static project that holds its `index.html`. Beside a
    /// `package.json` a `dist` or `docs` is what somebody has built some time
    /// ago, or says something about the project: it is shown only by name.
    #[must_use]
    pub fn static_folder(&self) -> Option<PathBuf> {
        let named = self.output_dir.iter().map(|dir| self.root.join(dir));
        let usual: &[&str] = match self.manifest {
            Some(_) => &["", "public"],
            None => &["", "public", "dist", "docs"],
        };
        let usual = usual
            .iter()
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
                "this is {} project: it can be previewed on web, not on {platform}; set `kind` \
                 if it is an expo or react-native project",
                self.kind.with_article()
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

    /// The manifest is one of a project that must be built, and does not say
    /// how.
    fn no_build_script(&self, manifest: &Manifest) -> Error {
        let script = self.script_name();
        let add = match manifest.web_tool() {
            Some((tool, command)) => {
                format!("it uses {tool}, so add `\"scripts\": {{\"{script}\": \"{command}\"}}`")
            }
            None => "add it".to_owned(),
        };
        let others = manifest.scripts_like_build();
        let named = if others.is_empty() {
            String::new()
        } else {
            format!(" (it has {})", others.join(", "))
        };
        Error::new(
            Code::InvalidProjectStructure,
            format!(
                "the package.json in {} has no `{script}` script: {add}, or name the script that \
                 builds it with `build_script`{named}; `kind = \"static\"` publishes the files as \
                 they are",
                self.shown_root()
            ),
        )
    }

    fn nothing_found(&self) -> Error {
        let script = self.script_name();
        let mut text = match self.manifest {
            Some(_) => format!(
                "nothing to preview was found in {}: its package.json depends on neither expo nor \
                 react-native and has no `{script}` script, and there is no index.html, here or in \
                 public; add the script that builds the site",
                self.shown_root()
            ),
            None => format!(
                "no project was found in {}: looked for a package.json that depends on expo or \
                 react-native, a package.json with a `{script}` script, and an index.html (also in \
                 public, dist and docs)",
                self.shown_root()
            ),
        };
        let elsewhere = self.candidates();
        if let Some((first, others)) = elsewhere.split_first() {
            let line = format!(
                "; if the app lies elsewhere, write `root = \"{first}\"` into {CONFIG_FILE} in the top \
                 folder, or set `root` in the project's settings"
            );
            text.push_str(&line);
            if !others.is_empty() {
                let others: Vec<_> = others.iter().map(|path| format!("`{path}`")).collect();
                let more = format!(" (there is also {})", others.join(" and "));
                text.push_str(&more);
            }
        } else if self.manifest.is_some() {
            text.push_str(", or set `kind`, `root`, `build_script` or `output_dir`");
        } else {
            text.push_str("; set `kind`, `root` or `build_script` in the project's settings");
        }
        Error::new(Code::InvalidProjectStructure, text)
    }

    /// Folders not far below in which there is something to build.
    fn candidates(&self) -> Vec<String> {
        tree::folders(&self.root, |name| name == "node_modules")
            .into_iter()
            .filter_map(|dir| {
                let below = dir.strip_prefix(&self.root).ok()?;
                let depth = below.components().count();
                let path = dir.strip_prefix(&self.tree).unwrap_or(below);
                ((1..=3).contains(&depth) && self.is_app(&dir)).then(|| {
                    path.to_string_lossy()
                        .replace(|c: char| c.is_control() || c == '"', "")
                })
            })
            .take(3)
            .collect()
    }

    /// Whether `dir` holds an app, and no library that apps share.
    fn is_app(&self, dir: &Path) -> bool {
        match Manifest::read(&self.tree, dir) {
            Ok(Some(manifest)) => {
                let page = tree::is_file(&self.tree, &dir.join("index.html"));
                // A library has React Native among its development dependencies.
                let native = ["expo", "react-native"].iter().any(|p| manifest.runs_on(p));
                let web = manifest.script(self.script_name()).is_some()
                    && (page || manifest.web_tool().is_some());
                native || web || page
            }
            _ => tree::is_file(&self.tree, &dir.join("index.html")),
        }
    }
}

#[cfg(test)]
mod tests;
