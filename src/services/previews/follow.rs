//! Following a preview until its end.

use std::sync::Arc;
use std::time::Duration;

use async_stream::try_stream;
use futures::{Stream, StreamExt};

use super::find;
use crate::app::App;
use crate::domain::JobId;
use crate::domain::preview::Preview;
use crate::ephemeral::{Events, topic};
use crate::error::Result;
use crate::store::Versioned;

/// Events may be lost, so the row is looked at this often in any case.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Every state of the preview from now on, ending after its final one. States
/// that follow each other fast may be left out; the last is always there.
///
/// `seen` is the revision that the caller knows: unchanged, it is not told
/// again.
pub fn follow(
    app: Arc<App>,
    id: JobId,
    mut seen: Option<u64>,
) -> impl Stream<Item = Result<Versioned<Preview>>> + Send {
    try_stream! {
        // Before the first look, so that no change falls between the two.
        let mut events = app.ephemeral.subscribe(&topic::preview(&id)).await?;
        let stopping = app.lifecycle.stopping().clone();
        loop {
            let preview = find(&app, &id).await?;
            let ended = preview.value.status.is_final();
            if seen != Some(preview.revision) {
                seen = Some(preview.revision);
                yield preview;
            }
            if ended {
                break;
            }
            tokio::select! {
                // A server that stops lets its followers go; they come back
                // with the revision they have seen.
                () = stopping.cancelled() => break,
                () = nudged(&mut events) => {}
            }
        }
    }
}

/// Returns when there may be something new.
pub(super) async fn nudged(events: &mut Events) {
    let next = tokio::time::timeout(LOOK_AGAIN, events.next()).await;
    if matches!(next, Ok(None)) {
        // The source of events is gone; go on by looking.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
