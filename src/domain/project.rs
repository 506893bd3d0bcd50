//! Projects, where their source comes from, and who may use them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ProjectId, UserId};
use crate::clock::Timestamp;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Reads the project and requests previews.
    Viewer,
    /// Also uploads, syncs and changes settings.
    Editor,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub role: MemberRole,
    pub added_at: Timestamp,
}
