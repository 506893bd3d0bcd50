//! What the test puts in the way of a hostile build: listeners, files and
//! names that nobody may touch, and a look afterwards at whether somebody did.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::builder::Builder;

pub(super) struct Canaries {
    folder: tempfile::TempDir,
    tcp: TcpListener,
    socket: UnixListener,
    abstract_socket: UnixListener,
    abstract_name: String,
    /// Names the processes that try to outlive their build.
    pub(super) marker: String,
}

/// The server that is built on, and where what it guards lies.
pub(super) struct Target<'a> {
    pub(super) process: u32,
    pub(super) port: u16,
    pub(super) data: &'a Path,
    pub(super) npmrc: Option<&'a Path>,
}

impl<'a> Target<'a> {
    /// The one in this process.
    pub(super) fn of(builder: &'a Builder) -> Self {
        let app = builder.app();
        Self {
            process: std::process::id(),
            port: app.listening.get().expect("it listens").port(),
            data: app.data.root(),
            npmrc: app.config.builds.npmrc.as_deref(),
        }
    }
}

/// A part of the server's environment: set by cargo for tests alone, and by no
/// sandbox.
pub(super) fn environment() -> BTreeMap<String, String> {
    let environment: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, value)| name.starts_with("CARGO_") && value.len() > 8)
        .collect();
    assert!(!environment.is_empty(), "tests run under cargo");
    environment
}

impl Canaries {
    pub(super) fn new(name: &str) -> Self {
        // Not in the machine's /tmp: builds have one of their own.
        let folder = tempfile::Builder::new()
            .prefix("canaries-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder");
        // Open to everyone: only the sandbox stands in between.
        let all = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
        fs::set_permissions(folder.path(), all).expect("opened");
        fs::write(folder.path().join("victim"), "untouched").expect("written");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let socket = UnixListener::bind(folder.path().join("socket")).expect("a socket");
        let marker = format!("hive-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&marker).expect("a name");
        let abstract_socket = UnixListener::bind_addr(&address).expect("a socket");
        tcp.set_nonblocking(true).expect("set");
        socket.set_nonblocking(true).expect("set");
        abstract_socket.set_nonblocking(true).expect("set");
        Self {
            folder,
            tcp,
            socket,
            abstract_socket,
            abstract_name: marker.clone(),
            marker,
        }
    }

    /// What `attempts.cjs` is told to aim at.
    pub(super) fn targets(&self, server: &Target<'_>, repository: &Path) -> Value {
        let port = self.tcp.local_addr().expect("an address").port();
        json!({
            "environment": environment(),
            "server": server.process,
            "data": server.data,
            "npmrc": server.npmrc,
            "repository": repository,
            "socket": self.folder.path().join("socket"),
            "abstract": self.abstract_name,
            "ports": [port, server.port],
            "marker": self.marker,
            "outside": self.outside(server.data),
        })
    }

    fn outside(&self, data: &Path) -> Vec<PathBuf> {
        let mut places: Vec<PathBuf> = [
            "/",
            "/usr",
            "/usr/bin/env",
            "/etc",
            "/etc/passwd",
            "/etc/hosts",
            "/opt",
            "/root",
            "/home",
            "/var",
            "/lib",
            "/bin",
            "/dev",
            "/proc/sys/kernel/core_pattern",
            "/sys",
            "/work",
            "/opt/toolchain/bin",
        ]
        .map(PathBuf::from)
        .to_vec();
        places.extend([
            data.to_owned(),
            data.join("tmp"),
            data.join("db"),
            data.join("cache"),
            data.join("cache/npm"),
            data.join("cache/preview_deps"),
            data.join("repos"),
            self.folder.path().to_owned(),
            self.folder.path().join("victim"),
            env!("CARGO_MANIFEST_DIR").into(),
        ]);
        places
    }

    /// Nobody came, nothing was written, nobody is left.
    pub(super) fn assert_untouched(&self, data: &Path) {
        assert!(self.tcp.accept().is_err(), "loopback was reached");
        assert!(self.socket.accept().is_err(), "the socket was reached");
        let reached = self.abstract_socket.accept().is_ok();
        assert!(!reached, "the abstract socket was reached");
        let victim = fs::read_to_string(self.folder.path().join("victim"));
        assert_eq!(victim.expect("the victim"), "untouched");
        for place in self.outside(data) {
            assert!(
                !place.join("hostile").exists(),
                "written in {}",
                place.display()
            );
        }
        let sets = fs::read_dir(data.join("cache/preview_deps"));
        for set in sets.into_iter().flatten().flatten() {
            let shared = set.path().join("0/ms/index.js");
            let shared = fs::read_to_string(shared).expect("a module");
            assert!(shared.contains("module.exports") && !shared.contains("hostile"));
        }
        assert_eq!(alive(&self.marker), Vec::<String>::new());
    }
}

/// The command lines of this machine's processes that name `marker`, which is
/// part of no other test's.
pub(super) fn alive(marker: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(marker))
        .collect()
}
