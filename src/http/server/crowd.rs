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
pub(super) struct Crowd {
    per_address: usize,
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
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    from: Option<(IpAddr, Arc<AtomicUsize>)>,
}

/// A request's place among those of its address, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Option<Arc<AtomicUsize>>);

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
        let from = match address.filter(|ip| !is_trusted(ip)).map(network) {
            None => None,
            Some(from) => {
                let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                let held = all.entry(from).or_default();
                if held.connections >= self.per_address {
                    return None;
                }
                held.connections += 1;
                Some((from, Arc::clone(&held.requests)))
            }
        };
        Some(Seat {
            crowd: Arc::clone(self),
            from,
        })
    }
}

impl Seat {
    /// A place for one more request. On HTTP/1 there is always one, because
    /// each connection has one at a time.
    pub(super) fn turn(&self) -> Option<Turn> {
        let Some((_, requests)) = &self.from else {
            return Some(Turn(None));
        };
        let before = requests.fetch_add(1, Ordering::Relaxed);
        // Dropped, it is taken off again.
        let turn = Turn(Some(Arc::clone(requests)));
        (before < self.crowd.per_address).then_some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(requests) = &self.0 {
            requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((from, _)) = &self.from else { return };
        let mut all = self
            .crowd
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
    fn the_requests_of_all_its_connections_are_counted_together() {
        let crowd = Crowd::new(2, Arc::from([]));
        let seat = |text| crowd.seat(Some(peer(text))).expect("a seat");
        let (one, two, other) = (seat("192.0.2.1"), seat("192.0.2.1"), seat("192.0.2.2"));
        let (first, _second) = (one.turn().expect("a turn"), two.turn().expect("a turn"));
        assert!(one.turn().is_none());
        assert!(two.turn().is_none());
        assert!(other.turn().is_some());
        drop(first);
        assert!(two.turn().is_some());
        let operator = crowd.seat(None).expect("a seat");
        let turns: Vec<_> = (0..9).map(|_| operator.turn()).collect();
        assert!(turns.iter().all(Option::is_some));
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
