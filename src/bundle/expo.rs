//! Expo projects: `expo export`, as plain JavaScript, without bytecode.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::deps::{View, package_dir};
use super::json::{self, Room};
use super::product::{Asset, DIST, MAIN, MOST_FILES, Product, is_portable};
use super::sandbox::Output;
use super::tree;
use super::workbench::{Build, blocking};
use crate::domain::preview::Platform;
use crate::error::{Code, Context, Error, Result};

/// In the `expo` package.
const CLI: &str = "bin/cli";
/// The first SDK whose `expo export` knows `--no-bytecode`.
const PLAIN_SINCE: u32 = 50;

/// Of a `metadata.json`: the path and the extension of each asset, and some more.
const METADATA: Room = Room {
    bytes: 16 << 20,
    values: 4 * MOST_FILES as u64,
};

/// `metadata.json` of `expo export`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    file_metadata: std::collections::BTreeMap<String, Exported>,
}

#[derive(Debug, Deserialize)]
struct Exported {
    bundle: String,
    assets: Vec<ExportedAsset>,
}

#[derive(Debug, Deserialize)]
struct ExportedAsset {
    path: String,
    #[serde(default)]
    ext: String,
}

/// Exports the app for the build's platform.
///
/// # Errors
/// `MISSING_DEPENDENCIES`, `PREVIEW_BUILD_FAILED`, `PREVIEW_TIMEOUT`,
/// `CANCELLED`.
pub async fn bundle(build: &Build) -> Result<Product> {
    let expo = installed(build)?;
    let cli = expo.join(CLI);
    let config = public_config(build).await;
    let out = build.bench.out.join("export");
    let mut command = build
        .node(&cli)
        .args(["export", "--platform", build.plan.platform.as_str()])
        .arg("--output-dir")
        .arg(build.cell.inside(&out))
        .env("NODE_ENV", "production")
        .known_as(format!("expo export --platform {}", build.plan.platform));
    if build.plan.platform != Platform::Web && sdk(&build.view, &expo) >= PLAIN_SINCE {
        // Expo warns of it as of a mistake, in every build.
        let note = "the bundle is plain JavaScript on purpose: any app loads it, and bytecode \
                    (PREVIEW_BYTECODE) is compiled afterwards; Expo's warning means nothing here";
        build.log.note(note).await;
        command = command.arg("--no-bytecode");
    }
    build.run_bundler(&command).await?;
    let (root, platform) = (build.bench.out.clone(), build.plan.platform);
    blocking(move || product(&root, &out, platform, config)).await
}

/// What an export to `out`, a folder inside `root`, has made. Blocking.
pub fn product(
    root: &Path,
    out: &Path,
    platform: Platform,
    config: Option<Value>,
) -> Result<Product> {
    let mut product = if platform == Platform::Web {
        let mut product = Product::default();
        product.push_folder(root, out, DIST, |_| false)?;
        product
    } else {
        native(root, out, platform)?
    };
    if let Some(config) = config {
        product.runtime_version = runtime_version(&config, platform);
        product.expo = Some(config);
    }
    Ok(product)
}

fn installed(build: &Build) -> Result<PathBuf> {
    package_dir(build, "expo").ok_or_else(|| {
        Error::new(
            Code::MissingDependencies,
            "the `expo` package is not among the installed dependencies: add it to package.json, \
             install, and commit the lockfile",
        )
    })
}

/// The app's public config, which a device gets with the bundle. A config that
/// cannot be read makes the export fail with the better message.
pub async fn public_config(build: &Build) -> Option<Value> {
    let cli = installed(build).ok()?.join(CLI);
    let command = build
        .node(&cli)
        .args(["config", "--json", "--type", "public"]);
    let stdout = build
        .run(&command, Output::Capture, Code::PreviewBuildFailed, "")
        .await
        .ok()?;
    // An app.config.js may print lines of its own before.
    let text = String::from_utf8_lossy(&stdout);
    let json = text.lines().rev().find(|line| line.starts_with('{'))?;
    json::value(json.as_bytes(), &mut { Room::FILE })
        .ok()
        .filter(Value::is_object)
}

fn sdk(view: &View, expo: &Path) -> u32 {
    view.read(&expo.join("package.json"), tree::SMALL)
        .and_then(|bytes| json::value(&bytes, &mut { Room::FILE }).ok())
        .and_then(|json| {
            json.get("version")?
                .as_str()?
                .split('.')
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(PLAIN_SINCE)
}

/// Gives the files of a native export their names in the bundle.
///
/// Whether they lie in the output is asked of `root`: the build may have put a
/// link in the place of `out`.
fn native(root: &Path, out: &Path, platform: Platform) -> Result<Product> {
    let what = "read the metadata.json that `expo export` wrote";
    let mut left = METADATA;
    let bytes = tree::read(root, &out.join("metadata.json"), left.bytes)
        .or_code(Code::PreviewBuildFailed, what)?
        .ok_or("there is no such file")
        .or_code(Code::PreviewBuildFailed, what)?;
    let mut exports: Metadata =
        json::read(&bytes, &mut left).or_code(Code::PreviewBuildFailed, what)?;
    let exported = exports
        .file_metadata
        .remove(platform.as_str())
        .ok_or("it does not name the platform")
        .or_code(Code::PreviewBuildFailed, what)?;
    if exported.assets.len() > MOST_FILES {
        return Err(Error::new(
            Code::PreviewBuildFailed,
            format!("`expo export` names more than {MOST_FILES} assets in its metadata"),
        ));
    }
    let mut product = Product::default();
    product.push(MAIN, exported_file(root, out, &exported.bundle)?);
    let mut names = HashSet::new();
    for asset in exported.assets {
        let file = exported_file(root, out, &asset.path)?;
        let key = file
            .file_name()
            .and_then(std::ffi::OsStr::to_str)
            .unwrap_or_default()
            .to_owned();
        let plain = asset.ext.chars().all(|c| c.is_ascii_alphanumeric());
        let extension = if plain { asset.ext } else { String::new() };
        let name = match extension.as_str() {
            "" => format!("assets/{key}"),
            extension => format!("assets/{key}.{extension}"),
        };
        // Equal files of different names are one asset.
        if !names.insert(name.clone()) {
            continue;
        }
        product.push(name.clone(), file);
        product.assets.push(Asset {
            name,
            key,
            extension,
        });
    }
    Ok(product)
}

/// The file that the metadata names, if it lies in the output.
fn exported_file(root: &Path, out: &Path, path: &str) -> Result<PathBuf> {
    Some(path)
        .filter(|path| is_portable(path))
        .and_then(tree::relative)
        .and_then(|path| tree::within(root, &out.join(path)))
        .filter(|file| file.is_file())
        .ok_or_else(|| {
            Error::new(
                Code::PreviewBuildFailed,
                format!("`expo export` names {path:?} in its metadata, and did not write it"),
            )
        })
}

/// The version of the native runtime, as expo-updates makes it out.
///
/// A `fingerprint` can be told only by the project's own expo-updates: there,
/// and without a `runtimeVersion`, Expo Go's version of the SDK stands.
fn runtime_version(config: &Value, platform: Platform) -> Option<String> {
    let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let own = config.get(platform.as_str()).unwrap_or(&Value::Null);
    let sdk = || Some(format!("exposdk:{}", text(config, "sdkVersion")?));
    let version = || text(own, "version").or_else(|| text(config, "version"));
    match own
        .get("runtimeVersion")
        .or_else(|| config.get("runtimeVersion"))
    {
        Some(Value::String(version)) => Some(version.clone()),
        Some(policy) => match policy.get("policy")?.as_str()? {
            "appVersion" => version(),
            "nativeVersion" => {
                let build = match platform {
                    Platform::Ios => text(own, "buildNumber"),
                    _ => own.get("versionCode").map(Value::to_string),
                };
                let build = build.unwrap_or_else(|| "1".to_owned());
                Some(format!("{}({build})", version()?))
            }
            _ => sdk(),
        },
        None => sdk(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_runtime_version_follows_the_config() {
        let version = |config: Value| runtime_version(&config, Platform::Ios);
        assert_eq!(
            version(json!({"runtimeVersion": "1.2"})).as_deref(),
            Some("1.2")
        );
        assert_eq!(
            version(json!({"runtimeVersion": "1", "ios": {"runtimeVersion": "2"}})).as_deref(),
            Some("2")
        );
        assert_eq!(
            version(json!({"runtimeVersion": {"policy": "appVersion"}, "version": "3.1"}))
                .as_deref(),
            Some("3.1")
        );
        assert_eq!(
            version(json!({
                "runtimeVersion": {"policy": "nativeVersion"},
                "version": "3.1",
                "ios": {"buildNumber": "7"}
            }))
            .as_deref(),
            Some("3.1(7)")
        );
        assert_eq!(
            version(json!({"sdkVersion": "56.0.0"})).as_deref(),
            Some("exposdk:56.0.0")
        );
        assert_eq!(version(json!({})), None);
    }

    #[test]
    fn a_native_export_gets_its_names_in_the_bundle() {
        let out = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = out.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("_expo/static/js/ios/index-1.js", "js");
        write("assets/0a1b", "png");
        write(
            "metadata.json",
            r#"{"version": 0, "bundler": "metro", "fileMetadata": {"ios": {
                "bundle": "_expo/static/js/ios/index-1.js",
                "assets": [{"path": "assets/0a1b", "ext": "png"},
                           {"path": "assets/0a1b", "ext": "png"}]}}}"#,
        );
        let product = native(out.path(), out.path(), Platform::Ios).unwrap();
        let names: Vec<_> = product.entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, [MAIN, "assets/0a1b.png"]);
        assert_eq!(product.assets[0].key, "0a1b");

        write(
            "metadata.json",
            r#"{"fileMetadata": {"ios": {"bundle": "../../secret", "assets": []}}}"#,
        );
        let error = native(out.path(), out.path(), Platform::Ios).unwrap_err();
        assert_eq!(error.code, Code::PreviewBuildFailed);
    }
}
