//! Web projects: the package script that builds them, and the folder it
//! writes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::deps::{Manager, toolchain};
use super::detect::Plan;
use super::product::{DIST, Product};
use super::sandbox::Command;
use super::tree;
use super::workbench::Build;
use crate::error::{Code, Error, Result};

/// Where the usual tools write. `public` is last: for many it is a source.
const FOLDERS: [&str; 9] = [
    "dist",
    "build",
    "out",
    "www",
    "_site",
    ".output/public",
    ".vitepress/dist",
    "storybook-static",
    "public",
];

pub async fn bundle(build: &Build, manager: Option<Manager>) -> Result<Product> {
    let plan = &build.plan;
    let script = plan.script_name();
    let manifest = plan.manifest.as_ref();
    if manifest
        .and_then(|manifest| manifest.script(script))
        .is_none()
    {
        return Err(Error::new(
            Code::InvalidProjectStructure,
            format!(
                "the package.json in {} has no `{script}` script: add it, or name another with \
                 `build_script` in the project's settings",
                plan.shown_root()
            ),
        ));
    }
    toolchain(build)?;
    let before = seen(plan);
    let manager = manager.unwrap_or(Manager::Npm);
    let command = Command::new(manager.as_str(), &plan.root)
        .args(["run", script])
        // Create React App and its like take every warning for an error when
        // they are told that they run in CI.
        .env("CI", "false");
    build.run_bundler(&command).await?;
    let folder = output_folder(plan, &before)?;
    let shown = folder.strip_prefix(&plan.root).unwrap_or(&folder);
    build
        .log
        .note(format!("the output folder is {}", shown.display()))
        .await;
    let mut product = Product::default();
    product.push_folder(&plan.tree, &folder, DIST, |name| {
        name == ".git" || name == "node_modules"
    })?;
    Ok(product)
}

type Seen = HashMap<PathBuf, SystemTime>;

fn index_time(plan: &Plan, dir: &Path) -> Option<SystemTime> {
    let file = dir.join("index.html");
    tree::is_file(&plan.tree, &file)
        .then(|| file.metadata().ok()?.modified().ok())
        .flatten()
}

/// The pages that the checkout has already: an output folder that was
/// committed once must not pass for what this build has made.
fn seen(plan: &Plan) -> Seen {
    candidates(plan)
        .into_iter()
        .filter_map(|dir| {
            let time = index_time(plan, &dir)?;
            Some((dir, time))
        })
        .collect()
}

fn candidates(plan: &Plan) -> Vec<PathBuf> {
    if let Some(dir) = &plan.output_dir {
        return vec![plan.root.join(dir)];
    }
    let mut dirs: Vec<PathBuf> = FOLDERS.iter().map(|dir| plan.root.join(dir)).collect();
    // Angular writes `dist/<project>/browser`.
    let dist = plan.root.join(DIST);
    if tree::is_dir(&plan.tree, &dist) {
        let mut below = tree::folders(&dist, |name| name == "node_modules");
        below.retain(|dir| {
            let depth = dir
                .strip_prefix(&dist)
                .map_or(0, |d| d.components().count());
            (1..=2).contains(&depth)
        });
        dirs.extend(below);
    }
    dirs
}

fn output_folder(plan: &Plan, before: &Seen) -> Result<PathBuf> {
    let found: Vec<PathBuf> = candidates(plan)
        .into_iter()
        .filter(|dir| index_time(plan, dir).is_some())
        .collect();
    let written = found
        .iter()
        .find(|dir| before.get(*dir).copied() != index_time(plan, dir));
    if let Some(dir) = written.or_else(|| found.first()) {
        return Ok(dir.clone());
    }
    let looked = match &plan.output_dir {
        Some(dir) => format!("`{}`", dir.display()),
        None => FOLDERS.join(", "),
    };
    Err(Error::new(
        Code::InvalidProjectStructure,
        format!(
            "the build script has ended well, and no output folder with an index.html was found: \
             looked for {looked}; set `output_dir` in the project's settings"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::detect::detect;
    use crate::domain::preview::Platform;
    use crate::domain::project::ProjectConfig;

    fn plan(dir: &Path, output_dir: Option<&str>) -> Plan {
        let manifest = r#"{"scripts": {"build": "x"}}"#;
        std::fs::write(dir.join("package.json"), manifest).unwrap();
        let settings = ProjectConfig {
            output_dir: output_dir.map(str::to_owned),
            ..ProjectConfig::default()
        };
        detect(dir, &settings, Platform::Web).unwrap()
    }

    fn page(dir: &Path, folder: &str) {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
        std::fs::write(dir.join(folder).join("index.html"), "x").unwrap();
    }

    #[test]
    fn the_folder_that_was_written_wins_over_one_that_was_committed() {
        let dir = tempfile::tempdir().unwrap();
        page(dir.path(), "dist");
        let plan = plan(dir.path(), None);
        let before = seen(&plan);
        page(dir.path(), "out");
        assert_eq!(
            output_folder(&plan, &before).unwrap(),
            dir.path().join("out")
        );
    }

    #[test]
    fn folders_below_dist_are_found_and_nothing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(dir.path(), None);
        let error = output_folder(&plan, &Seen::new()).unwrap_err();
        assert_eq!(error.code, Code::InvalidProjectStructure);
        assert!(error.message.contains("output_dir"), "{}", error.message);
        page(dir.path(), "dist/app/browser");
        assert_eq!(
            output_folder(&plan, &Seen::new()).unwrap(),
            dir.path().join("dist/app/browser")
        );
    }

    #[test]
    fn a_configured_folder_is_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        page(dir.path(), "dist");
        let plan = plan(dir.path(), Some("site"));
        assert!(output_folder(&plan, &Seen::new()).is_err());
    }
}
