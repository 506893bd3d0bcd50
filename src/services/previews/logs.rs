//! The build log: whole, or as it grows.

use std::io::SeekFrom;
use std::sync::Arc;

use async_stream::try_stream;
use futures::{Stream, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::find;
use super::follow::nudged;
use crate::app::App;
use crate::domain::JobId;
use crate::ephemeral::{Events, topic};
use crate::error::{Context, Result};

/// The most bytes of one event.
const PIECE: usize = 64 * 1024;

/// The log file and its length now; `None` when nothing was written.
///
/// # Errors
/// `INTERNAL_ERROR` when it cannot be read.
pub async fn whole(app: &App, id: &JobId) -> Result<Option<(std::fs::File, u64)>> {
    match open(app, id).await? {
        Some((file, length)) => Ok(Some((file.into_std().await, length))),
        None => Ok(None),
    }
}

async fn open(app: &App, id: &JobId) -> Result<Option<(File, u64)>> {
    let file = match File::open(app.data.build_log(id)).await {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).or_internal("open a build log"),
    };
    let metadata = file.metadata().await.or_internal("measure a build log")?;
    Ok(Some((file, metadata.len())))
}

/// A piece of the log: whole lines, unless a line is longer than a piece or
/// the log's last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// The offset in bytes after this piece: where to go on.
    pub next: u64,
}

/// The log from byte `from` on, until the build has ended and all is told. A
/// retried build begins its log anew: then the offset falls back.
pub fn follow(app: Arc<App>, id: JobId, from: u64) -> impl Stream<Item = Result<Piece>> + Send {
    try_stream! {
        let grows = app.ephemeral.subscribe(&topic::log(&id)).await?;
        let changes = app.ephemeral.subscribe(&topic::preview(&id)).await?;
        let mut events: Events = Box::pin(stream::select(grows, changes));
        let stopping = app.lifecycle.stopping().clone();
        let mut at = from;
        loop {
            // Asked before reading: what an ended build wrote is all there.
            let ended = find(&app, &id).await?.value.status.is_final();
            while let Some(piece) = next_piece(&app, &id, at, ended).await? {
                at = piece.next;
                yield piece;
            }
            if ended {
                break;
            }
            tokio::select! {
                () = stopping.cancelled() => break,
                () = nudged(&mut events) => {}
            }
        }
    }
}

/// What stands at `at`: whole lines, or everything once the log has `ended`.
async fn next_piece(app: &App, id: &JobId, at: u64, ended: bool) -> Result<Option<Piece>> {
    let what = "read a build log";
    let Some((mut file, length)) = open(app, id).await? else {
        return Ok(None);
    };
    // A log that is shorter than what was told is another one.
    let at = if at > length { 0 } else { at };
    file.seek(SeekFrom::Start(at)).await.or_internal(what)?;
    let mut bytes = Vec::with_capacity(PIECE);
    file.take(PIECE as u64)
        .read_to_end(&mut bytes)
        .await
        .or_internal(what)?;
    let full = bytes.len() == PIECE;
    let end = match bytes.iter().rposition(|b| *b == b'\n') {
        Some(line_end) => line_end + 1,
        None if full => whole_characters(&bytes),
        None if ended => bytes.len(),
        None => 0,
    };
    // The last line of an ended log may lack its line feed.
    let end = if ended && !full { bytes.len() } else { end };
    if end == 0 {
        return Ok(None);
    }
    Ok(Some(Piece {
        text: String::from_utf8_lossy(&bytes[..end]).into_owned(),
        next: at + end as u64,
    }))
}

/// The length of `bytes` without a character that is cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() && e.valid_up_to() > 0 => e.valid_up_to(),
        _ => bytes.len(),
    }
}
