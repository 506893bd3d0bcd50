//! Files of the operator's among those of the system: what package managers and
//! git read for every user of a machine (`/usr/etc/npmrc`), where an operator
//! may keep a credential. Builds see the system's programs, and not these.

use std::fs;
use std::path::{Path, PathBuf};

/// Where programs are installed to, with an `etc` each.
const PREFIXES: [&str; 2] = ["/usr", "/usr/local"];

const NAMES: [&str; 4] = ["npmrc", "pnpmrc", "yarnrc", "gitconfig"];

/// Those of this machine, and those of a toolchain that is installed at
/// `installations`.
pub(super) fn files(installations: &[PathBuf]) -> Vec<PathBuf> {
    let prefixes = PREFIXES.iter().map(Path::new);
    let prefixes = prefixes.chain(installations.iter().map(PathBuf::as_path));
    prefixes
        .flat_map(|prefix| NAMES.map(|name| prefix.join("etc").join(name)))
        .filter_map(|file| file.canonicalize().ok())
        .collect()
}

/// What must be shown instead of `path`, so that all below it is shown but
/// `hidden`.
pub(super) fn around(path: PathBuf, hidden: &[PathBuf]) -> Vec<PathBuf> {
    // The system's folders may be links to each other.
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    if hidden.contains(&real) {
        return Vec::new();
    }
    if !hidden.iter().any(|file| file.starts_with(&real)) {
        return vec![path];
    }
    let below = fs::read_dir(&real).into_iter().flatten().flatten();
    // A link that leads to something hidden, or around it, is not shown: what it
    // leads to is, in its own place.
    let leads_there = |path: &Path| {
        let real = path.canonicalize().unwrap_or_default();
        path.is_symlink() && hidden.iter().any(|file| file.starts_with(&real))
    };
    below
        .map(|entry| entry.path())
        .filter(|path| !leads_there(path))
        .flat_map(|path| around(path, hidden))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_shown_but_what_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for dir in ["bin", "etc/npm", "lib"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        for file in ["etc/npmrc", "etc/profile"] {
            fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(".", root.join("self")).unwrap();
        let hidden = files(std::slice::from_ref(&root));
        assert!(hidden.contains(&root.join("etc/npmrc")), "{hidden:?}");
        let mut shown = around(root.clone(), &hidden);
        shown.sort();
        let expected = ["bin", "etc/npm", "etc/profile", "lib"].map(|name| root.join(name));
        assert_eq!(shown, expected);
        assert_eq!(around(root.join("lib"), &hidden), [root.join("lib")]);
    }
}
