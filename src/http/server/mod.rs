//! The accept loop: connections in, up to a limit; out again at the stop.
//!
//! Our own loop instead of `axum::serve`, which lets half-sent headers hang
//! and takes any number of connections.

mod connection;
mod io;
pub mod listen;
mod per_address;
mod pulse;
mod request_body;
mod response_body;
mod streams;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ipnet::IpNet;
use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::error::{Error, Result};
use crate::lifecycle::Lifecycle;
use connection::{Protocol, Refusal};
use listen::Listener;
use per_address::{ConnectionPermit, PerAddress};

/// How long and how much a server bears with its clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; the next one is told 503 and closed.
    pub connections: usize,
    /// Those of one address, or one IPv6 network; the next one is told 429. No
    /// more requests of it run at a time, on however few connections.
    pub per_address: usize,
    /// Proxies, which bring the connections of many.
    pub trusted: Arc<[IpNet]>,
    /// For the whole head of a request, from its first byte; on a new
    /// connection from the start.
    pub header: Duration,
    /// For a connection on which no request runs. Longer than the minute for
    /// which proxies commonly keep theirs: who closes second meets no reset.
    pub idle: Duration,
    /// For a client that takes nothing of what it is sent: of all of it, or on
    /// HTTP/2 of one answer, which ends alone while others go on: behind a proxy
    /// they are other people's.
    pub stall: Duration,
    pub body: Pace,
}

/// How fast a body must come in at least.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// For the next piece, whatever its size.
    pub stall: Duration,
    /// For the whole body, before its pace counts.
    pub grace: Duration,
    /// On average, from then on. Far below the worst of networks.
    pub bytes_per_second: u64,
}

impl Limits {
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            connections,
            per_address: usize::MAX,
            trusted: Arc::from([]),
            header: Duration::from_secs(20),
            idle: Duration::from_secs(75),
            stall: Duration::from_mins(1),
            body: Pace {
                stall: Duration::from_secs(30),
                grace: Duration::from_secs(30),
                bytes_per_second: 1024,
            },
        }
    }

    /// The same with at most so many connections of one address, except of
    /// these proxies.
    #[must_use]
    pub fn per_address(self, per_address: usize, trusted: &[IpNet]) -> Self {
        Self {
            per_address,
            trusted: Arc::from(trusted),
            ..self
        }
    }
}

/// How long accepting pauses when the process is out of file descriptors or
/// memory: long enough for a connection to end, too short to be noticed.
const PAUSE: Duration = Duration::from_millis(50);

/// Refusals under way at a time; beyond it a connection is closed unanswered.
const REFUSALS: usize = 64;

/// Serves `router` until the soft stop, then waits for the connections until
/// the hard stop.
///
/// # Errors
/// `INTERNAL_ERROR` when the listener itself breaks.
pub async fn serve<L: Listener>(
    listener: L,
    router: Router,
    limits: Limits,
    life: Lifecycle,
) -> Result<()> {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let addresses = PerAddress::new(limits.per_address, Arc::clone(&limits.trusted));
    let stall = limits.stall;
    let protocol = Arc::new(Protocol::new(limits));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = life.stopping().cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                recover(error).await?;
                continue;
            }
        };
        match admit(&addresses, &slots, peer) {
            Ok((permit, slot)) => {
                let (protocol, router, life) =
                    (Arc::clone(&protocol), router.clone(), life.clone());
                connections.spawn(async move {
                    protocol.converse(stream, peer, permit, router, &life).await;
                    drop(slot);
                });
            }
            Err(refusal) => {
                if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                    connections.spawn(async move {
                        connection::refuse(stream, refusal, stall).await;
                        drop(permit);
                    });
                }
            }
        }
    }
    // Closed first: while we drain, new clients are refused by the system and
    // can go elsewhere.
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// A place for a connection from `peer`, or why it has none.
fn admit(
    addresses: &Arc<PerAddress>,
    slots: &Arc<Semaphore>,
    peer: Option<SocketAddr>,
) -> Result<(ConnectionPermit, OwnedSemaphorePermit), Refusal> {
    let permit = addresses.connection(peer).ok_or(Refusal::TooMany)?;
    let slot = Arc::clone(slots).try_acquire_owned();
    slot.map(|slot| (permit, slot)).map_err(|_| Refusal::Full)
}

/// Goes on after what concerns one connection only, pauses when the machine is
/// short of something, and gives up when the listener is broken.
async fn recover(error: std::io::Error) -> Result<()> {
    if matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    ) {
        return Ok(());
    }
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    if matches!(errno, Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK)) {
        return Err(Error::internal("the listener is broken").caused_by(error));
    }
    tracing::warn!(%error, "could not accept a connection; trying again");
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_broken_listener_ends_the_loop() {
        let error = |errno: Errno| std::io::Error::from_raw_os_error(errno.raw_os_error());
        for passing in [Errno::MFILE, Errno::NFILE, Errno::CONNABORTED, Errno::NOMEM] {
            recover(error(passing)).await.expect("it goes on");
        }
        recover(error(Errno::BADF)).await.expect_err("it gives up");
    }
}
