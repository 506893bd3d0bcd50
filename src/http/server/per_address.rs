//! Who holds how many connections, and how many requests run on them: one
//! address shall not take them all, and HTTP/2 shall not multiply its share.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

use crate::services::auth::limits::network;

/// The connections that are open, by the network they come from.
#[derive(Debug)]
pub(super) struct PerAddress {
    limit: usize,
    trusted: Arc<[IpNet]>,
    held: Mutex<HashMap<IpAddr, Held>>,
}

/// What one network has.
#[derive(Debug, Default)]
struct Held {
    connections: usize,
    requests: Arc<AtomicUsize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    addresses: Arc<PerAddress>,
    from: Option<(IpAddr, Arc<AtomicUsize>)>,
}

/// A request's place among those of its address, until it is dropped.
#[derive(Debug)]
pub(super) struct RequestPermit(Option<Arc<AtomicUsize>>);

impl PerAddress {
    pub(super) fn new(limit: usize, trusted: Arc<[IpNet]>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            trusted,
            held: Mutex::default(),
        })
    }

    /// A place for one more connection from `peer`, if it has not too many.
    /// Behind a trusted proxy are many people, and on the Unix socket is the
    /// operator: both may have all there are.
    pub(super) fn connection(
        self: &Arc<Self>,
        peer: Option<SocketAddr>,
    ) -> Option<ConnectionPermit> {
        let address = peer.map(|peer| peer.ip().to_canonical());
        let is_trusted = |ip: &IpAddr| self.trusted.iter().any(|net| net.contains(ip));
        let from = match address.filter(|ip| !is_trusted(ip)).map(network) {
            None => None,
            Some(from) => {
                let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                let held = all.entry(from).or_default();
                if held.connections >= self.limit {
                    return None;
                }
                held.connections += 1;
                Some((from, Arc::clone(&held.requests)))
            }
        };
        Some(ConnectionPermit {
            addresses: Arc::clone(self),
            from,
        })
    }
}

impl ConnectionPermit {
    /// A place for one more request. On HTTP/1 there is always one, because
    /// each connection has one at a time.
    pub(super) fn request(&self) -> Option<RequestPermit> {
        let Some((_, requests)) = &self.from else {
            return Some(RequestPermit(None));
        };
        let before = requests.fetch_add(1, Ordering::Relaxed);
        // Dropped, it is taken off again.
        let permit = RequestPermit(Some(Arc::clone(requests)));
        (before < self.addresses.limit).then_some(permit)
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        if let Some(requests) = &self.0 {
            requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Some((from, _)) = &self.from else { return };
        let mut all = self
            .addresses
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(from) {
            held.connections -= 1;
            if held.connections == 0 {
                all.remove(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().expect("an address"), 1)
    }

    #[test]
    fn one_network_has_so_many_and_others_have_theirs() {
        let addresses = PerAddress::new(1, Arc::from([]));
        let first = addresses
            .connection(Some(peer("192.0.2.1")))
            .expect("the first");
        assert!(
            addresses
                .connection(Some(peer("::ffff:192.0.2.1")))
                .is_none()
        );
        let _other = addresses
            .connection(Some(peer("192.0.2.2")))
            .expect("another's");
        let _v6 = addresses
            .connection(Some(peer("2001:db8::1")))
            .expect("another's");
        assert!(addresses.connection(Some(peer("2001:db8::2"))).is_none());
        drop(first);
        addresses
            .connection(Some(peer("192.0.2.1")))
            .expect("free again");
    }

    #[test]
    fn the_requests_of_all_its_connections_are_counted_together() {
        let addresses = PerAddress::new(2, Arc::from([]));
        let permit = |text| addresses.connection(Some(peer(text))).expect("a permit");
        let (one, two, other) = (
            permit("192.0.2.1"),
            permit("192.0.2.1"),
            permit("192.0.2.2"),
        );
        let (first, _second) = (
            one.request().expect("a permit"),
            two.request().expect("a permit"),
        );
        assert!(one.request().is_none());
        assert!(two.request().is_none());
        assert!(other.request().is_some());
        drop(first);
        assert!(two.request().is_some());
        let operator = addresses.connection(None).expect("a permit");
        let permits: Vec<_> = (0..9).map(|_| operator.request()).collect();
        assert!(permits.iter().all(Option::is_some));
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let addresses = PerAddress::new(1, Arc::from([]));
        drop(addresses.connection(Some(peer("192.0.2.1"))));
        assert!(addresses.held.lock().expect("unpoisoned").is_empty());
    }

    #[test]
    fn proxies_and_the_operator_are_not_held_to_it() {
        let net: IpNet = "10.0.0.0/8".parse().expect("a network");
        let addresses = PerAddress::new(0, Arc::from([net]));
        assert!(addresses.connection(Some(peer("10.1.2.3"))).is_some());
        assert!(addresses.connection(None).is_some());
        assert!(addresses.connection(Some(peer("192.0.2.1"))).is_none());
    }
}
