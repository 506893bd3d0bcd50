//! A preview: one build of one commit for one platform, and what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{JobId, ProjectId, UserId};
use crate::clock::Timestamp;
use crate::domain::project::ProjectKind;

/// What a bundle is made to run on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    Ios,
    Android,
    Web,
}

impl Platform {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Platform::Ios => "ios",
            Platform::Android => "android",
            Platform::Web => "web",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Platform> {
        [Platform::Ios, Platform::Android, Platform::Web]
            .into_iter()
            .find(|p| p.as_str() == text)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a preview is, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreviewStatus {
    Queued,
    /// Checking the commit out.
    Building,
    DownloadingDeps,
    Bundling,
    /// Packaging and storing the bundle.
    Uploading,
    Success,
    Failed,
    Cancelled,
}

impl PreviewStatus {
    pub const ALL: [PreviewStatus; 8] = [
        PreviewStatus::Queued,
        PreviewStatus::Building,
        PreviewStatus::DownloadingDeps,
        PreviewStatus::Bundling,
        PreviewStatus::Uploading,
        PreviewStatus::Success,
        PreviewStatus::Failed,
        PreviewStatus::Cancelled,
    ];

    #[must_use]
    pub fn parse(text: &str) -> Option<PreviewStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PreviewStatus::Queued => "queued",
            PreviewStatus::Building => "building",
            PreviewStatus::DownloadingDeps => "downloading_deps",
            PreviewStatus::Bundling => "bundling",
            PreviewStatus::Uploading => "uploading",
            PreviewStatus::Success => "success",
            PreviewStatus::Failed => "failed",
            PreviewStatus::Cancelled => "cancelled",
        }
    }

    /// Nothing more will happen to this preview.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            PreviewStatus::Success | PreviewStatus::Failed | PreviewStatus::Cancelled
        )
    }
}

/// The stages of a build, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Checkout,
    Dependencies,
    Bundle,
    Package,
    Upload,
}

impl Stage {
    pub const ALL: [Stage; 5] = [
        Stage::Checkout,
        Stage::Dependencies,
        Stage::Bundle,
        Stage::Package,
        Stage::Upload,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Checkout => "checkout",
            Stage::Dependencies => "dependencies",
            Stage::Bundle => "bundle",
            Stage::Package => "package",
            Stage::Upload => "upload",
        }
    }

    /// The progress shown while this stage runs, in percent.
    #[must_use]
    pub const fn percent(self) -> u8 {
        match self {
            Stage::Checkout => 10,
            Stage::Dependencies => 25,
            Stage::Bundle => 50,
            Stage::Package | Stage::Upload => 80,
        }
    }

    /// The status shown while this stage runs.
    #[must_use]
    pub const fn status(self) -> PreviewStatus {
        match self {
            Stage::Checkout => PreviewStatus::Building,
            Stage::Dependencies => PreviewStatus::DownloadingDeps,
            Stage::Bundle => PreviewStatus::Bundling,
            Stage::Package | Stage::Upload => PreviewStatus::Uploading,
        }
    }
}

/// How well a build was walled off; see `bundle::sandbox`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxLevel {
    Isolated,
    Restricted,
    None,
}

impl SandboxLevel {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SandboxLevel::Isolated => "isolated",
            SandboxLevel::Restricted => "restricted",
            SandboxLevel::None => "none",
        }
    }
}

/// Where the bundler of a build came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BundlerOrigin {
    /// It was kept loaded since an earlier build.
    Kept,
    /// It was started for this build.
    Started,
}

/// Why a build failed: the text of a [`crate::error::Code`] and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildError {
    pub code: String,
    pub message: String,
}

/// The finished bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The blob's key, `previews/<project_id>/<job_id>/bundle.zip`.
    pub key: String,
    /// Bytes of the zip.
    pub size: u64,
    /// Hex SHA-256 of the zip; the download's `ETag`.
    pub sha256: String,
    pub kind: ProjectKind,
    /// The end of the bundle's life.
    pub expires_at: Timestamp,
    /// What its JavaScript was compiled to, once it was.
    pub bytecode: Option<Bytecode>,
}

/// A bundle's JavaScript as Hermes bytecode. It lies beside the bundle and ends
/// with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bytecode {
    /// Bytes.
    pub size: u64,
    /// Hex; the download's `ETag`.
    pub sha256: String,
    /// Of the bytecode's format. An app loads exactly the one that its own
    /// Hermes was made for.
    pub version: u32,
}

/// What may be shown of the token that asked for the build: never its
/// signature, never its nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub version: u32,
}

/// The row of one preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Also the id of the job that builds it.
    pub id: JobId,
    pub project_id: ProjectId,
    /// [`UserId::SERVER`] as long as nobody has asked for it.
    pub requested_by: UserId,
    /// The ref as it was asked for: a branch, tag, commit or `latest`.
    pub git_ref: String,
    /// The branch that the ref named, if it was one: a newer commit there
    /// supersedes this build.
    pub branch: Option<String>,
    /// The full commit id.
    pub commit: String,
    pub platform: Platform,
    /// Equal for builds that must give the same bundle: a digest of project,
    /// commit, platform, configuration and toolchain.
    pub build_key: String,
    pub token: TokenFacts,
    pub status: PreviewStatus,
    /// The stage that runs, or in which it ended without a bundle.
    pub stage: Option<Stage>,
    /// 0 to 100, never falling during one attempt.
    pub percent: u8,
    /// Whether it found its caches; `None` before that is known.
    pub warm: Option<bool>,
    /// How it was walled off; `None` before a worker has begun.
    pub sandbox: Option<SandboxLevel>,
    /// It failed because it took too long.
    pub timed_out: bool,
    /// Why it failed.
    pub error: Option<BuildError>,
    /// What came of it, once it has succeeded.
    pub bundle: Option<Bundle>,
    /// How long it would take, as reckoned when it was asked for.
    pub estimated_seconds: u32,
    pub created_at: Timestamp,
    /// The start of the latest attempt.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub completed_at: Option<Timestamp>,
    /// `None` before that is known, and where nothing is bundled.
    pub bundler: Option<BundlerOrigin>,
}

/// What is asked for when a preview is queued.
#[derive(Clone, Debug)]
pub struct NewPreview {
    pub id: JobId,
    pub project_id: ProjectId,
    pub requested_by: UserId,
    pub git_ref: String,
    pub branch: Option<String>,
    pub commit: String,
    pub platform: Platform,
    pub build_key: String,
    pub token: TokenFacts,
    pub estimated_seconds: u32,
    pub created_at: Timestamp,
}

impl Preview {
    /// The row of a build that no worker has begun.
    #[must_use]
    pub fn queued(new: NewPreview) -> Self {
        Self {
            id: new.id,
            project_id: new.project_id,
            requested_by: new.requested_by,
            git_ref: new.git_ref,
            branch: new.branch,
            commit: new.commit,
            platform: new.platform,
            build_key: new.build_key,
            token: new.token,
            status: PreviewStatus::Queued,
            stage: None,
            percent: 0,
            warm: None,
            sandbox: None,
            timed_out: false,
            error: None,
            bundle: None,
            estimated_seconds: new.estimated_seconds,
            created_at: new.created_at,
            started_at: None,
            completed_at: None,
            bundler: None,
        }
    }

    /// Whether somebody wants it. The server builds some ahead of being asked,
    /// in order to have them, and the caches that they fill, when it is: those
    /// stand in no list until a request is answered with them.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        self.requested_by != UserId::SERVER
    }

    /// Whether it has a bundle whose life is not over.
    #[must_use]
    pub fn lives(&self, now: Timestamp) -> bool {
        self.bundle.as_ref().is_some_and(|b| b.expires_at > now)
    }
}
