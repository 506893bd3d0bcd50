//! Projects, where their source comes from, and who may use them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ProjectId, UserId};
use crate::clock::Timestamp;
use crate::domain::path::is_plain;
use crate::error::{Error, Result};

/// A project: where its sources come from and how they are built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    pub id: ProjectId,
    /// 1 to 100 characters, no control characters.
    pub name: String,
    pub owner_id: UserId,
    pub source: Source,
    pub config: ProjectConfig,
    /// An admin vouches for its code: it may build where no sandbox is.
    pub trusted: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the source was last fetched, pushed or uploaded.
    pub synced_at: Option<Timestamp>,
}

/// Where the commits come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A repository elsewhere, fetched over https.
    Git {
        url: String,
        branch: Option<String>,
        credential: Option<SealedCredential>,
    },
    /// `git push` to our own smart HTTP endpoint.
    Push,
    /// Archives sent by the CLI or the browser; commits on branch `upload`.
    Upload,
    /// A folder on this machine (local dev mode only); commits on branch `local`.
    Local { path: String },
}

impl Source {
    /// The branch that `latest` means, where the source alone decides it.
    #[must_use]
    pub fn default_branch(&self) -> Option<&str> {
        match self {
            Source::Git { branch, .. } => branch.as_deref(),
            Source::Push => None,
            Source::Upload => Some("upload"),
            Source::Local { .. } => Some("local"),
        }
    }
}

/// A repository's user name and password or token, encrypted with a key of
/// the server (AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCredential(pub Vec<u8>);

/// What is built from a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectKind {
    Expo,
    ReactNative,
    Web,
    Static,
}

impl ProjectKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ProjectKind::Expo => "expo",
            ProjectKind::ReactNative => "react-native",
            ProjectKind::Web => "web",
            ProjectKind::Static => "static",
        }
    }

    /// The kind with its article, to stand before "project".
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            ProjectKind::Expo => "an expo",
            ProjectKind::ReactNative => "a react-native",
            ProjectKind::Web => "a web",
            ProjectKind::Static => "a static",
        }
    }
}

/// What the owner says about the build; everything left out is found from
/// the files. The same keys stand in a project's own `hivesync.toml`, which
/// this overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectConfig {
    pub kind: Option<ProjectKind>,
    /// The folder of the app inside the repository, such as `apps/mobile`.
    pub root: Option<String>,
    /// The JavaScript entry of a React Native project.
    pub entry_file: Option<String>,
    /// The package script that builds a web project.
    pub build_script: Option<String>,
    /// The folder a web project's build writes.
    pub output_dir: Option<String>,
    /// Whether packages may run their install scripts (in the sandbox).
    #[serde(default)]
    pub install_scripts: bool,
}

impl ProjectConfig {
    /// The names of its fields, as they stand in a `hivesync.toml`.
    pub const KEYS: [&str; 6] = [
        "kind",
        "root",
        "entry_file",
        "build_script",
        "output_dir",
        "install_scripts",
    ];

    /// Refuses what could lead out of the project's tree or into a command's
    /// options.
    ///
    /// # Errors
    /// `INVALID_INPUT` that names the key, below `config.`.
    pub fn check(&self) -> Result<()> {
        let paths = [
            ("config.root", &self.root),
            ("config.entry_file", &self.entry_file),
            ("config.output_dir", &self.output_dir),
        ];
        for (field, path) in paths {
            if path.as_deref().is_some_and(|path| !is_clean_path(path)) {
                return Err(Error::invalid(
                    field,
                    "a path inside the repository, such as apps/mobile: relative, with / between its parts and without . or ..",
                ));
            }
        }
        if self
            .build_script
            .as_deref()
            .is_some_and(|s| !is_script_name(s))
        {
            return Err(Error::invalid(
                "config.build_script",
                "the name of a script in package.json: letters, digits and : . _ -, at most 100",
            ));
        }
        Ok(())
    }
}

fn is_clean_path(path: &str) -> bool {
    path.len() <= 255
        && !path.starts_with('-')
        && !path.contains(|c: char| c.is_control() || c == '\\' || c == ':')
        && is_plain(path)
        // Git's own folder is never a part of a tree.
        && !path.split('/').any(|part| part.eq_ignore_ascii_case(".git"))
}

fn is_script_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'_' | b'-'))
}

/// What a member may do; the owner may do all of it and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Reads the project and requests previews.
    Viewer,
    /// Also uploads, syncs and changes settings.
    Editor,
}

/// Somebody with whom a project is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub role: MemberRole,
    pub added_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_root(root: &str) -> ProjectConfig {
        ProjectConfig {
            root: Some(root.to_owned()),
            ..ProjectConfig::default()
        }
    }

    #[test]
    fn the_keys_are_those_of_the_fields() {
        let config = serde_json::to_value(ProjectConfig::default()).unwrap();
        let mut fields: Vec<_> = config.as_object().unwrap().keys().cloned().collect();
        let mut keys = ProjectConfig::KEYS.map(str::to_owned);
        fields.sort();
        keys.sort();
        assert_eq!(fields, keys);
    }

    #[test]
    fn paths_stay_inside() {
        for good in ["app", "apps/mobile", "a b/ü.js", "..a/b..", ".config"] {
            assert!(with_root(good).check().is_ok(), "{good}");
        }
        let long = "a/".repeat(200);
        for bad in [
            "", ".", "..", "../a", "a/../b", "a/./b", "a//b", "/a", "a/", "a\\b", "C:/a", "a\nb",
            "-rf", ".git", "a/.GIT/b", &long,
        ] {
            let error = with_root(bad).check().expect_err(bad);
            assert_eq!(error.details["field"], "config.root");
        }
    }

    #[test]
    fn scripts_are_names() {
        let with = |name: &str| ProjectConfig {
            build_script: Some(name.to_owned()),
            ..ProjectConfig::default()
        };
        assert!(with("build:web-1.0_x").check().is_ok());
        for bad in ["", "-x", "a b", "a;b", "a$(b)", &"x".repeat(101)] {
            assert!(with(bad).check().is_err(), "{bad}");
        }
    }
}
