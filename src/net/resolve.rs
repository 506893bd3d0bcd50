//! Looking up host names. A port of its own, so that whoever judges addresses
//! is given the same answer that it then connects to, and tests decide it.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;

/// Where host names are looked up.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of `host`, each with `port`; not judged.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The machine's own name service.
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
