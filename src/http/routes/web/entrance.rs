//! The way to a preview's files, through which those who ask for one preview go
//! one after the other: the first has it unpacked, and the others find it there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::domain::JobId;
use crate::error::{Context, Result};
use crate::http::AppState;
use crate::services::previews::Reader;
use crate::services::previews::web::{self, Site};

type Gate = tokio::sync::Mutex<()>;

/// The gates at which somebody stands.
static GATES: Mutex<Option<HashMap<JobId, Weak<Gate>>>> = Mutex::new(None);

/// The site of the preview `id`, for `reader`.
///
/// # Errors
/// As [`web::site`].
pub(super) async fn site(app: &AppState, reader: Reader, id: &JobId) -> Result<Site> {
    let (app, id) = (Arc::clone(app), id.clone());
    // A task of its own, because unpacking goes on when the caller has gone,
    // and nobody else shall begin it meanwhile.
    let entered = tokio::spawn(async move {
        let gate = gate(&id);
        let _entered = gate.lock().await;
        web::site(&app, &reader, &id).await
    });
    entered.await.or_internal("open a web preview")?
}

fn gate(id: &JobId) -> Arc<Gate> {
    let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
    let gates = gates.get_or_insert_default();
    if let Some(gate) = gates.get(id).and_then(Weak::upgrade) {
        return gate;
    }
    gates.retain(|_, gate| gate.strong_count() > 0);
    let gate = Arc::new(Gate::default());
    gates.insert(id.clone(), Arc::downgrade(&gate));
    gate
}
