//! `hivesync serve`: the server's process from the first line of its log to
//! its exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::{logging, output};
use crate::app::App;
use crate::clock::{Random, SystemClock, SystemEntropy};
use crate::config::{Config, LogFormat, Report, Sources};
use crate::data_dir::DataDir;
use crate::domain::preview::SandboxLevel;
use crate::error::{Error, Result};
use crate::http::extract::client::phone_url;
use crate::http::server::{self, Limits, listen};
use crate::http::{operator, router};
use crate::lifecycle::{Ending, Lifecycle};
use crate::services::auth::setup::{self, FirstAdmin};

/// How long the last answers to the operator may take once all else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Answer requests only; jobs wait for another start
    #[arg(long)]
    no_worker: bool,
    /// Listen on this port, whatever PORT says
    #[arg(long)]
    port: Option<u16>,
}

#[must_use]
pub fn run(args: &ServeArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            output::fail(&Error::internal("could not start the runtime").caused_by(e));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(serve(args));
    // Whatever still blocks a thread was given its time already.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match ended {
        Ok(Ending::Clean) => ExitCode::SUCCESS,
        Ok(Ending::Failed(trouble)) => {
            output::fail(&Error::internal(format!(
                "stopped because a task died: {trouble}"
            )));
            ExitCode::FAILURE
        }
        Ok(Ending::Abandoned(tasks)) => {
            output::fail(&Error::internal(format!(
                "stopped with {tasks} tasks still running; what they did is done again at the next start"
            )));
            ExitCode::FAILURE
        }
        Err(error) => {
            output::fail(&error);
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &ServeArgs) -> Result<Ending> {
    // Builds may run as our own user: none shall read our memory or what we
    // were started with.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        return Err(Error::internal("could not close this process to others").caused_by(error));
    }
    let random = Arc::new(SystemEntropy::new());
    let mut sources = Sources::of_process()?;
    if let Some(port) = args.port {
        sources.environment.remove("PORT_FILE");
        sources
            .environment
            .insert("PORT".to_owned(), port.to_string().into());
    }
    let loaded = Config::load(&sources, random.as_ref())?;
    let config = loaded.config;
    let _gathering = logging::start(&config.log)?;
    warn_of_unknown(&loaded.report);

    // Both addresses first: a port that is taken or a second server must be
    // told before anything is opened, and a client that comes early waits.
    let socket = listen::operator_socket(&DataDir::open(&config.data_dir)?.socket())?;
    let tcp = listen::tcp(&config.server).await?;
    let address = tcp
        .local_addr()
        .map_err(|e| Error::internal("the listener has no address").caused_by(e))?;
    let grace = config.server.shutdown_grace;
    let connections = listen::make_room(config.server.max_connections);

    let app = open(&config, &random).await?;
    let life = app.lifecycle.clone();
    life.obey_signals()?;
    // Set once, here; a second value is impossible.
    let _ = app.listening.set(address);
    let first_admin = setup::first_admin(&app).await?;

    let people = Limits::new(connections).per_address(
        config.server.max_per_address,
        &config.server.trusted_proxies,
    );
    let routes = router::router(Arc::clone(&app));
    life.spawn("http", server::serve(tcp, routes, people, life.clone()));
    // It answers until everything else has ended: who asks meanwhile hears that
    // the server is stopping.
    let operators = Lifecycle::new();
    let verbs = operator::router(Arc::clone(&app));
    let door = server::serve(socket, verbs, Limits::new(64), operators.clone());
    operators.spawn("operator socket", door);
    life.spawn("operator socket", open_until(life.stopping(), &operators));
    if !args.no_worker {
        life.spawn("worker", crate::worker::run(Arc::clone(&app)));
    }
    notify(&[NotifyState::Ready, NotifyState::Status("serving")]);
    keep_watchdog(&life);
    // Requests are answered already; what is said of the sandbox is proved.
    app.sandbox.settled().await;
    announce(&app, &first_admin);

    life.stopping().cancelled().await;
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing requests and running jobs"),
    ]);
    let ending = life.finish(grace).await;
    operators.stop();
    operators.finish(LAST_ANSWERS).await;
    tracing::info!(ending = ?ending, "stopped");
    Ok(ending)
}

/// Ends well at the soft stop, and badly if the operator's socket closes before.
fn open_until(
    stopping: &CancellationToken,
    operators: &Lifecycle,
) -> impl Future<Output = Result<()>> + use<> {
    let (stopping, closed) = (stopping.clone(), operators.stopping().clone());
    async move {
        tokio::select! {
            () = stopping.cancelled() => Ok(()),
            () = closed.cancelled() => Err(Error::internal("it is closed")),
        }
    }
}

/// Opens the stores. A command line that has them open at this moment is done
/// with them soon; anything else that holds them is told after a while.
async fn open(config: &Config, random: &Arc<SystemEntropy>) -> Result<Arc<App>> {
    const TRIES: u32 = 30;
    const PAUSE: Duration = Duration::from_millis(100);
    let mut tries = 0;
    loop {
        let random = Arc::clone(random) as Arc<dyn Random>;
        match App::start(config.clone(), Arc::new(SystemClock), random).await {
            Err(error) if error.details.contains_key("holder") && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

fn warn_of_unknown(report: &Report) {
    for unknown in &report.unknown {
        tracing::warn!("unknown setting: {unknown}");
    }
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
}

/// Says where to look. On stdout where that is for people, else on stderr:
/// JSON lines stay JSON, and the setup link is never part of a log.
fn announce(app: &App, first_admin: &FirstAdmin) {
    let here = app.base_url();
    let elsewhere = phone_url(app, &here);
    let mut lines = vec![
        format!("HiveSync {} is ready.", env!("CARGO_PKG_VERSION")),
        format!("  address  {here}"),
    ];
    if elsewhere != here {
        lines.push(format!("  devices  {elsewhere}"));
    }
    lines.extend([
        format!("  API      {here}/api/docs"),
        format!("  data     {}", app.data.root().display()),
        format!("  sandbox  {}", sandbox(app)),
    ]);
    match first_admin {
        FirstAdmin::Exists => {}
        FirstAdmin::Created(user) => {
            lines.push(format!("  admin    {} was made", user.username));
        }
        FirstAdmin::Needed(link) => lines.extend([
            format!(
                "No admin yet. This link makes the first one; it works once, until {}:",
                link.expires_at.to_rfc3339()
            ),
            format!("  {}", link.url(&here)),
        ]),
    }
    let text = lines.join("\n");
    match app.config.log.format {
        LogFormat::Text => output::print(text),
        LogFormat::Json => output::print_aside(text),
    }
    tracing::info!(address = app.base_url(), store = app.store.name(), "ready");
}

/// The level of the sandbox, and what it leaves open.
fn sandbox(app: &App) -> &str {
    if app.sandbox.level() == Some(SandboxLevel::None) {
        let warning = if app.config.server.local_dev_mode {
            "none. Warning: builds are not walled off (SANDBOX=none); every project's code can do \
             whatever this server can"
        } else {
            "none. Warning: builds are not walled off (SANDBOX=none); the code of a project that is \
             marked as trusted can do whatever this server can"
        };
        tracing::warn!("sandbox {warning}");
        return warning;
    }
    match (app.sandbox.level(), app.sandbox.remark()) {
        (None, _) => "none: builds are refused; hivesync health says why",
        (Some(_), Some(remark)) => remark,
        (Some(level), None) => level.as_str(),
    }
}

/// Tells systemd, where it listens.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "could not notify the service manager");
    }
}

/// Shows systemd's watchdog that the runtime still turns, twice in each of its
/// intervals, until the last task has ended.
fn keep_watchdog(life: &Lifecycle) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let halting = life.halting().clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval / 2);
        while !halting.is_cancelled() {
            ticks.tick().await;
            notify(&[NotifyState::Watchdog]);
        }
    });
}
