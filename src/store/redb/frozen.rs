//! Records as earlier versions wrote them, each with its step to the next; see
//! the head of [`super::codec`].

use serde::{Deserialize, Serialize};

use super::codec::{Nothing, Revised, Stored};
use crate::clock::Timestamp;
use crate::domain::preview::{
    BuildError, Bundle, Platform, Preview, PreviewStatus, SandboxLevel, Stage, TokenFacts,
};
use crate::domain::project::ProjectKind;
use crate::domain::{JobId, ProjectId, UserId};

/// Before bundles had bytecode.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PreviewV1 {
    id: JobId,
    project_id: ProjectId,
    requested_by: UserId,
    git_ref: String,
    branch: Option<String>,
    commit: String,
    platform: Platform,
    build_key: String,
    token: TokenFacts,
    status: PreviewStatus,
    stage: Option<Stage>,
    percent: u8,
    warm: Option<bool>,
    sandbox: Option<SandboxLevel>,
    timed_out: bool,
    error: Option<BuildError>,
    bundle: Option<BundleV1>,
    estimated_seconds: u32,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct BundleV1 {
    key: String,
    size: u64,
    sha256: String,
    kind: ProjectKind,
    expires_at: Timestamp,
}

impl From<BundleV1> for Bundle {
    fn from(old: BundleV1) -> Self {
        Self {
            key: old.key,
            size: old.size,
            sha256: old.sha256,
            kind: old.kind,
            expires_at: old.expires_at,
            bytecode: None,
        }
    }
}

impl Stored for Revised<PreviewV1> {
    const NAME: &'static str = "preview";
    const VERSION: u8 = 1;
    type Previous = Nothing;

    fn upgrade(previous: Nothing) -> Self {
        match previous {}
    }
}

/// Before builds told where their bundler came from.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PreviewV2 {
    id: JobId,
    project_id: ProjectId,
    requested_by: UserId,
    git_ref: String,
    branch: Option<String>,
    commit: String,
    platform: Platform,
    build_key: String,
    token: TokenFacts,
    status: PreviewStatus,
    stage: Option<Stage>,
    percent: u8,
    warm: Option<bool>,
    sandbox: Option<SandboxLevel>,
    timed_out: bool,
    error: Option<BuildError>,
    bundle: Option<Bundle>,
    estimated_seconds: u32,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
}

impl Stored for Revised<PreviewV2> {
    const NAME: &'static str = "preview";
    const VERSION: u8 = 2;
    type Previous = Revised<PreviewV1>;

    fn upgrade(previous: Revised<PreviewV1>) -> Self {
        let old = previous.value;
        Self {
            revision: previous.revision,
            value: PreviewV2 {
                id: old.id,
                project_id: old.project_id,
                requested_by: old.requested_by,
                git_ref: old.git_ref,
                branch: old.branch,
                commit: old.commit,
                platform: old.platform,
                build_key: old.build_key,
                token: old.token,
                status: old.status,
                stage: old.stage,
                percent: old.percent,
                warm: old.warm,
                sandbox: old.sandbox,
                timed_out: old.timed_out,
                error: old.error,
                bundle: old.bundle.map(Bundle::from),
                estimated_seconds: old.estimated_seconds,
                created_at: old.created_at,
                started_at: old.started_at,
                completed_at: old.completed_at,
            },
        }
    }
}

impl Stored for Revised<Preview> {
    const NAME: &'static str = "preview";
    const VERSION: u8 = 3;
    type Previous = Revised<PreviewV2>;

    fn upgrade(previous: Revised<PreviewV2>) -> Self {
        let old = previous.value;
        Self {
            revision: previous.revision,
            value: Preview {
                id: old.id,
                project_id: old.project_id,
                requested_by: old.requested_by,
                git_ref: old.git_ref,
                branch: old.branch,
                commit: old.commit,
                platform: old.platform,
                build_key: old.build_key,
                token: old.token,
                status: old.status,
                stage: old.stage,
                percent: old.percent,
                warm: old.warm,
                sandbox: old.sandbox,
                timed_out: old.timed_out,
                error: old.error,
                bundle: old.bundle,
                estimated_seconds: old.estimated_seconds,
                created_at: old.created_at,
                started_at: old.started_at,
                completed_at: old.completed_at,
                bundler: None,
            },
        }
    }
}
