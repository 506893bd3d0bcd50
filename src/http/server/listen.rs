//! The addresses we listen at: TCP, and the operator's Unix socket.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit, test_kill_process};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::Server;
use crate::error::{Code, Context, Error, Result};

/// Where connections come from.
#[async_trait]
pub trait Listener: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection and, over TCP, its other end. Dropping the future
    /// loses no connection.
    async fn accept(&self) -> io::Result<(Self::Stream, Option<SocketAddr>)>;
}

#[async_trait]
impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Answers are written whole; waiting for more only delays them.
        stream.set_nodelay(true)?;
        Ok((stream, Some(peer)))
    }
}

/// Binds `BIND`:`PORT`.
///
/// # Errors
/// `DEPENDENCY_FAILURE` that names the port and the next step.
pub async fn tcp(server: &Server) -> Result<TcpListener> {
    let address = SocketAddr::new(server.bind, server.port);
    TcpListener::bind(address).await.map_err(|e| {
        let hint = match e.kind() {
            io::ErrorKind::AddrInUse => format!(
                "port {port} is taken by another process; stop it (find it with: ss -ltnp 'sport = :{port}') \
                 or choose another port, such as PORT={other}",
                port = server.port,
                other = server.port.checked_add(1).unwrap_or(4000),
            ),
            io::ErrorKind::PermissionDenied => format!(
                "this user may not listen on port {}; choose one above 1023 with PORT, or let a proxy or \
                 systemd listen there",
                server.port
            ),
            io::ErrorKind::AddrNotAvailable => format!(
                "{} is not an address of this machine; set BIND to one, or to 0.0.0.0",
                server.bind
            ),
            _ => "check BIND and PORT".to_owned(),
        };
        Error::new(
            Code::DependencyFailure,
            format!("cannot listen at {address}: {hint}"),
        )
        .caused_by(e)
    })
}

/// A Unix socket that only our user may open. Its file goes when it is
/// dropped.
#[derive(Debug)]
pub struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
}

#[async_trait]
impl Listener for OperatorSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, None))
    }
}

impl Drop for OperatorSocket {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds the operator's socket, in place of one that a dead server left.
///
/// # Errors
/// `CONFLICT` when a live server answers there.
pub fn operator_socket(path: &Path) -> Result<OperatorSocket> {
    let near = Near::of(path)?;
    if path.exists() {
        if is_live(near.path()) {
            return Err(Error::new(
                Code::Conflict,
                format!(
                    "another HiveSync server runs on this data folder (it answers at {}); stop it, or use \
                     another DATA_DIR",
                    path.display()
                ),
            ));
        }
        fs::remove_file(path).or_internal("remove a dead server's socket")?;
    }
    let listener = UnixListener::bind(near.path())
        .or_internal("listen at the operator's socket in DATA_DIR/run")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .or_internal("make the operator's socket private")?;
    Ok(OperatorSocket {
        listener,
        path: path.to_owned(),
    })
}

/// Whether the process lives that listens there. It may be dead although the
/// connection succeeds: a process that it was starting when it was killed has
/// its sockets open for a moment.
fn is_live(path: &Path) -> bool {
    let Ok(stream) = StdUnixStream::connect(path) else {
        return false;
    };
    let peer = stream
        .set_nonblocking(true)
        .and_then(|()| UnixStream::from_std(stream))
        .and_then(|stream| stream.peer_cred());
    let pid = peer.ok().and_then(|peer| Pid::from_raw(peer.pid()?));
    // In another PID namespace it has no number here: then it answers, and lives.
    pid.is_none_or(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Connects to the server that runs on a data folder; `None` when none does.
///
/// # Errors
/// `DEPENDENCY_FAILURE` when the socket belongs to another user.
pub async fn connect_operator(path: &Path) -> Result<Option<UnixStream>> {
    let near = match Near::of(path) {
        Ok(near) => near,
        Err(_) if !path.exists() => return Ok(None),
        Err(error) => return Err(error),
    };
    match UnixStream::connect(near.path()).await {
        Ok(stream) => Ok(Some(stream)),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(Error::new(
            Code::DependencyFailure,
            format!(
                "{} belongs to another user; run this as the server's user (sudo -u ...)",
                path.display()
            ),
        )
        .caused_by(e)),
        Err(_) => Ok(None),
    }
}

/// A short name for a socket's path: the system takes only 107 bytes, and a
/// data folder may lie deeper.
struct Near {
    path: PathBuf,
    #[expect(dead_code, reason = "the path goes through this open folder")]
    folder: fs::File,
}

impl Near {
    fn of(path: &Path) -> Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::internal("the operator's socket has no folder"));
        };
        let folder = fs::File::open(parent).or_internal("open DATA_DIR/run")?;
        let path = Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name);
        Ok(Self { path, folder })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Lets the process open as many files as the system permits, and answers how
/// many connections leave room for everything else.
#[must_use]
pub fn make_room(connections: usize) -> usize {
    /// Databases, repositories, pipes of builds, log files.
    const OTHERS: u64 = 256;
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(files) = files else {
        return connections;
    };
    let room = usize::try_from(files.saturating_sub(OTHERS).max(16)).unwrap_or(usize::MAX);
    if room < connections {
        tracing::warn!(
            files,
            connections = room,
            "fewer connections than MAX_CONNECTIONS: raise the limit of open files (LimitNOFILE, ulimit -n)"
        );
    }
    connections.min(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_data_folder_may_lie_deep() {
        let folder = tempfile::tempdir().expect("a folder");
        // Longer than any socket's address can be.
        let deep = folder.path().join("deep/".repeat(30));
        fs::create_dir_all(&deep).expect("made");
        let path = deep.join("hivesync.sock");
        let socket = operator_socket(&path).expect("bound");
        let refused = operator_socket(&path).expect_err("it is in use");
        assert_eq!(refused.code, Code::Conflict);
        let client = connect_operator(&path).await.expect("no error");
        assert!(client.is_some());
        drop(socket);
        assert!(!path.exists());
        let nobody = connect_operator(&path).await.expect("no error");
        assert!(nobody.is_none());
    }
}
