//! A server that is not root, as it runs in most containers: an ordinary user
//! without a name and without a home on this machine.
//!
//! Where the tests themselves are not root, their own user is such a one.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hivesync::config::SandboxChoice;
use rustix::process::geteuid;

use crate::common::PASSWORD;
use crate::npm;
use crate::process::{Home, Serving};
use crate::session::{Session, with_input};

/// A number as container platforms give them out; no machine has a name for it.
const USER: u32 = 1_000_650_000;

/// A build's folder may hold a copy of all its dependencies.
const CLEARING: Duration = Duration::from_mins(2);

pub(crate) struct Unprivileged {
    home: Home,
    pub(crate) server: Serving,
    pub(crate) session: Session,
}

/// A folder of this user's with the tools of this level of the sandbox.
fn home(level: SandboxChoice) -> Home {
    let home = Home::new();
    let tools = home.path().join("tools");
    fs::create_dir(&tools).expect("made");
    let bubblewrap = (level == SandboxChoice::Isolated).then_some("bwrap");
    for name in ["git", "node", "npm"].into_iter().chain(bubblewrap) {
        symlink(installed(name), tools.join(name)).expect("linked");
    }
    // Its folder may be closed to other users.
    let built = env!("CARGO_BIN_EXE_hivesync");
    let binary = program(&home);
    if fs::hard_link(built, &binary).is_err() {
        fs::copy(built, &binary).expect("copied");
    }
    if let Some(npmrc) = npm::npmrc(home.path()) {
        fs::set_permissions(npmrc, fs::Permissions::from_mode(0o644)).expect("opened");
    }
    if geteuid().is_root() {
        chown(home.path(), Some(USER), Some(USER)).expect("given away");
    }
    home
}

fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed"))
}

fn program(home: &Home) -> PathBuf {
    home.path().join("hivesync")
}

/// The binary with these arguments, as that user.
fn command(home: &Home, arguments: &[&str]) -> Command {
    let plain = home.command(arguments);
    let mut command = if geteuid().is_root() {
        let mut command = Command::new(installed("setpriv"));
        let user = USER.to_string();
        command
            .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
            .arg(program(home));
        command
    } else {
        Command::new(program(home))
    };
    let set = plain.get_envs();
    command
        .args(plain.get_args())
        .env_clear()
        .envs(set.filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", home.path().join("tools"))
        .current_dir(home.path())
        .stdin(Stdio::null());
    command
}

impl Unprivileged {
    /// A server with a worker and an account, whose builds run at this level.
    pub(crate) async fn start(level: SandboxChoice, settings: &[(&str, &str)]) -> Self {
        Self::serving(home(level), level, settings).await
    }

    /// The same, with a node that is installed at `prefix`, where a file for
    /// every user of the machine says this to package managers.
    pub(crate) async fn start_with_npmrc(level: SandboxChoice, prefix: &Path, npmrc: &str) -> Self {
        let home = home(level);
        for folder in ["bin", "etc", "lib"] {
            fs::create_dir_all(prefix.join(folder)).expect("made");
        }
        fs::write(prefix.join("etc/npmrc"), npmrc).expect("written");
        let (real, node) = (installed("node"), prefix.join("bin/node"));
        let real = real.canonicalize().expect("a program");
        if fs::hard_link(&real, &node).is_err() {
            fs::copy(&real, &node).expect("copied");
        }
        let tool = home.path().join("tools/node");
        fs::remove_file(&tool).expect("removed");
        symlink(node, tool).expect("linked");
        Self::serving(home, level, &[]).await
    }

    async fn serving(home: Home, level: SandboxChoice, settings: &[(&str, &str)]) -> Self {
        let name = match level {
            SandboxChoice::Isolated => "isolated",
            SandboxChoice::Restricted => "restricted",
            SandboxChoice::Auto | SandboxChoice::None => panic!("a level that walls off"),
        };
        let mut serve = command(&home, &["serve"]);
        serve
            .env("SANDBOX", name)
            .env("MIN_FREE_DISK_MB", "0")
            // Machines that test are busy.
            .env("PREVIEW_MAX_TIMEOUT_MS", "120000")
            .env("WARM_BUNDLERS", "0");
        let npmrc = home.path().join("build.npmrc");
        if npmrc.exists() {
            serve.env("BUILD_NPMRC", npmrc);
        }
        serve.envs(settings.iter().copied());
        let mut server = Serving::start(serve);
        server.wait_for(&format!("  sandbox  {name}"));
        let mut create = command(&home, &["admin", "create-user", "--json"]);
        create.args(["--password-file", "-", "--username", "ada"]);
        create.args(["--email", "ada@example.com", "--role", "user"]);
        with_input(&mut create, PASSWORD).expect(0);
        let session = Session::open(&server, "ada").await;
        Self {
            home,
            server,
            session,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.data()
    }

    pub(crate) fn npmrc(&self) -> Option<PathBuf> {
        Some(self.home.path().join("build.npmrc")).filter(|path| path.exists())
    }

    /// It has removed its builds' folders, and all that it has kept is its own.
    pub(crate) fn stop(self) {
        let data = self.data();
        let end = Instant::now() + CLEARING;
        loop {
            let left = fs::read_dir(data.join("tmp")).expect("DATA_DIR/tmp");
            let left: Vec<_> = left.map(|entry| entry.expect("an entry").path()).collect();
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "left in DATA_DIR/tmp: {left:?}");
            std::thread::yield_now();
        }
        self.server.stop();
        assert_own(&data);
    }
}

/// Nothing below `path` is anybody else's, or may be changed by others.
fn assert_own(path: &Path) {
    let meta = fs::symlink_metadata(path).expect("it is there");
    if geteuid().is_root() {
        assert_eq!(meta.uid(), USER, "{}", path.display());
    }
    let open = meta.mode() & 0o002 != 0 && !meta.is_symlink();
    assert!(!open, "anybody may change {}", path.display());
    if meta.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            assert_own(&entry.expect("an entry").path());
        }
    }
}
