//! Finding the compiler that a project has installed, where Expo's and React
//! Native's own command lines look for it.

use std::env::consts::ARCH;
use std::fmt;
use std::path::Path;

use ring::digest::{SHA256, digest};

use crate::bundle::deps::View;

/// Bytes of a compiler; those that were published have less than 10 MB.
const LARGEST: u64 = 64 << 20;

/// A compiler, ready to be lent to a cell.
#[derive(Clone)]
pub struct Compiler {
    pub program: Vec<u8>,
    /// SHA-256.
    pub digest: [u8; 32],
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// None was ever made for such a machine.
    Machine(&'static str),
    /// The project has not installed one.
    Package,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Machine(machine) => write!(
                f,
                "React Native brings no Hermes compiler for Linux on {machine}, only for x86_64"
            ),
            Missing::Package => write!(
                f,
                "the project's dependencies have no Hermes compiler (hermes-compiler, or \
                 sdks/hermesc in react-native)"
            ),
        }
    }
}

impl Compiler {
    /// The one of the app in the folder `app`, for this machine. Blocking.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn find(view: &View, app: &Path) -> Result<Self, Missing> {
        Self::find_for(view, app, ARCH)
    }

    fn find_for(view: &View, app: &Path, machine: &'static str) -> Result<Self, Missing> {
        // All Linux builds that were ever published are of this one kind.
        if machine != "x86_64" {
            return Err(Missing::Machine(machine));
        }
        let react_native = view.package(app, "react-native").ok_or(Missing::Package)?;
        let prebuilt = Path::new("linux64-bin/hermesc");
        let places = [
            // A package of its own since React Native 0.83.
            view.package(&react_native, "hermes-compiler")
                .map(|package| package.join("hermesc").join(prebuilt)),
            // Since 0.69.
            Some(react_native.join("sdks/hermesc").join(prebuilt)),
            // Before.
            view.package(app, "hermes-engine")
                .map(|package| package.join(prebuilt)),
        ];
        let program = places
            .into_iter()
            .flatten()
            .find_map(|path| view.read(&path, LARGEST))
            .ok_or(Missing::Package)?;
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, &program).as_ref());
        Ok(Self {
            program,
            digest: name,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(tree: &Path, machine: &'static str) -> Result<Vec<u8>, Missing> {
        let found = Compiler::find_for(&View::plain(tree), tree, machine);
        found.map(|compiler| compiler.program)
    }

    #[test]
    fn compilers_are_megabytes_large() {
        let tree = tempfile::tempdir().unwrap();
        let modules = tree.path().join("node_modules");
        let place = modules.join("react-native/sdks/hermesc/linux64-bin");
        fs::create_dir_all(&place).unwrap();
        let file = fs::File::create(place.join("hermesc")).unwrap();
        file.set_len(10 << 20).unwrap();
        let found = found(tree.path(), "x86_64").expect("found");
        assert_eq!(found.len(), 10 << 20);
    }

    #[test]
    fn the_newest_place_comes_first() {
        let tree = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = tree.path().join("node_modules").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.to_str().unwrap()).unwrap();
            path.to_str().unwrap().as_bytes().to_vec()
        };
        let find = || found(tree.path(), "x86_64");
        assert_eq!(find(), Err(Missing::Package));
        put("react-native/package.json");
        assert_eq!(find(), Err(Missing::Package));
        for place in [
            "hermes-engine/linux64-bin/hermesc",
            "react-native/sdks/hermesc/linux64-bin/hermesc",
            "hermes-compiler/hermesc/linux64-bin/hermesc",
            // Closer to React Native than the app's own.
            "react-native/node_modules/hermes-compiler/hermesc/linux64-bin/hermesc",
        ] {
            let expected = put(place);
            assert_eq!(find(), Ok(expected), "{place}");
        }
        let other = found(tree.path(), "aarch64");
        assert_eq!(other, Err(Missing::Machine("aarch64")));
        let told = other.unwrap_err().to_string();
        assert!(told.contains("on aarch64, only for x86_64"), "{told}");
    }
}
