//! Routes: looking at a project's repository.

use axum::extract::State;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Timestamp;
use crate::domain::ProjectId;
use crate::git::{EntryKind, FileContent, Ref, RefKind, TreeEntry};
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json, Paging, PagingParams, Path, Query};
use crate::listing;
use crate::services::sources::browse;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_refs))
        .routes(routes!(get_tree))
        .routes(routes!(get_file))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RefDto {
    name: String,
    kind: RefKindDto,
    commit: String,
    /// The commit message's first line.
    subject: String,
    #[schema(value_type = String, format = DateTime)]
    committed_at: Timestamp,
    /// Whether `latest` means this branch.
    default: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefKindDto {
    Branch,
    Tag,
}

impl From<Ref> for RefDto {
    fn from(r: Ref) -> Self {
        Self {
            name: r.name,
            kind: match r.kind {
                RefKind::Branch => RefKindDto::Branch,
                RefKind::Tag => RefKindDto::Tag,
            },
            commit: r.commit,
            subject: r.subject,
            committed_at: r.committed_at,
            default: r.is_default,
        }
    }
}

listing!(RefList, refs: RefDto);

/// Branches and tags, newest first
#[utoipa::path(
    get, path = "/projects/{id}/refs", tag = "sources",
    params(("id" = ProjectId, Path), PagingParams),
    responses(
        (status = 200, description = "Empty before anything was brought in", body = RefList),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
    ),
)]
async fn list_refs(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(project): Path<ProjectId>,
    Paging(page): Paging,
) -> ApiResult<Json<RefList>> {
    let refs = browse::refs(&app, &actor, project, &page).await?;
    Ok(Json(refs.map(RefDto::from).into()))
}

/// Which place of which commit.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PlaceParams {
    /// A branch, tag, commit or `latest`, which is the default.
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    /// From the repository's root, without `.` and `..`; empty is the root.
    path: Option<String>,
}

impl PlaceParams {
    fn git_ref(&self) -> &str {
        self.git_ref.as_deref().unwrap_or("latest")
    }

    fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKindDto {
    File,
    Executable,
    Folder,
    Symlink,
    Submodule,
}

impl From<EntryKind> for EntryKindDto {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::File => Self::File,
            EntryKind::Executable => Self::Executable,
            EntryKind::Folder => Self::Folder,
            EntryKind::Symlink => Self::Symlink,
            EntryKind::Submodule => Self::Submodule,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EntryDto {
    name: String,
    kind: EntryKindDto,
    /// Bytes; of files and symbolic links.
    size: Option<u64>,
}

impl From<TreeEntry> for EntryDto {
    fn from(entry: TreeEntry) -> Self {
        Self {
            name: entry.name,
            kind: entry.kind.into(),
            size: entry.size,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct TreeDto {
    /// What the ref names now; give it as `ref` for the next page.
    commit: String,
    entries: Vec<EntryDto>,
    /// Where the next page begins; null on the last.
    next_cursor: Option<String>,
}

/// The entries of a folder
#[utoipa::path(
    get, path = "/projects/{id}/tree", tag = "sources",
    params(("id" = ProjectId, Path), PlaceParams, PagingParams),
    responses(
        (status = 200, body = TreeDto),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`, `REF_NOT_FOUND`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`: not a path, or not a folder", body = ErrorBody),
    ),
)]
async fn get_tree(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(project): Path<ProjectId>,
    Query(place): Query<PlaceParams>,
    Paging(page): Paging,
) -> ApiResult<Json<TreeDto>> {
    let (git_ref, path) = (place.git_ref(), place.path());
    let (commit, entries) = browse::tree(&app, &actor, project, git_ref, path, &page).await?;
    Ok(Json(TreeDto {
        commit,
        entries: entries.items.into_iter().map(EntryDto::from).collect(),
        next_cursor: entries.next.map(|cursor| cursor.encode()),
    }))
}

#[derive(Serialize, ToSchema)]
pub struct FileDto {
    commit: String,
    path: String,
    /// A symbolic link's content is its target.
    kind: EntryKindDto,
    /// Bytes.
    size: u64,
    /// Whether the content is not text.
    binary: bool,
    encoding: EncodingDto,
    content: String,
}

#[derive(Serialize, ToSchema)]
pub enum EncodingDto {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "base64")]
    Base64,
}

impl FileDto {
    fn of(path: &str, file: FileContent) -> Self {
        let size = file.content.len() as u64;
        let text = if file.content.contains(&0) {
            Err(file.content)
        } else {
            String::from_utf8(file.content).map_err(std::string::FromUtf8Error::into_bytes)
        };
        let binary = text.is_err();
        let (encoding, content) = match text {
            Ok(text) => (EncodingDto::Utf8, text),
            Err(bytes) => (EncodingDto::Base64, BASE64.encode(&bytes)),
        };
        Self {
            commit: file.commit,
            path: path.to_owned(),
            kind: file.kind.into(),
            size,
            binary,
            encoding,
            content,
        }
    }
}

/// A file's contents
///
/// Up to 2 MiB. A symbolic link is not followed.
#[utoipa::path(
    get, path = "/projects/{id}/file", tag = "sources",
    params(("id" = ProjectId, Path), PlaceParams),
    responses(
        (status = 200, body = FileDto),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`, `REF_NOT_FOUND`", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`: not a path, or not a file", body = ErrorBody),
    ),
)]
async fn get_file(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(project): Path<ProjectId>,
    Query(place): Query<PlaceParams>,
) -> ApiResult<Json<FileDto>> {
    let (git_ref, path) = (place.git_ref(), place.path());
    let file = browse::file(&app, &actor, project, git_ref, path).await?;
    Ok(Json(FileDto::of(path, file)))
}
