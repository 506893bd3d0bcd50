//! Whether all dependencies of an npm project are packages of registries that
//! the lockfile knows by their digests. What comes from elsewhere may bring code
//! that runs while installing, whatever npm is told about scripts: it prepares
//! packages from git with their own configuration, and a tarball of the project's
//! can hold a lockfile of its own.
//!
//! What is not known to be a registry's counts as from elsewhere: the project
//! then has its dependencies to itself, which costs it time alone. So have those
//! of other managers, whatever their lockfiles say.

use super::manager::Install;
use super::manifests::Manifests;
use super::npm_lockfile;
use crate::bundle::detect::Plan;
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

/// Whether any manifest or the lockfile names a package from elsewhere. Without
/// a lockfile nobody knows what the packages themselves will name. What cannot
/// be read counts as naming one.
pub(super) fn any_is_foreign(plan: &Plan, install: &Install, manifests: &Manifests) -> bool {
    let any_manifest = || {
        let mut specifiers = manifests.iter().flat_map(|(_, found)| found.specifiers());
        specifiers.any(|(_, text)| !is_of_a_registry(text))
    };
    let Some(lockfile) = &install.lockfile else {
        return true;
    };
    let Ok(Some(bytes)) = tree::read(&plan.tree, lockfile, tree::LARGE) else {
        return true;
    };
    any_manifest() || npm_lockfile::is_foreign(&bytes)
}

/// Ranges and tags have neither of these signs; what names a package under
/// another name or in the same workspace says so.
pub(super) fn is_of_a_registry(specifier: &str) -> bool {
    let known = ["npm:", "jsr:", "workspace:", "catalog:"];
    let rest = known
        .iter()
        .find_map(|scheme| specifier.strip_prefix(scheme));
    match rest {
        Some(rest) => !names_git(rest),
        None => !specifier.contains([':', '/', '\\']) && !specifier.starts_with('.'),
    }
}

pub(super) fn names_git(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    GIT.iter().any(|part| text.contains(part)) || text.strip_suffix(".git").is_some()
}
