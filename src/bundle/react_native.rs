//! React Native projects without Expo: `react-native bundle`.

use std::path::Path;

use super::deps::package_dir;
use super::detect::{CONFIG_FILE, Plan};
use super::product::{MAIN, Product};
use super::sandbox::Output;
use super::tree;
use super::workbench::{Build, make_dir};
use crate::domain::preview::Platform;
use crate::error::{Code, Error, Result};

/// The folder of the bundle's assets, in the output and in the zip.
const ASSETS: &str = "assets";

/// Bundles the app for the build's platform.
///
/// # Errors
/// `INVALID_PROJECT_STRUCTURE`, `MISSING_DEPENDENCIES`, `PREVIEW_BUILD_FAILED`,
/// `PREVIEW_TIMEOUT`, `CANCELLED`.
pub async fn bundle(build: &Build) -> Result<Product> {
    let plan = &build.plan;
    let entry = entry_file(plan)?;
    let package = package_dir(build, "react-native").ok_or_else(|| {
        Error::new(
            Code::MissingDependencies,
            "the `react-native` package is not among the installed dependencies: add it to \
             package.json, install, and commit the lockfile",
        )
    })?;
    let main = build.bench.out.join(MAIN);
    let assets = build.bench.out.join(ASSETS);
    // For iOS the command makes the `assets` folder itself, because the app
    // looks for it beside the bundle; for Android it writes `drawable-*`.
    let destination = match plan.platform {
        Platform::Ios => &build.bench.out,
        _ => &assets,
    };
    make_dir(destination)?;
    let command = build
        .node(&package.join("cli.js"))
        .args(["bundle", "--platform", plan.platform.as_str()])
        .args(["--dev", "false", "--entry-file", &entry])
        .arg("--bundle-output")
        .arg(build.cell.inside(&main))
        .arg("--assets-dest")
        .arg(build.cell.inside(destination))
        .env("NODE_ENV", "production")
        .known_as(format!("react-native bundle --platform {}", plan.platform));
    build
        .run(
            &command,
            Output::Log,
            Code::PreviewBuildFailed,
            "the bundle stage of the build log shows the error; React Native 0.75 and later need \
             @react-native-community/cli among the devDependencies",
        )
        .await?;
    product(&build.bench.out, &build.bench.out)
}

/// What a build to `out`, a folder inside `root`, has made.
pub fn product(root: &Path, out: &Path) -> Result<Product> {
    let (main, assets) = (out.join(MAIN), out.join(ASSETS));
    if !tree::is_file(root, &main) {
        return Err(Error::new(
            Code::PreviewBuildFailed,
            "`react-native bundle` ended well and wrote no bundle",
        ));
    }
    let mut product = Product::default();
    product.push(MAIN, main);
    if tree::is_dir(root, &assets) {
        product.push_folder(root, &assets, ASSETS, |_| false)?;
    }
    Ok(product)
}

/// The JavaScript file that the app starts with, relative to its folder.
pub fn entry_file(plan: &Plan) -> Result<String> {
    let exists = |file: &str| tree::is_file(&plan.tree, &plan.root.join(file));
    if let Some(file) = &plan.entry_file {
        return if exists(file) {
            Ok(file.clone())
        } else {
            Err(Error::new(
                Code::InvalidProjectStructure,
                format!(
                    "`entry_file` is `{file}`, and this commit has no such file: correct it in the \
                     project's settings or in {CONFIG_FILE}"
                ),
            ))
        };
    }
    let platform = plan.platform.as_str();
    let mut names = Vec::new();
    for extension in ["js", "ts", "tsx", "jsx"] {
        names.push(format!("index.{platform}.{extension}"));
        names.push(format!("index.{extension}"));
    }
    let main = plan
        .manifest
        .as_ref()
        .and_then(|manifest| manifest.text("main"));
    if let Some(found) = names
        .iter()
        .map(String::as_str)
        .chain(main)
        .find(|f| exists(f))
    {
        return Ok(found.to_owned());
    }
    Err(Error::new(
        Code::InvalidProjectStructure,
        format!(
            "no entry file was found in {}: looked for {} and the manifest's `main`; set \
             `entry_file` in the project's settings",
            plan.shown_root(),
            names.join(", ")
        ),
    ))
}
