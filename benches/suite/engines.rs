//! The servers that peers stand on, each in a temporary folder and as durable
//! as ours: what is acknowledged has been synced to the disk.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::Result;
use crate::process::{Process, free_address, run};

/// A server and its folder.
pub(crate) struct Engine {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Engine {
    pub(crate) async fn stop(self) -> Result<()> {
        self.process.stop().await?;
        Ok(self.folder.close()?)
    }
}

/// Redis with every write in the append-only file and synced before its answer.
pub(crate) async fn redis() -> Result<Engine> {
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args([
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ])
        .arg("--dir")
        .arg(folder.path());
    let log = folder.path().join("redis.log");
    let mut process = Process::start_logged("redis-server", &mut command, &log)?;
    process.listens(address).await?;
    Ok(Engine {
        process,
        address,
        folder,
    })
}

/// The newest installed PostgreSQL's programs, which Debian keeps off the path.
pub(crate) fn postgres_folder() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")?;
    let newest = versions
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .ok_or("PostgreSQL is not installed")?;
    Ok(Path::new("/usr/lib/postgresql").join(format!("{newest}/bin")))
}

/// A program of PostgreSQL, which refuses to run as root.
fn postgres_command(program: &Path) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

/// PostgreSQL as it is made by `initdb`: `fsync` and `synchronous_commit` on.
pub(crate) async fn postgres() -> Result<Engine> {
    let programs = postgres_folder()?;
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    if rustix::process::getuid().is_root() {
        run(Command::new("chown").arg("postgres").arg(&data)).await?;
    }
    let mut initdb = postgres_command(&programs.join("initdb"));
    initdb
        .arg("--pgdata")
        .arg(&data)
        .args([
            "--username=bench",
            "--auth=trust",
            "--no-locale",
            "--encoding=UTF8",
        ])
        .current_dir("/");
    run(&mut initdb).await?;
    let mut command = postgres_command(&programs.join("postgres"));
    command
        .arg("-D")
        .arg(&data)
        .args(["-p", &address.port().to_string(), "-k", ""])
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "max_connections=200",
        ])
        .current_dir("/");
    let log = folder.path().join("postgres.log");
    let mut process = Process::start_logged("postgres", &mut command, &log)?;
    process.listens(address).await?;
    Ok(Engine {
        process,
        address,
        folder,
    })
}

/// nginx serving the files of `root` by sendfile.
pub(crate) async fn nginx(root: &Path) -> Result<Engine> {
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
    let template = std::fs::read_to_string(crate::peers::source("nginx").join("nginx.conf"))?;
    let config = folder.path().join("nginx.conf");
    let text = template
        .replace("@address@", &address.to_string())
        .replace("@root@", &root.to_string_lossy())
        .replace("@folder@", &folder.path().to_string_lossy());
    std::fs::write(&config, text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder.path()).arg("-c").arg(&config);
    let log = folder.path().join("nginx.out");
    let mut process = Process::start_logged("nginx", &mut command, &log)?;
    process.listens(address).await?;
    Ok(Engine {
        process,
        address,
        folder,
    })
}
