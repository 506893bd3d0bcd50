//! The bridge: the way out of a sandbox that has a network of its own. It
//! listens on that network's loopback interface and carries every connection to
//! a Unix socket of the server's that the sandbox shows.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpStream, UnixStream};

use super::{Failure, OURSELVES, Order};

/// Where the way out begins, inside.
pub(in crate::bundle::sandbox) const PORT: u16 = 4873;

const CHUNK: usize = 64 << 10;
/// Before the next try when there is no descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::bundle::sandbox) struct Bridge {
    /// As the sandbox sees it.
    pub(in crate::bundle::sandbox) socket: PathBuf,
}

impl Bridge {
    /// Listens, and starts the process that carries. When this returns the
    /// command can connect.
    pub(super) fn open(&self) -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?;
        let [program, verb, order] = Order::Bridge(self.clone()).words(OURSELVES)?;
        Command::new(program)
            .args([verb, order, "bridge".into()])
            .env_clear()
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(drop)
    }

    /// Comes back only when it failed.
    pub(super) fn carry(&self) -> Failure {
        let Err(error) = self.carry_on();
        Failure::to("carry connections out")(error)
    }

    fn carry_on(&self) -> io::Result<Infallible> {
        // Whoever started it becomes the command: there is nothing to carry
        // after that.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                match listener.accept().await {
                    Ok((near, _)) => {
                        tokio::spawn(carry_one(near, self.socket.clone()));
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        })
    }
}

async fn carry_one(mut near: TcpStream, socket: PathBuf) {
    let _ = near.set_nodelay(true);
    if let Ok(mut far) = UnixStream::connect(socket).await {
        let _ = copy_bidirectional_with_sizes(&mut near, &mut far, CHUNK, CHUNK).await;
    }
}
