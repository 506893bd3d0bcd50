//! Bytecode of finished previews: which are compiled for Hermes, and how what
//! came of it is shown and handed out.
//!
//! A preview is finished without it. What is compiled afterwards lies beside
//! the bundle and is named by its row from one commit on; whatever becomes of
//! the compiling, the rest of the row stays as it is.

use super::bundle::{Bytes, bytes, finished};
use super::{Reader, open};
use crate::app::App;
use crate::blobs::BlobKey;
use crate::domain::JobId;
use crate::domain::job::NewJob;
use crate::domain::preview::{Bundle, Bytecode, Platform, Preview, PreviewStatus};
use crate::domain::project::{Project, ProjectKind};
use crate::error::{Code, Error, Result};
use crate::jobs::JobKind;
use crate::jobs::bytecode::BytecodeJob;
use crate::store::{Batch, Claim, Expect, Record, Versioned};

/// How often the row is read again when another change came first.
const TRIES: u32 = 8;

/// The job that compiles what `preview` has just been built to; `None` where
/// there is nothing to compile, or that is turned off.
///
/// # Errors
/// `INTERNAL_ERROR` when the payload does not serialise.
pub fn job(app: &App, preview: &Preview, bundle: &Bundle) -> Result<Option<NewJob>> {
    let native = matches!(bundle.kind, ProjectKind::Expo | ProjectKind::ReactNative)
        && preview.platform != Platform::Web;
    if !native || !app.config.builds.bytecode {
        return Ok(None);
    }
    let compile = BytecodeJob {
        project_id: preview.project_id,
        preview: preview.id.clone(),
        line: format!(
            "{} {}",
            preview.platform,
            preview.branch.as_ref().unwrap_or(&preview.commit)
        ),
    };
    let id = JobId::generate(app.random.as_ref(), app.clock.now());
    compile.into_new_job(id).map(Some)
}

/// How things stand with a preview's bytecode.
pub enum Standing {
    /// It has none, and is there to get some.
    Wanted(Box<Wanted>),
    Made,
    /// The preview, its project or its bundle's life is over.
    Gone,
}

pub struct Wanted {
    pub project: Project,
    pub preview: Versioned<Preview>,
}

/// # Errors
/// When the store does not answer.
pub async fn standing(app: &App, id: &JobId) -> Result<Standing> {
    let Some(preview) = app.store.preview(id).await? else {
        return Ok(Standing::Gone);
    };
    let Some(project) = app.store.project(preview.value.project_id).await? else {
        return Ok(Standing::Gone);
    };
    let row = &preview.value;
    Ok(match &row.bundle {
        Some(bundle)
            if row.status == PreviewStatus::Success && bundle.expires_at > app.clock.now() =>
        {
            if bundle.bytecode.is_some() {
                Standing::Made
            } else {
                Standing::Wanted(Box::new(Wanted {
                    project: project.value,
                    preview,
                }))
            }
        }
        _ => Standing::Gone,
    })
}

/// Names the bytecode, which is stored, in the preview's row. Where nobody
/// wants it any more it is removed; answers whether it is there.
///
/// # Errors
/// `CONFLICT` when the claim is lost, and when a store does not answer.
pub async fn show(app: &App, claim: &Claim, id: &JobId, bytecode: &Bytecode) -> Result<bool> {
    let mut last = None;
    for _ in 0..TRIES {
        let mut preview = match standing(app, id).await? {
            Standing::Wanted(wanted) => wanted.preview,
            Standing::Made => return Ok(true),
            Standing::Gone => return Ok(false),
        };
        if let Some(bundle) = &mut preview.value.bundle {
            bundle.bytecode = Some(bytecode.clone());
        }
        let batch = Batch::new()
            .put(
                Record::Preview(preview.value),
                Expect::Revision(preview.revision),
            )
            .under(claim);
        match app.store.commit(batch).await {
            Ok(_) => return Ok(true),
            // Somebody has asked for it again, and it lives longer for that; or
            // the claim is lost, which the next try finds as well.
            Err(error) if error.code == Code::Conflict => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(Code::Conflict, "the preview changes too fast")))
}

/// Bytecode that can be read now.
pub struct Opened {
    pub preview: Preview,
    pub bytecode: Bytecode,
    pub bytes: Bytes,
}

/// Opens the bytecode for a download.
///
/// # Errors
/// `NOT_FOUND` for a bundle without bytecode (yet), and what
/// [`super::bundle::download`] refuses.
pub async fn download(app: &App, reader: &Reader, id: &JobId) -> Result<Opened> {
    let preview = open(app, reader, id).await?.value;
    let bytecode = finished(app, &preview)?.bytecode.clone().ok_or_else(|| {
        Error::new(
            Code::NotFound,
            "this preview has no bytecode: it is made in the background after the build, for \
             iOS and Android builds of projects that use Hermes; the `bytecode` of its status \
             says when it is there",
        )
    })?;
    let bytes = bytes(app, BlobKey::bytecode(preview.project_id, id)).await?;
    Ok(Opened {
        preview,
        bytecode,
        bytes,
    })
}
