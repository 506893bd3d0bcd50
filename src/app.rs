//! The composition root: from a [`Config`] to an [`App`] of ports. The only
//! module that names an adapter.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use crate::blobs::Blobs;
use crate::blobs::local::LocalBlobs;
use crate::bundle::registry::Registries;
use crate::bundle::sandbox::Sandbox;
use crate::bundle::warm::Bundlers;
use crate::clock::{Clock, Random, Timestamp};
use crate::config::Config;
use crate::config::tiers::Profile;
use crate::data_dir::DataDir;
use crate::ephemeral::Ephemeral;
use crate::ephemeral::sled::SledEphemeral;
use crate::error::{Context, Result};
use crate::git::Repos;
use crate::lifecycle::Lifecycle;
use crate::store::redb::RedbStore;
use crate::store::{JobQueue, MetaStore};

/// Everything a service needs, as ports.
pub struct App {
    pub config: Config,
    pub data: DataDir,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub store: Arc<dyn MetaStore>,
    pub queue: Arc<dyn JobQueue>,
    pub ephemeral: Arc<dyn Ephemeral>,
    pub blobs: Arc<dyn Blobs>,
    pub repos: Repos,
    /// What installs may reach, and how.
    pub registries: Registries,
    /// How builds are walled off on this machine, as its canary proves.
    pub sandbox: Sandbox,
    /// The bundlers that wait for the next build of their projects.
    pub bundlers: Bundlers,
    /// When this process began.
    pub started_at: Timestamp,
    /// Tells long answers and workers when to stop.
    pub lifecycle: Lifecycle,
    /// Where the HTTP server listens, once it does.
    pub listening: OnceLock<SocketAddr>,
}

/// The engines of the tiers, opened.
struct Engines {
    data: DataDir,
    store: Arc<dyn MetaStore>,
    queue: Arc<dyn JobQueue>,
    ephemeral: Arc<dyn Ephemeral>,
    blobs: Arc<dyn Blobs>,
}

impl App {
    /// Opens the stores.
    ///
    /// # Errors
    /// `DEPENDENCY_FAILURE` when the data folder or a store cannot be opened.
    pub async fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Arc<Self>> {
        let engines = {
            let (config, clock) = (config.clone(), Arc::clone(&clock));
            tokio::task::spawn_blocking(move || Engines::open(&config, &clock))
                .await
                .or_internal("open the stores")??
        };
        stop_point!(RecoveryOpened);
        if config.tiers.profile == Profile::Embedded {
            // The lock on the file says that no other process runs a job.
            let left = engines.queue.expire_all_leases().await?;
            if left > 0 {
                tracing::info!(
                    jobs = left,
                    "jobs that were running at the last end are queued again"
                );
            }
        }
        stop_point!(RecoveryReleased);
        Ok(Arc::new(Self {
            started_at: clock.now(),
            repos: Repos::new(&engines.data, &config.sources),
            registries: Registries::new(&config.builds.registries, Arc::clone(&random)),
            sandbox: Sandbox::of_this_machine(&config),
            bundlers: Bundlers::new(config.builds.warm, Arc::clone(&clock)),
            lifecycle: Lifecycle::new(),
            listening: OnceLock::new(),
            config,
            clock,
            random,
            data: engines.data,
            store: engines.store,
            queue: engines.queue,
            ephemeral: engines.ephemeral,
            blobs: engines.blobs,
        }))
    }

    /// Where links outside of any request point: `BASE_URL`, else the address
    /// the server listens at.
    #[must_use]
    pub fn base_url(&self) -> String {
        match &self.config.server.base_url {
            Some(url) => url.clone(),
            None => self.listening_url(),
        }
    }

    /// The server's address as seen from this machine, without a trailing
    /// slash.
    #[must_use]
    pub fn listening_url(&self) -> String {
        let configured = SocketAddr::new(self.config.server.bind, self.config.server.port);
        let mut address = self.listening.get().copied().unwrap_or(configured);
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        format!("http://{address}")
    }
}

impl Engines {
    /// Blocks: files are opened and, after a crash, repaired. The tiers were
    /// checked when the configuration was read: they are the embedded ones.
    fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self> {
        let data = DataDir::open(&config.data_dir)?;
        let database = data.db().join("hivesync.redb");
        data.insist_on(&database)?;
        let store = Arc::new(RedbStore::open(&database, Arc::clone(clock))?);
        // Whoever holds the database may serve from the caches. Where the kernel
        // does not say which start this is, they are believed.
        if let Ok(boot) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
            data.doubt_caches(boot.trim())?;
        }
        Ok(Self {
            queue: Arc::clone(&store) as Arc<dyn JobQueue>,
            store,
            ephemeral: Arc::new(SledEphemeral::open(&data.ephemeral(), Arc::clone(clock))?),
            blobs: Arc::new(LocalBlobs::open(&data.blobs())?),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SystemClock, SystemEntropy};

    #[tokio::test]
    async fn who_is_refused_the_folder_leaves_its_caches() {
        let dir = tempfile::tempdir().unwrap();
        let start = || {
            let config = Config::for_tests(dir.path());
            App::start(
                config,
                Arc::new(SystemClock),
                Arc::new(SystemEntropy::new()),
            )
        };
        let serving = start().await.unwrap();
        let site = serving.data.web_cache().join("site");
        std::fs::create_dir_all(&site).unwrap();
        // As one does that runs on another machine, of the same disk.
        std::fs::write(dir.path().join("cache/boot"), "another").unwrap();
        assert!(start().await.is_err());
        assert!(site.exists());
        drop(serving);
        start().await.unwrap();
        assert!(!site.exists());
    }
}
