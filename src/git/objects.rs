//! From names to objects: what a ref, a commit or a path stands for.

use std::path::Path;

use super::cli::{Failure, Git, too_large};
use super::refname;
use crate::error::{Error, Result};

/// What an object name stands for.
pub(super) struct Object {
    pub(super) id: String,
    /// `commit`, `tree`, `blob` or `tag`.
    pub(super) kind: String,
}

/// The newest commit of a branch (a valid name), if it exists.
pub(super) async fn head_of(repo: &Path, branch: &str) -> Result<Option<String>> {
    commit_of(repo, &format!("refs/heads/{branch}")).await
}

/// The commit that a full ref name points to.
pub(super) async fn commit_of(repo: &Path, full_ref: &str) -> Result<Option<String>> {
    let name = format!("{full_ref}^{{commit}}");
    let found = look_up(repo, &[name]).await?.pop().flatten();
    Ok(found.map(|object| object.id))
}

/// The tree of a commit or ref.
pub(super) async fn tree_of(repo: &Path, commit: &str) -> Result<Option<String>> {
    let name = format!("{commit}^{{tree}}");
    let found = look_up(repo, &[name]).await?.pop().flatten();
    Ok(found.map(|object| object.id))
}

/// The branch that HEAD points to.
pub(super) fn head_branch(repo: &Path) -> Option<String> {
    let head = std::fs::read_to_string(repo.join("HEAD")).ok()?;
    let branch = head.trim_end().strip_prefix("ref: refs/heads/")?;
    refname::is_valid(branch).then(|| branch.to_owned())
}

/// Looks several object names up in one call. They hold no line breaks.
pub(super) async fn look_up(repo: &Path, names: &[String]) -> Result<Vec<Option<Object>>> {
    let mut input = names.join("\n");
    input.push('\n');
    let output = Git::at(repo)
        .args(["cat-file", "--batch-check=%(objectname) %(objecttype)"])
        .run(input.as_bytes())
        .await
        .map_err(|f| match f {
            Failure::Refused(said) if !too_large(&said) => {
                Error::internal(format!("git cannot read the repository: {said}"))
            }
            other => other.into_error("look objects up"),
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<_> = text.lines().map(parse_object).collect();
    found.resize_with(names.len(), || None);
    Ok(found)
}

/// `<id> <kind>`; anything else is `<name> missing` or `<name> ambiguous`.
fn parse_object(line: &str) -> Option<Object> {
    let (id, kind) = line.split_once(' ')?;
    let known = matches!(kind, "commit" | "tree" | "blob" | "tag");
    (known && id.len() >= 40 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Object {
        id: id.to_owned(),
        kind: kind.to_owned(),
    })
}
