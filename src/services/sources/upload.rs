//! Archives sent by a caller.

use std::io::{Seek, SeekFrom};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;

use crate::app::App;
use crate::disk;
use crate::domain::ProjectId;
use crate::domain::project::Source;
use crate::error::{Code, Context, Error, Result};
use crate::git::Imported;
use crate::services::auth::Actor;
use crate::services::previews::warm_up;
use crate::services::projects::{Need, open};

/// How many bytes of a body are taken before the free space is looked at again:
/// a body may name no length, and others come at the same time.
const LOOK_EVERY: u64 = 16 << 20;

/// Takes an archive and makes it the newest commit of branch `upload`. Its kind
/// is seen from its first bytes.
///
/// `length` is what the client announces; the body counts.
///
/// # Errors
/// What [`open`] refuses; `CONFLICT` for a project whose commits come from
/// elsewhere; `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE`, `INVALID_INPUT`
/// for the archive; `STORAGE_FULL`. Nothing is kept of a refused archive.
pub async fn archive<E>(
    app: &App,
    actor: &Actor,
    project: ProjectId,
    length: Option<u64>,
    body: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<Imported>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let found = open(app, actor, project, Need::Edit).await?;
    match found.value.source {
        Source::Upload => {}
        Source::Git { .. } | Source::Local { .. } | Source::Push => {
            return Err(Error::new(
                Code::Conflict,
                "the project's commits come from elsewhere; change its source to upload first",
            ));
        }
    }
    let limit = app.config.sources.max_upload_bytes;
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    // Before the disk is full, which the database would feel too.
    let needed = app
        .config
        .min_free_disk_bytes
        .saturating_add(length.unwrap_or(0));
    app.data.require_free(needed)?;
    // Without a name, so that nothing of it outlives the request.
    let folder = app.data.tmp();
    let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder))
        .await
        .or_internal("make a temporary file")?
        .map_err(no_room)?;
    let room = || app.data.require_free(app.config.min_free_disk_bytes);
    let file = receive(file, body, limit, room).await?;
    let imported = app
        .repos
        .import_archive(project, file, app.clock.now())
        .await?;
    super::mark_synced(app, project, None).await?;
    tracing::info!(
        %project,
        commit = imported.commit,
        files = imported.files,
        skipped_git = imported.skipped.git,
        skipped_node_modules = imported.skipped.node_modules,
        skipped_other = imported.skipped.other,
        "took an uploaded archive"
    );
    warm_up::request(app, project).await;
    Ok(imported)
}

/// The whole body as a file, rewound; `room` is asked as it grows.
async fn receive<E>(
    file: std::fs::File,
    body: impl Stream<Item = Result<Bytes, E>> + Send,
    limit: u64,
    room: impl Fn() -> Result<()>,
) -> Result<std::fs::File>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut file = tokio::fs::File::from_std(file);
    let mut received = 0_u64;
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.or_code(
            Code::BadRequest,
            "read the upload to its end; send it again",
        )?;
        let before = received;
        received += chunk.len() as u64;
        if received > limit {
            return Err(too_large(limit));
        }
        if received / LOOK_EVERY > before / LOOK_EVERY {
            room()?;
        }
        file.write_all(&chunk).await.map_err(no_room)?;
    }
    file.flush().await.map_err(no_room)?;
    let mut file = file.into_std().await;
    file.seek(SeekFrom::Start(0))
        .or_internal("rewind an uploaded archive")?;
    Ok(file)
}

fn too_large(limit: u64) -> Error {
    Error::new(
        Code::PayloadTooLarge,
        format!(
            "the archive has more than {} MB; leave out what is not source (node_modules, build \
             output), or raise UPLOAD_MAX_MB",
            limit >> 20
        ),
    )
    .with("limit", limit)
}

fn no_room(cause: std::io::Error) -> Error {
    Error::new(
        disk::code_of(&cause, Code::InternalError),
        "the upload could not be stored; the server's disk may be full",
    )
    .caused_by(cause)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Error as IoError;

    use futures::stream;

    use super::*;

    fn body(pieces: usize) -> impl Stream<Item = Result<Bytes, IoError>> + Send {
        let piece = Bytes::from(vec![7; 1 << 20]);
        stream::iter((0..pieces).map(move |_| Ok(piece.clone())))
    }

    #[tokio::test]
    async fn a_body_without_a_length_ends_where_the_room_does() {
        let looks = Cell::new(0);
        let room = || {
            looks.set(looks.get() + 1);
            if looks.get() < 3 {
                return Ok(());
            }
            Err(Error::new(Code::StorageFull, "no more room"))
        };
        let file = || tempfile::tempfile().unwrap();
        let all = receive(file(), body(33), u64::MAX, room).await.unwrap();
        assert_eq!(all.metadata().unwrap().len(), 33 << 20);
        let refused = receive(file(), body(33), u64::MAX, room).await;
        assert_eq!(refused.unwrap_err().code, Code::StorageFull);
    }
}
