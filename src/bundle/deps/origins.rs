//! Whether dependencies come from git. npm and Yarn prepare such a package with
//! its own configuration and scripts, whatever they were told about scripts.

use std::path::Path;

use serde_json::Value;

use super::digest::manifest_folders;
use super::manager::Install;
use crate::bundle::detect::{Manifest, Plan};
use crate::bundle::tree;

/// Parts of an address of git's, and the hosts whose plain addresses managers
/// take for repositories.
const GIT: [&str; 11] = [
    "git+",
    "git:",
    "git@",
    "ssh:",
    "github:",
    "gitlab:",
    "bitbucket:",
    "gist:",
    "github.com",
    "gitlab.com",
    "bitbucket.org",
];

/// The maps of names to specifiers in a manifest and in npm's lockfile.
const MAPS: [&str; 5] = [
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "requires",
];

/// Whether any manifest or the lockfile names one. What cannot be read counts
/// as one.
pub(super) fn any_is_git(plan: &Plan, install: &Install) -> bool {
    let in_manifest = |dir: &Path| match Manifest::read(&plan.tree, dir) {
        Ok(Some(manifest)) => manifest.specifiers().any(|(_, text)| is_git(text)),
        Ok(None) => false,
        Err(_) => true,
    };
    let in_lockfile = |path: &Path| {
        let Some(bytes) = tree::read(&plan.tree, path) else {
            return true;
        };
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            serde_json::from_slice(&bytes).map_or(true, |json| locks_git(&json, ""))
        } else {
            let text = String::from_utf8_lossy(&bytes);
            GIT.iter().any(|part| text.contains(part)) || text.contains(".git#")
        }
    };
    manifest_folders(&plan.tree, install)
        .iter()
        .any(|dir| in_manifest(dir))
        || install.lockfile.as_deref().is_some_and(in_lockfile)
}

fn is_git(specifier: &str) -> bool {
    let path = ['.', '/', '~', '@']
        .iter()
        .any(|first| specifier.starts_with(*first));
    let shorthand = specifier.contains('/') && !specifier.contains(':') && !path;
    shorthand
        || GIT.iter().any(|part| specifier.contains(part))
        || specifier.strip_suffix(".git").is_some()
        || specifier.contains(".git#")
}

/// Whether an npm lockfile's value, found under the key `under`, names one.
fn locks_git(value: &Value, under: &str) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, field)| match field {
            Value::String(text) => {
                // A link names a folder of the tree.
                let linked = key == "resolved" && fields.get("link") == Some(&Value::Bool(true));
                let names = ["resolved", "version", "from"].contains(&key.as_str())
                    || MAPS.contains(&under);
                names && !linked && is_git(text)
            }
            other => locks_git(other, key),
        }),
        Value::Array(values) => values.iter().any(|value| locks_git(value, under)),
        _ => false,
    }
}
