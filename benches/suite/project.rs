//! `examples/hello-expo` as both sides build it.

use std::fs;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Result;

/// Copies the sources, without what a build by hand has left among them.
pub(crate) fn copy(to: &Path) -> Result<()> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello-expo");
    copy_folder(&from, to)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if matches!(name.to_str(), Some("node_modules" | ".expo" | "dist")) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            fs::copy(path, to.join(name))?;
        }
    }
    Ok(())
}

/// Changes one line of one file.
pub(crate) fn edit(app: &Path, number: usize) -> Result<()> {
    let line = format!("export const greeting = 'Good morning, bees of day {number}.';\n");
    Ok(fs::write(app.join("src/greeting.js"), line)?)
}

/// The sources as a `.tar.gz`.
pub(crate) fn pack(app: &Path) -> Result<Vec<u8>> {
    let gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    tar.append_dir_all("app", app)?;
    Ok(tar.into_inner()?.finish()?)
}

/// How npm reaches its registry from here.
fn npm_config() -> Result<Vec<(String, String)>> {
    let names = ["registry", "cafile", "proxy", "https-proxy"];
    let output = std::process::Command::new("npm")
        .args(["config", "get"])
        .args(names)
        .output()?;
    // `key=value` lines.
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(_, value)| !matches!(*value, "" | "null" | "undefined"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// The same as variables, for npm by hand in a home of its own.
pub(crate) fn npm_settings() -> Result<Vec<(String, String)>> {
    let named =
        |(name, value): (String, String)| (format!("npm_config_{}", name.replace('-', "_")), value);
    Ok(npm_config()?.into_iter().map(named).collect())
}

/// The same as a file, for `BUILD_NPMRC`.
pub(crate) fn write_npmrc(path: &Path) -> Result<()> {
    let lines = npm_config()?
        .into_iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    Ok(fs::write(path, lines.collect::<String>())?)
}
