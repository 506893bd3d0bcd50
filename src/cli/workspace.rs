//! Whether a folder is a part of something larger that its build may need.

use std::path::{Path, PathBuf};

use crate::bundle::detect::{CONFIG_FILE, Manifest};

/// What to say before a folder is uploaded that lies inside a workspace: only
/// the folder is sent, and the packages beside it are not on any registry.
pub(super) fn remark(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    if !folder.join("package.json").is_file() || is_workspace(&folder) {
        return None;
    }
    let top = workspace_above(&folder)?;
    let inside = folder.strip_prefix(&top).ok()?;
    Some(format!(
        "note: this folder is a part of the workspace in {}, and only the folder is uploaded: \
         packages that lie beside it will be missing. To send all of it, write `root = \"{}\"` into \
         {CONFIG_FILE} there, and run: hivesync preview {}",
        top.display(),
        inside.display(),
        top.display()
    ))
}

/// Looked for up to the top of the repository, if there is one.
fn workspace_above(folder: &Path) -> Option<PathBuf> {
    let mut dir = folder;
    while !dir.join(".git").exists() {
        dir = dir.parent()?;
        if is_workspace(dir) {
            return Some(dir.to_owned());
        }
    }
    None
}

fn is_workspace(dir: &Path) -> bool {
    dir.join("pnpm-workspace.yaml").is_file()
        || matches!(Manifest::read(dir, dir), Ok(Some(manifest)) if manifest.is_workspace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_workspace_is_told_from_a_project_of_its_own() {
        let top = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = top.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("package.json", r#"{"workspaces": ["apps/*"]}"#);
        write("apps/web/package.json", "{}");
        write("apps/own/package.json", "{}");
        write("apps/own/.git/HEAD", "");
        write("apps/page/index.html", "");
        let said = remark(&top.path().join("apps/web")).unwrap();
        assert!(said.contains("`root = \"apps/web\"`"), "{said}");
        for folder in ["", "apps/own", "apps/page"] {
            assert_eq!(remark(&top.path().join(folder)), None, "{folder}");
        }
    }
}
