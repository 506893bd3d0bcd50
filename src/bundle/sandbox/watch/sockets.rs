//! The memory behind a build's sockets. The kernel shows what waits in those
//! of TCP; of the others only how many there are, which bounds it: each is good
//! for what its sender may have under way.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use super::hidden::FREE_SOCKETS;

/// What one may hold that nobody has enlarged: a sender may go over its limit
/// by the half of a message, and a datagram waits at its receiver, too.
static SOCKET: LazyLock<u64> = LazyLock::new(|| {
    let limit = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/core/{name}"));
        text.ok().and_then(|text| text.trim().parse::<u64>().ok())
    };
    // Linux's own figure.
    let usual = 212_992;
    let larger = limit("wmem_default").max(limit("rmem_default"));
    2 * larger.unwrap_or(usual)
});

/// The kernel keeps more than it is given: a segment has a head, and a page to
/// itself.
const OVERHEAD: u64 = 2;
/// A connection at rest.
const CONNECTION: u64 = 4096;

/// The sockets of a build.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    sockets: u64,
    connections: u64,
    /// Bytes of TCP that somebody has not read yet.
    waiting: u64,
}

impl Held {
    /// An upper bound of their memory, without what is free of charge.
    pub(super) fn bytes(&self) -> u64 {
        self.sockets.saturating_sub(FREE_SOCKETS) * *SOCKET
            + self.connections * CONNECTION
            + self.waiting * OVERHEAD
    }
}

/// All that is in the network namespace of these processes, if it is not ours:
/// in it are those, too, that no process has open any more or yet.
pub(super) fn apart(mut processes: impl Iterator<Item = i32>) -> Held {
    let namespace = |process: &str| {
        let found = fs::metadata(format!("/proc/{process}/ns/net"));
        found.map(|meta| meta.ino()).ok()
    };
    let ours = namespace("self");
    let inside = processes.find(|id| namespace(&id.to_string()).is_some_and(|n| Some(n) != ours));
    let Some(id) = inside else {
        return Held::default();
    };
    let read = |name: &str| fs::read_to_string(format!("/proc/{id}/net/{name}"));
    let mut held = Held {
        sockets: counted(&read("protocols").unwrap_or_default()),
        ..Held::default()
    };
    for table in ["tcp", "tcp6"] {
        held.add(&read(table).unwrap_or_default(), None);
    }
    held
}

/// Those with these numbers, where the machine's network is shared.
pub(super) fn among(numbers: &HashSet<u64>) -> Held {
    let mut held = Held {
        sockets: numbers.len() as u64,
        ..Held::default()
    };
    if !numbers.is_empty() {
        for table in ["tcp", "tcp6"] {
            let table = fs::read_to_string(format!("/proc/net/{table}"));
            held.add(&table.unwrap_or_default(), Some(numbers));
        }
    }
    held
}

impl Held {
    /// Adds a table of TCP connections:
    /// `sl local remote state sent:received timer retransmitted uid timeout inode`.
    fn add(&mut self, table: &str, only: Option<&HashSet<u64>>) {
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(queues), Some(inode)) = (words.get(4), words.get(9)) else {
                continue;
            };
            let inode = inode.parse().unwrap_or(0);
            if only.is_some_and(|only| !only.contains(&inode)) {
                continue;
            }
            let queue = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
            self.connections += 1;
            self.waiting += queues.split(':').map(queue).sum::<u64>();
        }
    }
}

/// The sockets of all protocols but TCP, from `name size sockets ...`.
fn counted(protocols: &str) -> u64 {
    protocols
        .lines()
        .skip(1)
        .map(|line| line.split_ascii_whitespace())
        .filter_map(|mut words| {
            let name = words.next()?;
            let count: u64 = words.nth(1)?.parse().ok()?;
            (!name.starts_with("TCP")).then_some(count)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                         retrnsmt   uid  timeout inode\n\
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 11 1 0 100 0\n\
   1: 0100007F:1F90 0100007F:2000 01 00000010:00000100 00:00000000 00000000 0 0 12 1 0 100 0\n";

    #[test]
    fn what_waits_in_connections_is_counted() {
        let mut all = Held::default();
        all.add(TABLE, None);
        assert_eq!((all.connections, all.waiting), (2, 0x110));
        let mut some = Held::default();
        some.add(TABLE, Some(&HashSet::from([11])));
        assert_eq!((some.connections, some.waiting), (1, 0));
    }

    #[test]
    fn sockets_are_counted_by_protocol() {
        let table = "protocol  size sockets  memory press maxhdr\n\
                     TCPv6     2432      5     190   no     192\n\
                     UNIX-STREAM 1152    300      -1   NI       0\n\
                     UDP       1344      2       0   NI       0\n";
        assert_eq!(counted(table), 302);
        let few = Held {
            sockets: FREE_SOCKETS,
            ..Held::default()
        };
        assert_eq!(few.bytes(), 0);
    }

    #[test]
    fn a_network_that_is_ours_is_nobodys_own() {
        let own = rustix::process::getpid().as_raw_pid();
        assert_eq!(apart(std::iter::once(own)), Held::default());
    }
}
