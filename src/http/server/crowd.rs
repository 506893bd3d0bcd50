//! Who holds how many connections: one address shall not take them all.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

use crate::services::auth::limits::network;

/// The connections that are open, by the network they come from.
#[derive(Debug)]
pub(super) struct Crowd {
    per_address: usize,
    trusted: Arc<[IpNet]>,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    from: Option<IpAddr>,
}

impl Crowd {
    pub(super) fn new(per_address: usize, trusted: Arc<[IpNet]>) -> Arc<Self> {
        Arc::new(Self {
            per_address,
            trusted,
            held: Mutex::default(),
        })
    }

    /// A place for one more connection from `peer`, if it has not too many.
    /// Behind a trusted proxy are many people, and on the Unix socket is the
    /// operator: both may have all there are.
    pub(super) fn seat(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<Seat> {
        let address = peer.map(|peer| peer.ip().to_canonical());
        let is_trusted = |ip: &IpAddr| self.trusted.iter().any(|net| net.contains(ip));
        let from = address.filter(|ip| !is_trusted(ip)).map(network);
        if let Some(from) = from {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let count = held.entry(from).or_default();
            if *count >= self.per_address {
                return None;
            }
            *count += 1;
        }
        Some(Seat {
            crowd: Arc::clone(self),
            from,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(from) = self.from else { return };
        let mut held = self
            .crowd
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                held.remove(&from);
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
        let crowd = Crowd::new(1, Arc::from([]));
        let first = crowd.seat(Some(peer("192.0.2.1"))).expect("the first");
        assert!(crowd.seat(Some(peer("::ffff:192.0.2.1"))).is_none());
        let _other = crowd.seat(Some(peer("192.0.2.2"))).expect("another's");
        let _v6 = crowd.seat(Some(peer("2001:db8::1"))).expect("another's");
        assert!(crowd.seat(Some(peer("2001:db8::2"))).is_none());
        drop(first);
        crowd.seat(Some(peer("192.0.2.1"))).expect("free again");
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let crowd = Crowd::new(1, Arc::from([]));
        drop(crowd.seat(Some(peer("192.0.2.1"))));
        assert!(crowd.held.lock().expect("unpoisoned").is_empty());
    }

    #[test]
    fn proxies_and_the_operator_are_not_held_to_it() {
        let net: IpNet = "10.0.0.0/8".parse().expect("a network");
        let crowd = Crowd::new(0, Arc::from([net]));
        assert!(crowd.seat(Some(peer("10.1.2.3"))).is_some());
        assert!(crowd.seat(None).is_some());
        assert!(crowd.seat(Some(peer("192.0.2.1"))).is_none());
    }
}
