//! A checkout with its dependencies as a build finds them, for who looks at it
//! from outside of the build's cell: there they need not lie in the checkout.

use std::collections::VecDeque;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Install;
use super::sets::Contents;
use crate::bundle::detect::Plan;
use crate::bundle::tree;
use crate::data_dir::DataDir;
use crate::error::Result;

/// As many links as the kernel follows in one path.
const MOST_LINKS: u32 = 40;

/// Paths are those of the checkout; where they lie is the view's own business.
#[derive(Clone, Debug)]
pub struct View {
    tree: PathBuf,
    /// The `node_modules` folders, and where in the set they lie.
    places: Vec<(PathBuf, PathBuf)>,
}

impl View {
    /// The checkout of `plan` with the dependencies of that digest, which may
    /// be empty; `None` when they are not in the cache (any more). Blocking.
    ///
    /// # Errors
    /// When the set cannot be read.
    pub fn of(plan: &Plan, data: &DataDir, dependencies: &str) -> Result<Option<Self>> {
        let mut view = Self::plain(&plan.tree);
        if dependencies.is_empty() {
            return Ok(Some(view));
        }
        let set = data.dependency_cache().join(dependencies);
        let Some(contents) = Contents::of(&set)? else {
            return Ok(None);
        };
        let root = Install::find(plan)?.root;
        for (index, folder) in contents.folders.iter().enumerate() {
            let place = (root.join(folder), set.join(index.to_string()));
            view.places.push(place);
        }
        Ok(Some(view))
    }

    /// A checkout in which everything lies where it is seen.
    #[must_use]
    pub fn plain(tree: &Path) -> Self {
        Self::with(tree, Vec::new())
    }

    /// A checkout in which the build sees the second folder of each pair in the
    /// place of the first.
    pub(super) fn with(tree: &Path, places: Vec<(PathBuf, PathBuf)>) -> Self {
        Self {
            tree: tree.to_owned(),
            places,
        }
    }

    /// The folder of the package `name`, as node finds it from the folder
    /// `from`, free of links.
    #[must_use]
    pub fn package(&self, from: &Path, name: &str) -> Option<PathBuf> {
        from.ancestors()
            .take_while(|dir| dir.starts_with(&self.tree))
            .filter(|dir| !dir.ends_with("node_modules"))
            .filter_map(|dir| self.resolve(&dir.join("node_modules").join(name)))
            .find(|dir| self.host(dir).1.is_dir())
    }

    /// Whether the build finds a folder at `path`.
    #[must_use]
    pub fn is_dir(&self, path: &Path) -> bool {
        self.resolve(path).is_some_and(|path| {
            let (top, host) = self.host(&path);
            tree::is_dir(top, &host)
        })
    }

    /// The bytes of the file at `path`; `None` when there is none, or one of more
    /// than `most`.
    #[must_use]
    pub fn read(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        let (top, host) = self.host(&self.resolve(path)?);
        tree::read(top, &host, most).ok()?
    }

    /// Where a path without links lies, and the folder that it must not leave.
    fn host<'a>(&'a self, path: &Path) -> (&'a Path, PathBuf) {
        let inner = self.places.iter().find_map(|(place, set)| {
            let rest = path.strip_prefix(place).ok()?;
            Some((set.as_path(), set.join(rest)))
        });
        inner.unwrap_or_else(|| (&self.tree, path.to_owned()))
    }

    /// `path` with its links followed, as far as they stay in the checkout:
    /// those of a workspace lead from one `node_modules` into another.
    fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let rest = path.strip_prefix(&self.tree).ok()?;
        let mut pending: VecDeque<PathBuf> = rest.iter().map(PathBuf::from).collect();
        let mut links = 0;
        let mut at = self.tree.clone();
        while let Some(part) = pending.pop_front() {
            match part.components().next() {
                None | Some(Component::CurDir) => continue,
                Some(Component::ParentDir) if at != self.tree => {
                    at.pop();
                    continue;
                }
                Some(Component::Normal(_)) => {}
                Some(_) => return None,
            }
            let next = at.join(&part);
            let (_, host) = self.host(&next);
            if fs::symlink_metadata(&host).ok()?.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                let target = fs::read_link(&host).ok()?;
                for part in target.iter().rev() {
                    pending.push_front(PathBuf::from(part));
                }
            } else {
                at = next;
            }
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A workspace as pnpm lays it out, its `node_modules` in a set.
    fn workspace(dir: &Path) -> View {
        let (tree, set) = (dir.join("tree"), dir.join("set"));
        let store = set.join("0/.pnpm/react-native@1/node_modules");
        for folder in [
            tree.join("apps/mobile"),
            store.join("react-native"),
            store.join("hermes-compiler"),
            set.join("1"),
        ] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(store.join("hermes-compiler/hermesc"), "compiler").unwrap();
        fs::write(dir.join("secret"), "secret").unwrap();
        symlink(
            "../../../node_modules/.pnpm/react-native@1/node_modules/react-native",
            set.join("1/react-native"),
        )
        .unwrap();
        symlink("../../../../secret", set.join("1/out")).unwrap();
        symlink("/etc", set.join("1/absolute")).unwrap();
        symlink("round", set.join("1/round")).unwrap();
        let places = vec![
            (tree.join("node_modules"), set.join("0")),
            (tree.join("apps/mobile/node_modules"), set.join("1")),
        ];
        View { tree, places }
    }

    #[test]
    fn packages_are_found_through_the_links_of_a_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let view = workspace(dir.path());
        let app = view.tree.join("apps/mobile");
        let react_native = view.package(&app, "react-native").expect("react-native");
        assert!(react_native.starts_with(view.tree.join("node_modules/.pnpm")));
        let compiler = view.package(&react_native, "hermes-compiler").unwrap();
        let bytes = view.read(&compiler.join("hermesc"), tree::SMALL);
        assert_eq!(bytes.as_deref(), Some(&b"compiler"[..]));
        assert_eq!(view.package(&app, "hermes-compiler"), None);
    }

    #[test]
    fn links_that_lead_elsewhere_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let view = workspace(dir.path());
        let modules = view.tree.join("apps/mobile/node_modules");
        for name in ["out", "absolute/passwd", "round", "missing"] {
            assert_eq!(view.read(&modules.join(name), tree::SMALL), None, "{name}");
        }
        assert_eq!(view.read(&dir.path().join("secret"), tree::SMALL), None);
    }
}
