//! Sockets: which of them a build may make, and what it may ask of them.

use seccompiler::{BackendError, SeccompCmpOp, SeccompCondition, SeccompRule};
use serde::{Deserialize, Serialize};

use super::{Rules, any, argument, number};

/// Which sockets a build may make. Pairs, which reach nobody else, are always
/// allowed: node speaks with its children through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::bundle::sandbox) enum Sockets {
    /// The usual ones: the network namespace is the build's own.
    Usual,
    /// TCP alone. Landlock says to which ports.
    Tcp,
    None,
}

/// What a socket is not told, though its owner hears that it was: how large
/// its buffers are to be. That is a wish at any time, and the system's own
/// figures let a watch bound what sockets hold by their number.
const IGNORED: [i32; 2] = [libc::SO_SNDBUF, libc::SO_RCVBUF];

/// Other options that give a socket memory of its own, or of the process's.
const MEMORY_OPTIONS: [i32; 3] = [
    libc::SO_ATTACH_FILTER,
    libc::SO_ATTACH_REUSEPORT_CBPF,
    libc::SO_ZEROCOPY,
];

impl Sockets {
    /// What is refused of them.
    pub(super) fn refused(self) -> Result<Rules, BackendError> {
        let mut rules = Rules::new();
        rules.insert(libc::SYS_socket, any(self.kinds()?)?);
        let other = argument(0, SeccompCmpOp::Ne, number(libc::AF_UNIX))?;
        rules.insert(libc::SYS_socketpair, any(vec![vec![other]])?);
        if self == Sockets::Tcp {
            // It connects, and Landlock does not look at it.
            let flag = number(libc::MSG_FASTOPEN);
            let fast_open = argument(3, SeccompCmpOp::MaskedEq(flag), flag)?;
            rules.insert(libc::SYS_sendto, any(vec![vec![fast_open]])?);
        }
        rules.insert(libc::SYS_setsockopt, options(&MEMORY_OPTIONS)?);
        Ok(rules)
    }

    /// Any of these lines describes a socket that is refused; no line at all
    /// refuses each.
    fn kinds(self) -> Result<Vec<Vec<SeccompCondition>>, BackendError> {
        let family = |op, family: i32| argument(0, op, number(family));
        let other_than = |families: &[i32]| {
            families
                .iter()
                .map(|known| family(SeccompCmpOp::Ne, *known))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(match self {
            Sockets::Usual => vec![other_than(&[
                libc::AF_UNIX,
                libc::AF_INET,
                libc::AF_INET6,
                libc::AF_NETLINK,
            ])?],
            Sockets::Tcp => {
                let mut refused = vec![
                    other_than(&[libc::AF_INET, libc::AF_INET6])?,
                    // Landlock knows TCP alone. What else is a stream of this
                    // family, such as MPTCP, passes it by.
                    vec![
                        argument(2, SeccompCmpOp::Ne, 0)?,
                        argument(2, SeccompCmpOp::Ne, number(libc::IPPROTO_TCP))?,
                    ],
                ];
                // All but `SOCK_STREAM`, whose kind is 1; above these bits are flags.
                for (bit, kind) in [(1, 0), (2, 2), (4, 4), (8, 8)] {
                    refused.push(vec![argument(1, SeccompCmpOp::MaskedEq(bit), kind)?]);
                }
                refused
            }
            // A call without a condition is refused at any time.
            Sockets::None => Vec::new(),
        })
    }
}

/// What is answered as if it were done.
pub(super) fn ignored() -> Result<Rules, BackendError> {
    Ok(Rules::from([(libc::SYS_setsockopt, options(&IGNORED)?)]))
}

/// Calls of `setsockopt` that set one of these.
fn options(names: &[i32]) -> Result<Vec<SeccompRule>, BackendError> {
    let level = || argument(1, SeccompCmpOp::Eq, number(libc::SOL_SOCKET));
    let mut when = Vec::new();
    for name in names {
        when.push(vec![
            level()?,
            argument(2, SeccompCmpOp::Eq, number(*name))?,
        ]);
    }
    any(when)
}
