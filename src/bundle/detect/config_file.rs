//! The file in a tree that says how it is built, and what of it counts beside
//! the project's settings.

use std::ops::Range;
use std::path::Path;

use crate::bundle::tree;
use crate::config::settings;
use crate::domain::project::ProjectConfig;
use crate::error::{Code, Error, Result};

/// Its name; it has the keys of [`ProjectConfig`].
pub const CONFIG_FILE: &str = "hivesync.toml";
/// Its bytes: it has a handful of keys.
const LARGEST: u64 = 64 << 10;

/// What the project's settings and the tree's own file say together.
pub(super) struct Merged {
    pub(super) config: ProjectConfig,
    /// Keys that mean nothing, a sentence each. A newer version may know them,
    /// so they stop no build.
    pub(super) unknown: Vec<String>,
    /// What the owner should know besides.
    pub(super) remarks: Vec<String>,
}

impl Merged {
    /// The tree's own file, overridden by the project's settings.
    ///
    /// # Errors
    /// `INVALID_PROJECT_STRUCTURE` when the file is not TOML, a value is of the
    /// wrong kind, or there is far too much of it.
    pub(super) fn of(tree: &Path, settings: &ProjectConfig) -> Result<Self> {
        let file = tree::read(tree, &tree.join(CONFIG_FILE), LARGEST)?;
        Self::with(file.as_deref(), settings)
    }

    /// The same of the file's bytes, where there is one.
    pub(super) fn with(file: Option<&[u8]>, settings: &ProjectConfig) -> Result<Self> {
        let own = settings.clone();
        let Some(bytes) = file else {
            return Ok(Self {
                config: own,
                unknown: Vec::new(),
                remarks: Vec::new(),
            });
        };
        let text = String::from_utf8_lossy(bytes);
        let file: ProjectConfig = toml::from_str(&text).map_err(|e| {
            Error::new(
                Code::InvalidProjectStructure,
                format!(
                    "{CONFIG_FILE} cannot be read{}: {}",
                    at_line(&text, e.span()),
                    e.message()
                ),
            )
        })?;
        let mut remarks = Vec::new();
        if file.install_scripts && !own.install_scripts {
            // Installing reaches the network with the operator's credentials:
            // that is for the project's owner to allow, not for whoever commits.
            remarks.push(format!(
                "{CONFIG_FILE} asks for install_scripts, which only the project's settings can allow"
            ));
        }
        Ok(Self {
            config: ProjectConfig {
                kind: own.kind.or(file.kind),
                root: own.root.or(file.root),
                entry_file: own.entry_file.or(file.entry_file),
                build_script: own.build_script.or(file.build_script),
                output_dir: own.output_dir.or(file.output_dir),
                install_scripts: own.install_scripts,
            },
            unknown: unknown_in(&text),
            remarks,
        })
    }
}

/// Where in the file a fault begins, as editors count.
fn at_line(text: &str, span: Option<Range<usize>>) -> String {
    span.and_then(|span| text.get(..span.start))
        .map_or_else(String::new, |before| {
            format!(" (line {})", before.matches('\n').count() + 1)
        })
}

/// What is said of the keys in the [`CONFIG_FILE`] of `tree` that mean nothing.
#[must_use]
pub fn unknown_keys(tree: &Path) -> Vec<String> {
    tree::read(tree, &tree.join(CONFIG_FILE), LARGEST)
        .ok()
        .flatten()
        .map(|bytes| unknown_in(&String::from_utf8_lossy(&bytes)))
        .unwrap_or_default()
}

fn unknown_in(text: &str) -> Vec<String> {
    let keys = text.parse::<toml::Table>().unwrap_or_default();
    keys.keys()
        .filter(|key| !ProjectConfig::KEYS.contains(&key.as_str()))
        .map(|key| {
            let shown: String = key.chars().filter(|c| !c.is_control()).take(60).collect();
            let advice = if settings::find(&key.to_uppercase()).is_some() {
                "; it is a setting of the server, not of a project".to_owned()
            } else {
                settings::nearest_of(key, ProjectConfig::KEYS)
                    .map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
            };
            format!("warning: `{shown}` in {CONFIG_FILE} is unknown and ignored{advice}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_the_one_that_is_meant() {
        let text =
            "kind = 'web'\nbuild_scipt = 'x'\nouput_dir = 'y'\nport = 1\nxyzzy = 2\n[build]\n";
        let told = unknown_in(text).join("\n");
        for wanted in [
            "`build_scipt` in hivesync.toml is unknown and ignored; did you mean `build_script`?",
            "did you mean `output_dir`?",
            "`port` in hivesync.toml is unknown and ignored; it is a setting of the server",
            "`xyzzy` in hivesync.toml is unknown and ignored",
        ] {
            assert!(told.contains(wanted), "{told}");
        }
        assert_eq!(unknown_in(text).len(), 5, "{told}");
        let all: String = ProjectConfig::KEYS
            .map(|key| format!("{key} = 1\n"))
            .concat();
        assert!(unknown_in(&all).is_empty());
    }
}
