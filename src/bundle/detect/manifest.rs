//! A `package.json`, as far as a build asks.

use std::path::Path;

use serde_json::Value;

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
    json: Value,
}

impl Manifest {
    /// The manifest in `folder`; `None` when it has none.
    ///
    /// # Errors
    /// `INVALID_PROJECT_STRUCTURE` when it is not a JSON object.
    pub fn read(tree: &Path, folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("package.json");
        let Some(bytes) = tree::read(tree, &path) else {
            return Ok(None);
        };
        Self::parse(&bytes, path.strip_prefix(tree).unwrap_or(&path)).map(Some)
    }

    /// The manifest of these bytes, which its owner knows by `path`.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let shown = path.display();
        match serde_json::from_slice(bytes) {
            Ok(json @ Value::Object(_)) => Ok(Self { json }),
            Ok(_) => Err(Error::new(
                Code::InvalidProjectStructure,
                format!("{shown} is not a JSON object; mend it and build the new commit"),
            )),
            Err(e) => Err(Error::new(
                Code::InvalidProjectStructure,
                format!("{shown} is not valid JSON: {e}; mend it and build the new commit"),
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
