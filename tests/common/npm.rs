//! npm for tests with real builds: this machine's registry settings, and one
//! download cache for all of them.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes what the user's npm is configured with (registry, proxy, CA file) to
/// a file in `folder`, for `BUILD_NPMRC`. `None` when nothing of it is set.
pub(crate) fn npmrc(folder: &Path) -> Option<PathBuf> {
    let output = Command::new("npm")
        .args([
            "config",
            "get",
            "registry",
            "cafile",
            "proxy",
            "https-proxy",
        ])
        .output()
        .expect("npm is installed");
    // `key=value` lines.
    let text: String = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !matches!(line.split_once('='), None | Some((_, "" | "null"))))
        .flat_map(|line| [line, "\n"])
        .collect();
    if text.is_empty() {
        return None;
    }
    let path = folder.join("build.npmrc");
    fs::write(&path, text).expect("a file for BUILD_NPMRC");
    Some(path)
}

/// Lets the server on `data` use the download caches of all tests: package
/// managers fill them side by side without harm.
pub(crate) fn share_downloads(data: &Path) {
    let cache = data.join("cache");
    fs::create_dir_all(&cache).expect("the cache folder");
    for name in ["npm", "pnpm", "yarn", "bun"] {
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("downloads")
            .join(name);
        fs::create_dir_all(&shared).expect("a shared cache");
        std::os::unix::fs::symlink(&shared, cache.join(name)).expect("a link to it");
    }
}
