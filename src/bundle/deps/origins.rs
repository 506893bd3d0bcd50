//! Whether all dependencies are packages of registries. What comes from
//! elsewhere may bring code that runs while installing, whatever managers are
//! told about scripts: npm and Yarn prepare packages from git with their own
//! configuration, Yarn's `exec:` makes a package with a script, and a tarball of
//! the project's can hold a lockfile of its own.
//!
//! What is not known to be a registry's counts as from elsewhere: the project
//! then has its dependencies to itself, which costs it time alone.

use super::manager::{Install, Manager};
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

/// How a lockfile that is no JSON names what the project brings along.
const LOCAL: [&str; 5] = ["@file:", "@link:", "@portal:", "@exec:", "@."];

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
    let lines = |is: fn(&str) -> bool| {
        std::str::from_utf8(&bytes).map_or(true, |text| text_is_foreign(text, is))
    };
    any_manifest()
        || match install.manager {
            Manager::Npm => npm_lockfile::is_foreign(&bytes),
            Manager::Pnpm => lines(pnpm_line_is_foreign),
            Manager::YarnClassic => lines(classic_line_is_foreign),
            Manager::YarnBerry => lines(berry_line_is_foreign),
            Manager::Bun => lines(bun_line_is_foreign),
        }
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

/// A backslash can write any word in another way, and what is no text cannot be
/// read.
fn text_is_foreign(text: &str, line_is: fn(&str) -> bool) -> bool {
    text.contains(['\\', '\0'])
        || LOCAL.iter().any(|part| text.contains(part))
        || text.lines().map(str::trim).any(|line| {
            // Reasons mostly have an address.
            line_is(line) || (names_git(line) && !line.starts_with("deprecated:"))
        })
}

/// `resolved "https://…"`.
fn classic_line_is_foreign(line: &str) -> bool {
    let at_a_server = ["https://", "http://"]
        .iter()
        .any(|scheme| line.starts_with(&format!("resolved \"{scheme}")));
    line.contains("resolved") && !at_a_server
}

/// `resolution: {integrity: sha512-…}`, perhaps with the address of a tarball.
fn pnpm_line_is_foreign(line: &str) -> bool {
    // A setting of every lockfile of version 9, whose name has the word.
    if [
        "excludeLinksFromLockfile: false",
        "excludeLinksFromLockfile: true",
    ]
    .contains(&line)
    {
        return false;
    }
    if !line.contains("resolution") {
        // Of the other words in a lockfile these alone say where from.
        return line.contains("file:") || line.contains("type: git");
    }
    let fields = line
        .strip_prefix("resolution: {")
        .and_then(|rest| rest.strip_suffix('}'));
    let known = |field: &str| {
        let field = field.trim();
        field.starts_with("integrity: sha") || field.starts_with("tarball: https://")
    };
    !fields.is_some_and(|fields| fields.split(',').all(known))
}

/// `resolution: "name@npm:1.0.0"`, a workspace's, or one with a patch of Yarn's.
fn berry_line_is_foreign(line: &str) -> bool {
    if line.contains("@patch:") && !line.contains("builtin<") {
        return true;
    }
    let resolution = line.contains("resolution") && !line.starts_with("resolution: \"");
    let known = ["@npm:", "@workspace:", "@patch:", "@virtual:"];
    resolution
        || (line.starts_with("resolution: \"") && !known.iter().any(|part| line.contains(part)))
}

/// `"name": ["name@1.0.0", "", {}, "sha512-…"]`; a package by its address has
/// that in the place of the version.
fn bun_line_is_foreign(line: &str) -> bool {
    line.contains("@http:") || line.contains("@https:") || line.contains("file:")
}
