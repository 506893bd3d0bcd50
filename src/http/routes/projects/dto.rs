//! Projects and sources on the wire.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::domain::project::{Project, ProjectConfig, Source};
use crate::domain::{ProjectId, UserId};
use crate::listing;
use crate::services::projects::source::{CredentialInput, SourceInput};
use crate::services::seal::GitCredential;

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectDto {
    id: ProjectId,
    name: String,
    owner_id: UserId,
    source: SourceDto,
    config: ProjectConfig,
    /// An admin vouches for its code.
    trusted: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When the source was last fetched, pushed or uploaded.
    #[schema(value_type = Option<String>, format = DateTime)]
    synced_at: Option<Timestamp>,
}

listing!(ProjectList, projects: ProjectDto);

impl From<Project> for ProjectDto {
    fn from(project: Project) -> Self {
        Self {
            id: project.id,
            name: project.name,
            owner_id: project.owner_id,
            source: project.source.into(),
            config: project.config,
            trusted: project.trusted,
            created_at: project.created_at,
            updated_at: project.updated_at,
            synced_at: project.synced_at,
        }
    }
}

/// Where commits come from. A credential is never shown.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceDto {
    Git {
        url: String,
        branch: Option<String>,
        has_credential: bool,
    },
    Push,
    Upload,
    Local {
        path: String,
    },
}

impl From<Source> for SourceDto {
    fn from(source: Source) -> Self {
        match source {
            Source::Git {
                url,
                branch,
                credential,
            } => SourceDto::Git {
                url,
                branch,
                has_credential: credential.is_some(),
            },
            Source::Push => SourceDto::Push,
            Source::Upload => SourceDto::Upload,
            Source::Local { path } => SourceDto::Local { path },
        }
    }
}

/// Where commits shall come from.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceRequest {
    /// A repository elsewhere, fetched over https.
    Git {
        #[schema(example = "https://git.example.com/ada/shop.git")]
        url: String,
        /// The branch that `latest` means; without it the repository's own.
        branch: Option<String>,
        /// Write-only.
        #[serde(default, deserialize_with = "credential")]
        #[schema(value_type = Option<CredentialRequest>)]
        credential: CredentialInput,
    },
    /// `git push` to this server; not available yet.
    Push,
    /// Archives of the tree.
    Upload,
    /// A folder on the server's machine; only in local dev mode.
    Local { path: String },
}

/// A repository's login.
#[derive(Deserialize, ToSchema)]
pub struct CredentialRequest {
    /// Many hosts take any name beside an access token.
    #[serde(default)]
    username: String,
    /// A password or an access token.
    password: String,
}

/// Tells `null`, which removes the credential, from a field that is left out.
fn credential<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CredentialInput, D::Error> {
    let given = Option::<CredentialRequest>::deserialize(deserializer)?;
    Ok(match given {
        None => CredentialInput::Remove,
        Some(given) => CredentialInput::Set(GitCredential {
            username: given.username,
            password: given.password,
        }),
    })
}

impl From<SourceRequest> for SourceInput {
    fn from(source: SourceRequest) -> Self {
        match source {
            SourceRequest::Git {
                url,
                branch,
                credential,
            } => SourceInput::Git {
                url,
                branch,
                credential,
            },
            SourceRequest::Push => SourceInput::Push,
            SourceRequest::Upload => SourceInput::Upload,
            SourceRequest::Local { path } => SourceInput::Local { path },
        }
    }
}
