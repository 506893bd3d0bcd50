//! Source trees, in memory: made of a few files or of a folder, edited, and
//! packed as an upload.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// A source tree.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.put(path, text);
        }
        tree
    }

    /// A web project without dependencies whose build script is this shell
    /// script.
    pub(crate) fn script(script: &str) -> Self {
        Self::of(&[
            (
                "package.json",
                r#"{"name": "scripted", "scripts": {"build": "sh ./build.sh"}}"#,
            ),
            ("build.sh", script),
        ])
    }

    /// The same with one dependency from the registry.
    pub(crate) fn script_with(package: &str, version: &str, script: &str) -> Self {
        let manifest = format!(
            r#"{{"name": "scripted", "scripts": {{"build": "sh ./build.sh"}},
                "dependencies": {{"{package}": "{version}"}}}}"#
        );
        Self::of(&[("package.json", &manifest), ("build.sh", script)])
    }

    /// A folder of this repository, without what was installed in it.
    pub(crate) fn folder(path: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let mut tree = Self::default();
        let mut pending = vec![root.clone()];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(&dir).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
                if matches!(name, "node_modules" | "dist" | "out" | ".expo") {
                    continue;
                }
                if path.is_dir() {
                    pending.push(path);
                } else {
                    let shown = path.strip_prefix(&root).expect("below");
                    let shown = shown.to_str().expect("UTF-8").to_owned();
                    tree.files.insert(shown, fs::read(&path).expect("a file"));
                }
            }
        }
        tree
    }

    pub(crate) fn put(&mut self, path: &str, text: &str) {
        self.files.insert(path.to_owned(), text.into());
    }

    /// The names of its files, and what is in them.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = self.files.iter();
        files.map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    pub(crate) fn remove(&mut self, path: &str) -> Vec<u8> {
        let removed = self.files.remove(path);
        removed.unwrap_or_else(|| panic!("there is no {path}"))
    }

    pub(crate) fn bytes(&self, path: &str) -> &[u8] {
        &self.files[path]
    }

    pub(crate) fn put_bytes(&mut self, path: &str, bytes: &[u8]) {
        self.files.insert(path.to_owned(), bytes.to_owned());
    }

    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.files[path].clone()).expect("text")
    }

    pub(crate) fn replace(&mut self, path: &str, from: &str, to: &str) {
        let text = self.text(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.put(path, &text.replace(from, to));
    }

    /// The same tree in a folder.
    pub(crate) fn below(self, folder: &str) -> Self {
        let files = self.files.into_iter();
        Self {
            files: files
                .map(|(path, bytes)| (format!("{folder}/{path}"), bytes))
                .collect(),
        }
    }

    /// As it is uploaded.
    pub(crate) fn archive(&self) -> fs::File {
        let mut zip = zip::ZipWriter::new(tempfile::tempfile().expect("a temporary file"));
        for (path, bytes) in &self.files {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(path, options).expect("an entry");
            zip.write_all(bytes).expect("its bytes");
        }
        let mut file = zip.finish().expect("an archive");
        file.seek(SeekFrom::Start(0)).expect("rewound");
        file
    }
}
