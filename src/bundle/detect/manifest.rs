//! A `package.json`, as far as a build asks.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::bundle::json::{self, Room, Unread};
use crate::bundle::tree;
use crate::error::{Code, Error, Result};

/// Packages that build a web project, with the command that usually does.
const WEB_TOOLS: [(&str, &str); 18] = [
    ("next", "next build"),
    ("nuxt", "nuxt generate"),
    ("astro", "astro build"),
    ("gatsby", "gatsby build"),
    ("@angular/cli", "ng build"),
    ("react-scripts", "react-scripts build"),
    ("@vue/cli-service", "vue-cli-service build"),
    ("@docusaurus/core", "docusaurus build"),
    ("@11ty/eleventy", "eleventy"),
    ("@sveltejs/kit", "vite build"),
    ("@remix-run/dev", "remix vite:build"),
    ("@react-router/dev", "react-router build"),
    ("vitepress", "vitepress build"),
    ("vite", "vite build"),
    ("parcel", "parcel build index.html"),
    ("@rspack/cli", "rspack build"),
    ("webpack", "webpack --mode production"),
    ("rollup", "rollup --config"),
];

/// A `package.json`, as far as builds look at it.
#[derive(Clone, Debug)]
pub struct Manifest {
    json: Arc<Value>,
}

impl Manifest {
    /// The manifest in `folder`; `None` when it has none.
    ///
    /// # Errors
    /// `INVALID_PROJECT_STRUCTURE` when it is not a JSON object, or is larger
    /// than any.
    pub fn read(tree: &Path, folder: &Path) -> Result<Option<Self>> {
        Self::read_within(tree, folder, &mut { Room::FILE })
    }

    /// The same of one of many, which have `room` together.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn read_within(tree: &Path, folder: &Path, room: &mut Room) -> Result<Option<Self>> {
        let path = folder.join("package.json");
        let Some(bytes) = tree::read(tree, &path, tree::SMALL)? else {
            return Ok(None);
        };
        let shown = path.strip_prefix(tree).unwrap_or(&path);
        Self::parse_within(&bytes, shown, room).map(Some)
    }

    /// The manifest of these bytes, which its owner knows by `path`.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::parse_within(bytes, path, &mut { Room::FILE })
    }

    fn parse_within(bytes: &[u8], path: &Path, room: &mut Room) -> Result<Self> {
        let refused = |why: String| {
            let shown = path.display();
            Error::new(
                Code::InvalidProjectStructure,
                format!("{shown} {why}; mend it and build the new commit"),
            )
        };
        // Its own bounds hold for each of many, too.
        let mut own = Room {
            bytes: room.bytes.min(Room::FILE.bytes),
            values: room.values.min(Room::FILE.values),
        };
        let before = own;
        let json = json::value(bytes, &mut own);
        room.bytes -= before.bytes - own.bytes;
        room.values -= before.values - own.values;
        match json {
            Ok(json @ Value::Object(_)) => Ok(Self {
                json: Arc::new(json),
            }),
            Ok(_) => Err(refused("is not a JSON object".to_owned())),
            Err(Unread::Invalid(e)) => Err(refused(format!("is not valid JSON: {e}"))),
            Err(Unread::TooLarge) => Err(refused(
                "has more in it, alone or with the other manifests of its workspace, than is \
                 read of manifests"
                    .to_owned(),
            )),
        }
    }

    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The text at a top-level key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.json.get(key)?.as_str()
    }

    #[must_use]
    pub fn depends_on(&self, package: &str) -> bool {
        ["dependencies", "devDependencies", "optionalDependencies"]
            .into_iter()
            .any(|kind| self.json.get(kind).and_then(|d| d.get(package)).is_some())
    }

    /// Whether it needs the package where it runs, not only to be developed.
    #[must_use]
    pub fn runs_on(&self, package: &str) -> bool {
        self.json
            .get("dependencies")
            .is_some_and(|d| d.get(package).is_some())
    }

    /// Whether it names anything to install.
    #[must_use]
    pub fn has_dependencies(&self) -> bool {
        self.is_workspace()
            || ["dependencies", "devDependencies", "optionalDependencies"]
                .into_iter()
                .filter_map(|kind| self.json.get(kind)?.as_object())
                .any(|dependencies| !dependencies.is_empty())
    }

    #[must_use]
    pub fn script(&self, name: &str) -> Option<&str> {
        self.json.get("scripts")?.get(name)?.as_str()
    }

    /// The package that builds it as a web project, and how it usually does;
    /// `None` where it is not known to have any.
    #[must_use]
    pub fn web_tool(&self) -> Option<(&'static str, &'static str)> {
        WEB_TOOLS
            .into_iter()
            .find(|(package, _)| self.depends_on(package))
    }

    /// The names of scripts that may be meant to build, quoted.
    #[must_use]
    pub fn scripts_like_build(&self) -> Vec<String> {
        let scripts = self.json.get("scripts").and_then(Value::as_object);
        scripts
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .filter(|name| {
                ["build", "export", "generate", "bundle", "compile"]
                    .iter()
                    .any(|word| name.contains(word))
            })
            .take(5)
            .map(|name| format!("`{}`", name.replace(char::is_control, "")))
            .collect()
    }

    #[must_use]
    pub fn is_workspace(&self) -> bool {
        self.json.get("workspaces").is_some()
    }

    /// Each dependency with its specifier, whatever kind it is of.
    pub fn specifiers(&self) -> impl Iterator<Item = (&str, &str)> {
        [
            "dependencies",
            "devDependencies",
            "optionalDependencies",
            "peerDependencies",
            "resolutions",
        ]
        .into_iter()
        .filter_map(|kind| self.json.get(kind)?.as_object())
        .flatten()
        .filter_map(|(name, specifier)| Some((name.as_str(), specifier.as_str()?)))
    }
}
