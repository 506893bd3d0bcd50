//! The `restricted` level, for machines where no namespaces are to be had: an
//! ordinary process that Landlock keeps from every file but those of its
//! [`Cell`](super::Cell), and a seccomp filter from every socket and every way
//! into other processes. It still sees that there are other processes, and
//! shares the machine's network, of which an install reaches one port.

use std::path::{Path, PathBuf};

use super::cell::WayOut;
use super::isolated::{ETC, SYSTEM};
use super::kept_back;
use super::launcher::{Calls, Connect, Paths, Sockets};
use super::mounts::{Access, Mount};
use super::toolchain::Toolchain;

/// Its own processes, the processor and the memory. What lies there of other
/// processes is closed by Landlock.
const KERNEL: &str = "/proc";

const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// Where a command may connect to.
pub(super) fn connect(way_out: Option<&WayOut>) -> Connect {
    match way_out {
        Some(WayOut::Port(port)) => Connect::Port(*port),
        Some(WayOut::Socket(_)) | None => Connect::Nowhere,
    }
}

pub(super) fn calls(connect: &Connect) -> Calls {
    Calls {
        sockets: match connect {
            Connect::Nowhere => Sockets::None,
            Connect::Port(_) => Sockets::Tcp,
        },
        guard_modes: true,
    }
}

pub(super) fn paths(mounts: &[Mount], toolchain: Option<&Toolchain>, connect: Connect) -> Paths {
    let system = SYSTEM.iter().chain(&ETC).map(PathBuf::from);
    let binds = toolchain.map(Toolchain::binds).unwrap_or_default();
    let hidden = kept_back::files(&binds);
    // A rule gives all that lies below.
    let mut read: Vec<PathBuf> = system
        .chain(binds)
        .flat_map(|path| kept_back::around(path, &hidden))
        .collect();
    read.push(KERNEL.into());
    let of = |access: Access| {
        mounts
            .iter()
            .filter(move |mount| mount.access == access)
            .map(|mount| mount.host.clone())
    };
    read.extend(of(Access::ReadOnly));
    Paths {
        read,
        write: of(Access::ReadWrite).collect(),
        devices: DEVICES.iter().map(Path::new).map(Path::to_owned).collect(),
        connect,
    }
}
