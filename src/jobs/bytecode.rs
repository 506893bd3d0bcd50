//! The job that compiles a finished preview's JavaScript for Hermes.
//!
//! It has a queue and a slot of its own, which gives way to every build, and
//! nothing that it does or fails to do changes a preview but for adding the
//! bytecode. What the same compiler has made of the same JavaScript in another
//! preview of the project is shared, not made again.

use std::io::{BufReader, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use zip::ZipArchive;

use crate::app::App;
use crate::blobs::{BlobKey, BlobKind, Extents, Part};
use crate::bundle::deps::{self, View};
use crate::bundle::detect::detect;
use crate::bundle::hermes::{self, Bench, Compiler, Source};
use crate::bundle::log::BuildLog;
use crate::bundle::product::MAIN;
use crate::bundle::redact::Redactor;
use crate::bundle::sandbox::Cell;
use crate::bundle::stop::{Limit, Stop, cancelled};
use crate::bundle::workbench::{Workbench, blocking};
use crate::domain::job::{Job, Priority, Queue};
use crate::domain::preview::{Bytecode, SandboxLevel};
use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Context, Error, Result};
use crate::jobs::{JobError, JobKind};
use crate::services::previews::bundle;
use crate::services::previews::bytecode::{self, Standing, Wanted};
use crate::store::{Batch, Claim};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BytecodeJob {
    pub project_id: ProjectId,
    pub preview: JobId,
    /// What the preview is one of many of: its platform and branch.
    pub line: String,
}

impl JobKind for BytecodeJob {
    const KIND: &'static str = "bytecode";
    const QUEUE: Queue = Queue::Bytecode;
    const PRIORITY: Priority = Priority::LOW;
    const MAX_ATTEMPTS: u32 = 3;

    fn group(&self) -> i64 {
        self.project_id.0
    }

    /// While builds go on nothing is compiled, and then only the newest of each
    /// branch: nobody would run the others.
    fn dedupe_key(&self) -> Option<String> {
        Some(format!("bytecode:{} {}", self.project_id, self.line))
    }
}

const RETRY: Duration = Duration::from_secs(30);
/// Bytes of a `metadata.json`.
const LARGEST_METADATA: u64 = 16 << 20;

/// # Errors
/// Retried when a store or the disk fails. A compiler that fails is no error:
/// the preview stays as it is, and the log has the reason.
pub async fn run(
    app: &Arc<App>,
    claim: &Claim,
    job: &Job,
    compile: &BytecodeJob,
    cancel: &CancellationToken,
) -> Result<Batch, JobError> {
    let preview = &compile.preview;
    match make(app, claim, &job.id, compile, cancel).await {
        Ok(()) => Ok(Batch::new()),
        Err(error) if is_ours(&error) => Err(JobError::retry(error, RETRY)),
        Err(error) if error.code == Code::Cancelled => Err(JobError::fail(error)),
        Err(error) => {
            tracing::warn!(%preview, error = %error.chain(), "the preview stays without bytecode");
            Ok(Batch::new())
        }
    }
}

/// A fault of this server, not of the project.
fn is_ours(error: &Error) -> bool {
    matches!(
        error.code,
        Code::InternalError | Code::DependencyFailure | Code::StorageFull | Code::Conflict
    )
}

async fn make(
    app: &App,
    claim: &Claim,
    job: &JobId,
    compile: &BytecodeJob,
    cancel: &CancellationToken,
) -> Result<()> {
    let id = &compile.preview;
    let key = BlobKey::bytecode(compile.project_id, id);
    let wanted = match bytecode::standing(app, id).await? {
        Standing::Wanted(wanted) => wanted,
        Standing::Made => return Ok(()),
        // An attempt that was cut off may have stored it.
        Standing::Gone => return app.blobs.delete(&key).await,
    };
    let dir = app.data.job_tmp(job);
    let bench = blocking(move || Bench::new(Workbench::fresh(&dir)?)).await?;
    let attempt = Attempt {
        app,
        job,
        wanted: &wanted,
        bench: &bench,
        cancel,
    };
    let Some((part, made)) = attempt.run().await? else {
        return Ok(());
    };
    app.blobs.put(&key, &[part]).await?;
    stop_point!(BytecodeStored);
    if !bytecode::show(app, claim, id, &made).await? {
        return app.blobs.delete(&key).await;
    }
    stop_point!(BytecodeShown);
    tracing::info!(preview = %id, bytes = made.size, version = made.version, "it has bytecode");
    Ok(())
}

/// One attempt at one preview.
struct Attempt<'a> {
    app: &'a App,
    job: &'a JobId,
    wanted: &'a Wanted,
    bench: &'a Bench,
    cancel: &'a CancellationToken,
}

impl Attempt<'_> {
    /// The bytecode, ready to be stored; `None` when there is nothing to
    /// compile, or nothing to compile it with.
    async fn run(&self) -> Result<Option<(Part, Bytecode)>> {
        let Wanted { project, preview } = self.wanted;
        let trusted = project.trusted || self.app.config.server.local_dev_mode;
        let level = self.app.sandbox.level_for(trusted)?;
        let zip = bundle::fetch(self.app, &preview.value).await?;
        let bench = self.bench.clone();
        let (source, config) = blocking(move || unpack(zip, &bench)).await?;
        let Some(compiler) = self.compiler(config, level).await? else {
            return Ok(None);
        };
        let name = hermes::part_name(source, &compiler);
        let blobs = &self.app.blobs;
        let earlier = blobs.shelf(project.id, BlobKind::Bytecode).await?;
        let known = blocking(move || {
            let part = earlier.find(&name);
            Ok(part.and_then(|part| described(part, source)))
        });
        if let Some(known) = known.await? {
            tracing::info!("the same JavaScript was compiled before");
            return Ok(Some(known));
        }
        let (bytes, made) = self.compile(&compiler, source, level).await?;
        let extent = bytes.as_slice().first().cloned();
        let extent = extent.ok_or_else(|| Error::internal("bytecode is empty"))?;
        Ok(Some((Part::new(Some(name), extent), made)))
    }

    /// The project's compiler, if its app runs on Hermes. It is looked up in
    /// the commit and in the cached dependencies; nothing is installed for it.
    async fn compiler(
        &self,
        config: Option<Value>,
        level: SandboxLevel,
    ) -> Result<Option<Compiler>> {
        let Wanted { project, preview } = self.wanted;
        let (app, tree) = (self.app, self.bench.bench.project.clone());
        let commit = &preview.value.commit;
        tokio::select! {
            checkout = app.repos.checkout(project.id, commit, &tree) => checkout?,
            () = self.cancel.cancelled() => return Err(cancelled()),
        };
        let (sandbox, data) = (app.sandbox.clone(), app.data.clone());
        let (settings, id) = (project.config.clone(), project.id);
        let platform = preview.value.platform;
        let stop = Stop {
            limit: self.limit(),
            cancel: self.cancel.clone(),
        };
        let found = blocking(move || {
            let plan = detect(&tree, &settings, platform)?;
            if !hermes::is_used(&plan, config.as_ref()) {
                return Ok(Err("the app runs on JavaScriptCore".to_owned()));
            }
            let digest = deps::digest_of(&plan, &sandbox, level, id, &stop)?;
            let Some(view) = View::of(&plan, &data, &digest)? else {
                return Ok(Err("its dependencies are no longer cached".to_owned()));
            };
            Ok(Compiler::find(&view, &plan.root).map_err(|missing| missing.to_string()))
        });
        Ok(found
            .await?
            .inspect_err(|why| tracing::info!(preview = %preview.value.id, why, "no bytecode"))
            .ok())
    }

    async fn compile(
        &self,
        compiler: &Compiler,
        source: Source,
        level: SandboxLevel,
    ) -> Result<(Extents, Bytecode)> {
        let app = self.app;
        let bench = &self.bench.bench;
        let mut cell = bench.bare_cell(Cell::new(&app.sandbox, level, self.job.as_str()));
        cell.belong_to(self.wanted.project.id)
            .or_internal("find a user for the Hermes compiler")?;
        // Nobody reads it: it may quote the project's sources.
        let (log, writer) = BuildLog::open(
            &bench.file("hermesc.log"),
            app.config.builds.limits.log_bytes,
            Redactor::default(),
            Box::new(|| Box::pin(std::future::ready(()))),
        )
        .await?;
        let ended = self
            .bench
            .compile(cell, compiler, source, self.limit(), self.cancel, &log)
            .await;
        drop(log);
        writer.finish().await;
        ended
    }

    fn limit(&self) -> Limit {
        let limit = self.app.config.previews.cold_timeout;
        Limit::starting_now(limit, "PREVIEW_COLD_TIMEOUT_MS")
    }
}

/// Of a bundle's `metadata.json`.
#[derive(Deserialize)]
struct Metadata {
    expo: Option<Value>,
}

/// Takes the JavaScript out of a bundle, and Expo's config. Blocking.
fn unpack(zip: Extents, bench: &Bench) -> Result<(Source, Option<Value>)> {
    let what = "read a finished bundle";
    let mut zip = ZipArchive::new(BufReader::new(zip.reader())).or_internal(what)?;
    let metadata = zip.by_name("metadata.json").or_internal(what)?;
    let metadata: Metadata =
        serde_json::from_reader(metadata.take(LARGEST_METADATA)).or_internal(what)?;
    let main = zip.by_name(MAIN).or_internal(what)?;
    let source = bench.put_source(main).or_internal(what)?;
    Ok((source, metadata.expo.filter(Value::is_object)))
}

/// A part that was compiled for another preview. One that is not what it says
/// it is is made anew.
fn described(part: Part, source: Source) -> Option<(Part, Bytecode)> {
    let bytes: Extents = std::iter::once(part.extent.clone()).collect();
    let made = hermes::describe(&bytes, source).ok()?.ok()?;
    Some((part, made))
}
