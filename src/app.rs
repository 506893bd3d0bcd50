//! The composition root: from a [`Config`] to an [`App`] of ports. The only
//! module that names an adapter.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use crate::blobs::Blobs;
use crate::bundle::sandbox::Sandbox;
use crate::clock::{Clock, Random, Timestamp};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::ephemeral::Ephemeral;
use crate::git::Repos;
use crate::lifecycle::Lifecycle;
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
    /// How builds are walled off on this machine, as its canary proved.
    pub sandbox: Sandbox,
    /// When this process began.
    pub started_at: Timestamp,
    /// Tells long answers and workers when to stop.
    pub lifecycle: Lifecycle,
    /// Where the HTTP server listens, once it does.
    pub listening: OnceLock<SocketAddr>,
}

impl App {
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
