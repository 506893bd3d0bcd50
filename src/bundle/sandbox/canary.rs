//! The canary: a small script that must find itself walled off before any
//! build is let in.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cell::{Access, Mount};
use super::isolated::{Bubblewrap, Isolate, LAUNCHER};
use super::launcher::{Entry, Input, Order, Warden};
use super::limits::Limits;
use super::on_path;
use super::toolchain::{Toolchain, VERSION};
use crate::config::BuildLimits;
use crate::domain::preview::SandboxLevel;

/// Each line is one promise of the level; the script names the first that is
/// broken. `$1` is a file of ours that the sandbox must not show.
const SCRIPT: &str = r#"
fail() { echo "$1"; exit 1; }
[ ! -e "$1" ] || fail "files outside the sandbox are visible"
(: > /usr/.hivesync-canary) 2>/dev/null && fail "the system's files can be written"
(: > /hivesync-canary) 2>/dev/null && fail "the root folder can be written"
(: >> /proc/sys/kernel/core_pattern) 2>/dev/null && fail "the kernel's settings can be written"
[ ! -e /etc/ssl/private ] || fail "the folder of the machine's private keys is visible"
: > /work/canary || fail "the work folder cannot be written"
[ "$HOME" = /work ] || fail "the environment was not set"
[ -z "$HIVESYNC_CANARY" ] || fail "the environment was not cleared"
while read -r name rest; do
  case $name in
    CapEff:|CapPrm:|CapBnd:) [ -z "$(echo "$rest" | tr -d '0\t ')" ] || fail "capabilities are left" ;;
  esac
done < /proc/self/status
while read -r name rest; do
  case $name in lo:*|Inter-*|face) ;; *) fail "a network interface is visible: $name" ;; esac
done < /proc/net/dev
[ "$(set -- /proc/[0-9]*; echo $#)" -lt 16 ] || fail "processes outside the sandbox are visible"
version=none
if [ -n "$2" ]; then version=$("$2" -p "$3") || fail "node does not run in the sandbox"; fi
echo "walled $version"
"#;

/// What the canary has come back with.
pub(super) struct Proof {
    pub(super) bubblewrap: Bubblewrap,
    /// As node itself says in the sandbox; `none` without node.
    pub(super) node_version: String,
}

/// Finds bubblewrap and runs the canary in it.
///
/// The error is for the operator: what is missing and what to install.
pub(super) fn prove(
    toolchain: Option<&Toolchain>,
    launcher: &Path,
    ceilings: &BuildLimits,
) -> Result<Proof, String> {
    let program = on_path("bwrap").ok_or(
        "builds need bubblewrap, and `bwrap` is not on the server's PATH: install the package \
         `bubblewrap` (apt, dnf, apk and pacman have it) and restart, or set SANDBOX=none and \
         mark the projects that you trust",
    )?;
    let help = Command::new(&program)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{} does not run: {e}", program.display()))?;
    let help = String::from_utf8_lossy(&help.stdout);
    let bubblewrap = Bubblewrap {
        program,
        disable_userns: help.contains("--disable-userns"),
        sized_tmpfs: help.contains("--size BYTES"),
    };
    let node_version = run(&bubblewrap, toolchain, launcher, ceilings).map_err(|reason| {
        format!(
            "the sandbox's canary failed: {reason}; bubblewrap needs unprivileged user namespaces \
             (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0, on \
             Ubuntu kernel.apparmor_restrict_unprivileged_userns=0, in a container an unconfined \
             seccomp profile): allow them and restart, or set SANDBOX=none and mark the projects \
             that you trust"
        )
    })?;
    Ok(Proof {
        bubblewrap,
        node_version,
    })
}

fn run(
    bubblewrap: &Bubblewrap,
    toolchain: Option<&Toolchain>,
    launcher: &Path,
    ceilings: &BuildLimits,
) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
    let work = folder.path().join("work");
    let outside = folder.path().join("outside");
    std::fs::create_dir(&work)
        .and_then(|()| std::fs::write(&outside, "not for builds"))
        .map_err(|e| format!("no temporary folder: {e}"))?;
    let env = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/work")]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let mounts = [Mount {
        host: work,
        guest: "/work".into(),
        access: Access::ReadWrite,
    }];
    let warden = Order::Warden(Warden {
        input: Input::Nothing,
        group: None,
    });
    let entry = Order::Entry(Entry {
        limits: Limits::of(SandboxLevel::Isolated, ceilings),
    });
    let mut words = warden.words(launcher).to_vec();
    words.extend(bubblewrap.words(&Isolate {
        mounts: &mounts,
        toolchain,
        launcher,
        network: false,
        cwd: Path::new("/work"),
        env: &env,
    }));
    words.extend(entry.words(LAUNCHER));
    words.extend(["/bin/sh", "-c", SCRIPT, "canary"].map(OsString::from));
    words.push(outside.into());
    words.push(toolchain.map_or_else(OsString::new, |t| t.node.clone().into()));
    words.push(VERSION.into());
    let answer = Command::new(&words[0])
        .args(&words[1..])
        .env("HIVESYNC_CANARY", "must not be seen")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&answer.stdout);
    match said.trim() {
        "" => Err(String::from_utf8_lossy(&answer.stderr).trim().to_owned()),
        said => match said.strip_prefix("walled ") {
            Some(version) if answer.status.success() => Ok(version.to_owned()),
            _ => Err(said.to_owned()),
        },
    }
}
