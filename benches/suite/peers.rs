//! Installing the peers, each by its own package manager and from the versions
//! pinned beside it, into `target/bench-peers`.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Result;
use crate::process::run;

/// Where a peer's sources stand.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/peers")
        .join(name)
}

/// Where it is installed.
fn installed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/bench-peers")
        .join(name)
}

/// Copies a peer's files and installs what its lockfile names, unless the same
/// was installed before. Answers its folder.
async fn install(
    name: &str,
    lock: &str,
    how: impl FnOnce(&Path) -> Vec<Command>,
) -> Result<PathBuf> {
    let (from, to) = (source(name), installed(name));
    std::fs::create_dir_all(&to)?;
    for entry in std::fs::read_dir(&from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    let wanted = std::fs::read(from.join(lock))?;
    let stamp = to.join(".installed");
    if std::fs::read(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(to);
    }
    eprintln!("   installing {name} ...");
    for mut command in how(&to) {
        run(command.current_dir(&to)).await?;
    }
    std::fs::write(stamp, wanted)?;
    Ok(to)
}

/// A peer of npm: `npm ci`.
pub(crate) async fn npm(name: &str) -> Result<PathBuf> {
    install(name, "package-lock.json", |_| {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        vec![npm]
    })
    .await
}

/// A peer of pip, in a virtual environment of its own: `.venv/bin`.
pub(crate) async fn pip(name: &str) -> Result<PathBuf> {
    install(name, "requirements.txt", |_| {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear", ".venv"]);
        let mut pip = Command::new(".venv/bin/pip");
        pip.args(["install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--requirement", "requirements.txt"]);
        vec![venv, pip]
    })
    .await
}

/// The pinned versions, a line each.
pub(crate) fn versions() -> Vec<String> {
    let npm = |name: &str| -> Option<String> {
        let text = std::fs::read_to_string(source(name).join("package.json")).ok()?;
        let manifest: serde_json::Value = serde_json::from_str(&text).ok()?;
        let named = manifest["dependencies"].as_object()?;
        let named: Vec<_> = named
            .iter()
            .filter_map(|(name, version)| Some(format!("{name} {}", version.as_str()?)))
            .collect();
        Some(format!("npm: {}", named.join(", ")))
    };
    let pip = std::fs::read_to_string(source("celery").join("requirements.txt")).ok();
    let celery = pip.and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("celery=="))?;
        Some(format!("pip: {}", line.replace("==", " ")))
    });
    [npm("bullmq"), npm("graphile-worker"), celery]
        .into_iter()
        .flatten()
        .collect()
}
