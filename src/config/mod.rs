//! What the operator decides, read once at start and then passed around.
//!
//! - [`settings`]: the one table of names, defaults and kinds;
//! - [`sources`]: where values come from, and in which order they win;
//! - [`load`]: from the sources to a [`Config`], with every value's origin;
//! - [`tiers`]: the profile and its engines, and which combinations cannot be;
//! - [`secrets`]: weak ones refused, missing ones made once;
//! - [`template`]: `env_templates/backend.env.example`, made from the table.

mod dotenv;
mod draft;
pub mod load;
mod parse;
pub mod secrets;
pub mod settings;
pub mod sources;
mod spec;
pub mod template;
#[cfg(test)]
mod tests;
pub mod tiers;
mod values;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use load::{Loaded, Report};
pub use sources::{Origin, Sources};
pub use spec::{Fallback, Kind, Setting, Spec};
pub use tiers::Tiers;
pub use values::Row;

use zeroize::Zeroizing;

/// A secret value: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Everything that was decided. Made by [`Config::load`].
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub log: Log,
    /// Everything that HiveSync keeps lies below this folder (`DATA_DIR`).
    pub data_dir: PathBuf,
    /// `MIN_FREE_DISK_MB`, in bytes: below it nothing new is written.
    pub min_free_disk_bytes: u64,
    /// `HIVESYNC_PROFILE` and the engine of each tier.
    pub tiers: Tiers,
    pub secrets: Secrets,
    pub accounts: Accounts,
    pub previews: Previews,
    pub builds: Builds,
    pub sources: SourceLimits,
}

/// Where the server listens and whom it listens to.
#[derive(Clone, Debug)]
pub struct Server {
    /// `BIND`, default 0.0.0.0 (127.0.0.1 in local dev mode).
    pub bind: IpAddr,
    /// `PORT`, default 4000; 0 lets the system choose.
    pub port: u16,
    /// `BASE_URL` without a trailing slash; `None`: from the request's host.
    pub base_url: Option<String>,
    /// `LOCAL_DEV_MODE`: one developer on one machine.
    pub local_dev_mode: bool,
    /// `TRUSTED_PROXIES`: addresses whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// `CORS_ORIGINS`: browser origins that may call the API.
    pub cors_origins: Vec<String>,
    /// `SHUTDOWN_GRACE_SECONDS`, default 20.
    pub shutdown_grace: Duration,
    /// `MAX_CONNECTIONS`, default 10000; the next one is answered 503 and closed.
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_ADDRESS`, default 512, of connections and of requests
    /// under way; the next one is answered 429.
    pub max_per_address: usize,
}

/// What the log says and in which form.
#[derive(Clone, Debug)]
pub struct Log {
    /// `LOG_LEVEL`: error, warn, info, debug, trace, or a tracing filter.
    pub level: String,
    pub format: LogFormat,
}

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What signs and seals.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// `JWT_SECRET`: signs sessions, seals stored credentials. At least 32 bytes.
    pub jwt: Secret,
    /// `PREVIEW_TOKEN_SECRET`: signs preview tokens and job capabilities.
    pub preview_token: Secret,
}

/// `REGISTRATION`: who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    Open,
    Invite,
    Closed,
}

/// How accounts come about.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// `REGISTRATION`, default `invite`, `open` in local dev mode.
    pub registration: Registration,
    /// `ADMIN_EMAIL` and `ADMIN_PASSWORD_FILE`: the first admin, made at start.
    pub admin: Option<(String, Secret)>,
}

/// How long things of a preview take and live.
#[derive(Clone, Debug)]
pub struct Previews {
    /// `PREVIEW_TOKEN_TTL_SECONDS`, default 300.
    pub token_ttl: Duration,
    /// `PREVIEW_MAX_TIMEOUT_MS`, default 8000: bundle and package of a build by a
    /// warm bundler.
    pub warm_timeout: Duration,
    /// `PREVIEW_COLD_TIMEOUT_MS`, default 300000: the same of any other build.
    pub cold_timeout: Duration,
    /// `PREVIEW_INSTALL_TIMEOUT_MS`, default 300000.
    pub install_timeout: Duration,
    /// `PREVIEW_BUNDLE_TTL_HOURS`, default 24: a bundle's life from its success.
    pub bundle_ttl: Duration,
    /// `PREVIEW_HOST`: `*.preview.example.com` gives each web preview an origin
    /// of its own. Kept without the `*.`.
    pub host: Option<String>,
}

/// `SANDBOX`: which level of the sandbox the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxChoice {
    /// The best level that its canary proves; no level, no build.
    Auto,
    /// `isolated` or no build.
    Isolated,
    /// `restricted` or no build.
    Restricted,
    /// No sandbox, for trusted projects only.
    None,
}

/// How builds run.
#[derive(Clone, Debug)]
pub struct Builds {
    /// `PREVIEW_BUILDER_CONCURRENCY`, default 2: builds at a time.
    pub concurrency: usize,
    /// `PREVIEW_PROJECT_CONCURRENCY`: running builds of one project; not more
    /// than `concurrency`, which is the default.
    pub per_project: u32,
    /// `PREVIEW_WARM_UP`, default true: whether previews are built ahead.
    pub warm_up: bool,
    /// `PREVIEW_BYTECODE`, default true: whether finished previews are compiled
    /// for Hermes.
    pub bytecode: bool,
    /// `SANDBOX`.
    pub sandbox: SandboxChoice,
    /// `BUILD_NPMRC`: a file with the registry's address, proxy, CA file and
    /// credentials for the install stage.
    pub npmrc: Option<PathBuf>,
    /// `BUILD_REGISTRIES`: `host` or `host:port` that installing may reach
    /// besides the public registries and those of `npmrc`.
    pub registries: Vec<String>,
    /// The program that runs in front of every command of a build; `None`:
    /// this very one. No setting: a program that only embeds the server says
    /// here where the server's own binary lies.
    pub launcher: Option<PathBuf>,
    pub limits: BuildLimits,
    pub warm: WarmLimits,
}

/// The bundlers that are kept between builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmLimits {
    /// `WARM_BUNDLERS`, default 4; 0 keeps none.
    pub count: usize,
    /// `WARM_BUNDLER_MEMORY_MB`, default 1024: of one, all its processes.
    pub memory_bytes: u64,
    /// `WARM_BUNDLER_IDLE_SECONDS`, default 900.
    pub idle: Duration,
}

/// What one build may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildLimits {
    /// `BUILD_MEMORY_MB`, default 3072, at most three quarters of the machine's:
    /// of all its processes together.
    pub memory_bytes: u64,
    /// `BUILD_PROCESSES`, default 1024: processes and threads.
    pub processes: u64,
    /// `BUILD_DISK_MB`, default 4096: of all that it writes, and of a site that
    /// is shown.
    pub disk_bytes: u64,
    /// `BUILD_FILE_MB`, default 1024: of any one file.
    pub file_bytes: u64,
    /// `BUILD_LOG_MB`, default 8: of one attempt's output.
    pub log_bytes: u64,
    /// `MIN_FREE_DISK_MB`: what a build must leave free on the disk.
    pub free_bytes: u64,
}

/// What may be brought in, and from where.
#[derive(Clone, Debug)]
pub struct SourceLimits {
    /// `SOURCE_ALLOWED_HOSTS`: `host` or `host:port` of repositories that may
    /// lie at private or loopback addresses and may be spoken to over http.
    pub allowed_hosts: Vec<String>,
    /// `UPLOAD_MAX_MB`, default 100: bytes of an archive's body.
    pub max_upload_bytes: u64,
    /// `UPLOAD_MAX_UNPACKED_MB`, default 1024.
    pub max_unpacked_bytes: u64,
    /// `UPLOAD_MAX_FILES`, default 50000.
    pub max_files: u64,
    /// `GIT_MAX_REPO_MB`, default 4096: bytes of a linked repository's packs.
    pub max_repo_bytes: u64,
    /// `GIT_TIMEOUT_SECONDS`, default 300: one fetch.
    pub git_timeout: Duration,
    /// `MIN_FREE_DISK_MB`: what a checkout leaves free.
    pub free_bytes: u64,
}
