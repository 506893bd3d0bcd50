//! Whether all dependencies of an npm project are packages of registries that
//! the lockfile knows by their digests. What comes from elsewhere may bring code
//! that runs while installing, whatever npm is told about scripts: it prepares
//! packages from git with their own configuration, and a tarball of the project's
//! can hold a lockfile of its own.
//!
//! What is not known to be a registry's counts as from elsewhere: the project
//! then has its dependencies to itself, which costs it time alone. So have those
//! of other managers, whatever their lockfiles say.

use serde_json::{Map, Value};

use super::digest::manifest_folders;
use super::manager::Install;
use crate::bundle::detect::{Manifest, Plan};
use crate::bundle::tree;

/// Parts of an address of git's, in lower case, and the hosts whose plain
/// addresses managers take for repositories.
const GIT: [&str; 12] = [
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
    ".git#",
];

/// The maps of names to specifiers in npm's lockfile.
const MAPS: [&str; 5] = [
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "requires",
];

/// Whether any manifest or the lockfile names a package from elsewhere. Without
/// a lockfile nobody knows what the packages themselves will name. What cannot
/// be read counts as naming one.
pub(super) fn any_is_foreign(plan: &Plan, install: &Install) -> bool {
    let in_manifest = |manifest: Manifest| {
        let mut specifiers = manifest.specifiers();
        specifiers.any(|(_, text)| !is_of_a_registry(text))
    };
    let any_manifest = || {
        manifest_folders(&plan.tree, install).iter().any(|dir| {
            Manifest::read(&plan.tree, dir).map_or(true, |found| found.is_some_and(in_manifest))
        })
    };
    let Some(lockfile) = &install.lockfile else {
        return true;
    };
    let Some(bytes) = tree::read(&plan.tree, lockfile) else {
        return true;
    };
    any_manifest() || serde_json::from_slice(&bytes).map_or(true, |json| json_is_foreign(&json, ""))
}

/// Ranges and tags have neither of these signs; what names a package under
/// another name or in the same workspace says so.
fn is_of_a_registry(specifier: &str) -> bool {
    let known = ["npm:", "jsr:", "workspace:", "catalog:"];
    let rest = known
        .iter()
        .find_map(|scheme| specifier.strip_prefix(scheme));
    match rest {
        Some(rest) => !names_git(rest),
        None => !specifier.contains([':', '/', '\\']) && !specifier.starts_with('.'),
    }
}

fn names_git(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    GIT.iter().any(|part| text.contains(part)) || text.strip_suffix(".git").is_some()
}

/// Whether an npm lockfile's value, found under the key `under`, names one.
fn json_is_foreign(value: &Value, under: &str) -> bool {
    match value {
        Value::Object(fields) if is_unverified(fields, under) => true,
        Value::Object(fields) => fields.iter().any(|(key, field)| match field {
            Value::String(text) if key == "resolved" => {
                // A link names a folder of the tree.
                let linked = fields.get("link") == Some(&Value::Bool(true));
                let at_a_server = text.starts_with("https://") || text.starts_with("http://");
                !linked && (!at_a_server || names_git(text))
            }
            Value::String(text) => {
                let names = ["version", "from"].contains(&key.as_str()) || MAPS.contains(&under);
                names && !is_of_a_registry(text)
            }
            // npm then goes by a lockfile in the package.
            Value::Bool(yes) => *yes && key == "hasShrinkwrap",
            other => json_is_foreign(other, key),
        }),
        Value::Array(values) => values.iter().any(|value| json_is_foreign(value, under)),
        _ => false,
    }
}

/// Whether it is a package that is fetched and then taken as it comes: without a
/// digest to go by, npm believes what its cache has noted of an address.
fn is_unverified(fields: &Map<String, Value>, under: &str) -> bool {
    let is = |key: &str| fields.get(key) == Some(&Value::Bool(true));
    let fetched = fields.contains_key("resolved") || under.contains("node_modules/");
    let digest = fields.get("integrity").and_then(Value::as_str);
    fetched
        && !is("link")
        && !is("inBundle")
        && !digest.is_some_and(|digest| digest.starts_with("sha"))
}
