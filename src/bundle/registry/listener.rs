//! Where a gate stands: a Unix socket for a sandbox with a network of its own,
//! else a port of the loopback interface.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::bundle::sandbox::WayOut;

/// Where a gate is to stand.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// A Unix socket at this path, which must be free.
    Socket(&'a Path),
    /// A port that the system chooses.
    Loopback,
}

pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener {
    pub(super) async fn open(place: Place<'_>) -> io::Result<(Self, WayOut)> {
        match place {
            Place::Socket(path) => {
                let listener = bind(path)?;
                Ok((Self::Unix(listener), WayOut::Socket(path.to_owned())))
            }
            Place::Loopback => {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                let port = listener.local_addr()?.port();
                Ok((Self::Tcp(listener), WayOut::Port(port)))
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
        }
    }
}

/// An address of a Unix socket has 108 bytes, fewer than many a path below a
/// data folder: the folder is named by its open descriptor.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = rustix::fs::open(
        folder,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // An earlier gate of the same build may have stood here.
    let _ = std::fs::remove_file(path);
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name);
    UnixListener::bind(short).or_else(|_| UnixListener::bind(path))
}
