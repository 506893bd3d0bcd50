//! The registry proxy: the one way out of an install.
//!
//! An install has no network but this proxy, which lives in our process as long
//! as the install command. It connects to package registries by a list
//! ([`policy`]), judges every address that it connects to ([`dial`]), and counts
//! what goes through ([`tally`]). The operator's credentials never enter the
//! sandbox: for registries that have one the proxy stands in, with a certificate
//! that only this install believes ([`authority`]), and adds the credential to
//! requests for packages ([`forward`]). So addresses in lockfiles and in the
//! registry's own answers stay as they are, for every package manager.
//!
//! ```text
//! install ── HTTP proxy ── gate ─┬─ CONNECT ─────────────── tunnel ── registry
//!                                ├─ CONNECT, credentialed ─ stand-in ─ TLS ── registry
//!                                └─ GET http://… ────────── forward ── registry
//! ```

mod authority;
mod dial;
mod forward;
mod gate;
mod lend;
mod listener;
mod policy;
mod reading;
mod refusal;
mod serve;
mod tally;
mod tunnel;

use std::sync::Arc;

pub use gate::{Gate, Limits};
pub use listener::Place;

use crate::clock::Random;
use crate::net::resolve::{Resolver, SystemResolver};

/// What the gates of all installs have in common.
#[derive(Clone)]
pub struct Registries {
    /// `BUILD_REGISTRIES`.
    extra: Vec<String>,
    resolver: Arc<dyn Resolver>,
    random: Arc<dyn Random>,
    limits: Limits,
}

impl Registries {
    /// `extra`: hosts, with a port where it is not 443, that installs may reach
    /// besides the public registries and those of `BUILD_NPMRC`.
    #[must_use]
    pub fn new(extra: &[String], random: Arc<dyn Random>) -> Self {
        Self {
            extra: extra.to_vec(),
            resolver: Arc::new(SystemResolver),
            random,
            limits: Limits::default(),
        }
    }

    /// The same with another name service.
    #[must_use]
    pub fn resolving_with(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// The same with other limits for each install.
    #[must_use]
    pub fn limited_to(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
