//! The `isolated` level: the command line of bubblewrap.
//!
//! The build gets a root of its own: the system's programs read-only, a few
//! files of `/etc`, its own `/proc`, `/dev` and `/tmp`, and the mounts of its
//! [`Cell`](super::Cell). Nothing of the data folder is there unless a mount
//! puts it there. It has no capabilities, cannot make new user namespaces
//! where bubblewrap can forbid it, and dies as a whole with its first process.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::kept_back;
use super::mounts::{Access, Mount};
use super::toolchain::Toolchain;

/// Where node, npm and npx stand in every sandbox.
pub(super) const TOOLCHAIN_BIN: &str = "/opt/toolchain/bin";

/// Our own binary inside: the entry of every command.
pub(super) const LAUNCHER: &str = "/run/hivesync/cell";

/// Who a build is inside; outside it is whoever the server is.
pub(super) const USER: u32 = 1000;

/// The system's programs and libraries.
pub(super) const SYSTEM: [&str; 7] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/nix/store",
    "/etc/alternatives",
];

/// What programs expect of `/etc`: the linker's cache, time zone and the
/// certificate authorities. Not the folders above those: they hold private
/// keys, too, and a server that runs as root could read them.
pub(super) const ETC: [&str; 12] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
];

/// Bytes of `/dev/shm`.
const SHARED_MEMORY: &str = "67108864";

#[derive(Clone, Debug)]
pub(super) struct Bubblewrap {
    pub(super) program: PathBuf,
    /// Since 0.8: the build cannot make user namespaces inside.
    pub(super) disable_userns: bool,
    /// Since 0.7: file systems in memory can be bounded.
    pub(super) sized_tmpfs: bool,
}

/// One command to be walled off.
pub(super) struct Isolate<'a> {
    pub(super) mounts: &'a [Mount],
    pub(super) toolchain: Option<&'a Toolchain>,
    pub(super) launcher: &'a Path,
    pub(super) cwd: &'a Path,
}

impl Bubblewrap {
    /// Bubblewrap and its arguments up to the command's own words. What its
    /// environment is to be the warden says: any user of the machine can read
    /// a command line.
    pub(super) fn words(&self, isolate: &Isolate<'_>) -> Vec<OsString> {
        let mut words = Words(vec![self.program.clone().into()]);
        self.namespaces(&mut words);
        system(&mut words);
        words.options(&["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
        self.shared_memory(&mut words);
        words.options(&["--dir", "/run", "--dir", "/var/tmp"]);
        words.bind(Access::ReadOnly, isolate.launcher, Path::new(LAUNCHER));
        if let Some(toolchain) = isolate.toolchain {
            toolchain_links(&mut words, toolchain);
        }
        let binds = isolate.toolchain.map(Toolchain::binds);
        for file in kept_back::files(&binds.unwrap_or_default()) {
            // There, and empty.
            words.options(&["--dev-bind", "/dev/null"]);
            words.push(file);
        }
        for mount in isolate.mounts {
            words.bind(mount.access, &mount.host, &mount.guest);
        }
        // The kernel lets root's processes change its settings without any
        // capability, by the user they are outside: that is ours.
        words.options(&["--remount-ro", "/proc"]);
        words.options(&["--remount-ro", "/"]);
        words.push("--chdir");
        words.push(isolate.cwd);
        words.push("--");
        words.0
    }

    /// A file system in memory is as large as half of the machine's unless it
    /// is told otherwise. Programs need `/dev/shm`, and little of it; the rest
    /// of `/dev` is no place to write.
    fn shared_memory(&self, words: &mut Words) {
        if self.sized_tmpfs {
            words.options(&["--perms", "1777", "--size", SHARED_MEMORY]);
        }
        words.options(&["--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
    }

    fn namespaces(&self, words: &mut Words) {
        let user = USER.to_string();
        words.options(&[
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-net",
            "--unshare-cgroup-try",
            "--hostname",
            "build",
            "--uid",
            &user,
            "--gid",
            &user,
            "--cap-drop",
            "ALL",
            "--die-with-parent",
            "--new-session",
        ]);
        if self.disable_userns {
            words.push("--disable-userns");
        }
    }
}

fn system(words: &mut Words) {
    for path in SYSTEM {
        match std::fs::read_link(path) {
            // `/bin -> usr/bin` and its like stay links.
            Ok(target) => {
                words.push("--symlink");
                words.push(target);
                words.push(path);
            }
            Err(_) if Path::new(path).is_dir() => {
                words.bind(Access::ReadOnly, Path::new(path), Path::new(path));
            }
            Err(_) => {}
        }
    }
    for path in ETC {
        words.resolved_bind(path);
    }
}

fn toolchain_links(words: &mut Words, toolchain: &Toolchain) {
    for bind in toolchain.binds() {
        words.bind(Access::ReadOnly, &bind, &bind);
    }
    let bin = Path::new(TOOLCHAIN_BIN);
    words.push("--symlink");
    words.push(&toolchain.node);
    words.push(bin.join("node"));
    if let Some(npm) = &toolchain.npm {
        for name in ["npm", "npx"] {
            words.push("--symlink");
            words.push(npm.join(format!("bin/{name}-cli.js")));
            words.push(bin.join(name));
        }
    }
}

/// Arguments in the making.
struct Words(Vec<OsString>);

impl Words {
    fn push(&mut self, word: impl AsRef<OsStr>) {
        self.0.push(word.as_ref().to_owned());
    }

    fn options(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn bind(&mut self, access: Access, host: &Path, guest: &Path) {
        self.push(match access {
            Access::ReadOnly => "--ro-bind",
            Access::ReadWrite => "--bind",
        });
        self.push(host);
        self.push(guest);
    }

    /// Binds what `path` is in the end: `/etc/localtime` and its like are
    /// links, some to places that the sandbox does not have.
    fn resolved_bind(&mut self, path: &str) {
        if let Ok(real) = Path::new(path).canonicalize() {
            self.bind(Access::ReadOnly, &real, Path::new(path));
        }
    }
}
