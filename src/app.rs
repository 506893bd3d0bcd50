//! The composition root: from a [`Config`] to an [`App`] of ports. The only
//! module that names an adapter.

use std::sync::Arc;

use crate::blobs::Blobs;
use crate::bundle::sandbox::Sandbox;
use crate::clock::{Clock, Random};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::ephemeral::Ephemeral;
use crate::git::Repos;
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
}
