//! Bytes in both directions between an install and a registry, until one side
//! ends, nobody says anything for too long, or the install has had its share.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::tally::Tally;

const CHUNK: usize = 64 << 10;

/// Returns when the connection is over, however it ended.
pub(super) async fn join<A, B>(near: A, far: B, tally: &Tally, idle: Duration)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let heard = Heard(Mutex::new(Instant::now()));
    let both = async {
        tokio::try_join!(
            pump(near_read, far_write, tally, &heard),
            pump(far_read, near_write, tally, &heard),
        )
    };
    tokio::select! {
        _ = both => {}
        () = heard.silence(idle) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    tally: &Tally,
    heard: &Heard,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        tally.count(count).await?;
        heard.now();
        to.write_all(&chunk[..count]).await?;
    }
}

/// When either side was last heard.
struct Heard(Mutex<Instant>);

impl Heard {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns once nobody was heard for that long.
    async fn silence(&self, idle: Duration) {
        loop {
            let due = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + idle;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}
