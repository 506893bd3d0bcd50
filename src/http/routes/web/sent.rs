//! Rewritten files while they are sent. Rewriting costs time and memory, so few
//! files are rewritten at a time, and whoever asks for one that is being made or
//! sent is given the same bytes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::Bytes;
use ring::digest;
use tokio::sync::{OnceCell, Semaphore};

use super::rewrite;
use crate::error::{Context, Result};

/// Files at a time in this process. Rewriting is pure computing: more at once
/// would win nothing, and each is held in memory twice.
static MAKING: Semaphore = Semaphore::const_new(2);

/// What somebody is being sent. Nothing keeps a file here but those who take it.
static SENT: Mutex<Option<HashMap<Rewriting, Weak<Made>>>> = Mutex::new(None);

type Made = OnceCell<Rewritten>;

/// A file that is to be rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rewriting {
    pub(super) path: PathBuf,
    /// The site's folder.
    pub(super) root: PathBuf,
    /// Where the site lies for its browser.
    pub(super) prefix: String,
    pub(super) is_page: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Rewritten {
    pub(super) bytes: Bytes,
    /// SHA-256.
    pub(super) digest: [u8; digest::SHA256_OUTPUT_LEN],
}

/// Keeps the file shared for as long as its bytes are.
struct Held(Arc<Made>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.get().map_or(&[], |made| &made.bytes)
    }
}

impl Rewriting {
    /// The file, made now or taken from those who are being sent it.
    pub(super) async fn make(self) -> Result<Rewritten> {
        let made = self.shared();
        let rewritten = made
            .get_or_try_init(|| async {
                let turn = MAKING.acquire().await;
                let turn = turn.or_internal("wait to rewrite a file")?;
                tokio::task::spawn_blocking(move || {
                    // Held until it is done, even when the caller has gone.
                    let _turn = turn;
                    self.rewrite()
                })
                .await
                .or_internal("rewrite a file of a web preview")?
            })
            .await?;
        let digest = rewritten.digest;
        Ok(Rewritten {
            bytes: Bytes::from_owner(Held(made)),
            digest,
        })
    }

    fn shared(&self) -> Arc<Made> {
        let mut sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = sent.get_or_insert_default();
        if let Some(made) = sent.get(self).and_then(Weak::upgrade) {
            return made;
        }
        sent.retain(|_, made| made.strong_count() > 0);
        let made = Arc::new(Made::new());
        sent.insert(self.clone(), Arc::downgrade(&made));
        made
    }

    fn rewrite(&self) -> Result<Rewritten> {
        let bytes = std::fs::read(&self.path).or_internal("read a file of a web preview")?;
        let mut bytes = rewrite::addresses(&bytes, &self.prefix, &self.root);
        if self.is_page {
            bytes = rewrite::page(&bytes, &self.prefix);
        }
        let mut digest = [0; digest::SHA256_OUTPUT_LEN];
        digest.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        Ok(Rewritten {
            bytes: bytes.into(),
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_the_same_time_share_one_file() {
        let site = tempfile::tempdir().unwrap();
        let path = site.path().join("a.js");
        std::fs::write(&path, "import('/a.js')").unwrap();
        let file = Rewriting {
            path: path.clone(),
            root: site.path().to_owned(),
            prefix: "/p/x/".to_owned(),
            is_page: false,
        };
        let (one, two) = tokio::join!(file.clone().make(), file.clone().make());
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(&one.bytes[..], b"import('/p/x/a.js')");
        assert_eq!(one.bytes.as_ptr(), two.bytes.as_ptr());
        // Sent to nobody, it is forgotten.
        drop((one, two));
        std::fs::write(&path, "2").unwrap();
        assert_eq!(&file.make().await.unwrap().bytes[..], b"2");
    }
}
