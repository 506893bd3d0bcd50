//! A folder on its way to the server: packed here, then sent as one archive.

use std::fs::File;
use std::io::Seek;
use std::path::Path;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::client::Client;
use super::pack;
use crate::error::{Context, Error, Result};

/// A folder's files, ready to be sent.
pub(super) struct Archive {
    file: File,
    /// Bytes.
    size: u64,
}

/// What an upload has become.
#[derive(Deserialize)]
pub(super) struct Uploaded {
    pub(super) commit: String,
    #[serde(rename = "ref")]
    pub(super) git_ref: String,
}

impl Archive {
    /// # Errors
    /// What [`pack::pack`] refuses, before the server has heard of anything.
    pub(super) async fn of(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || {
            let mut file = tempfile::tempfile().or_internal("make a temporary file")?;
            pack::pack(&folder, &mut file)?;
            file.rewind().or_internal("read the archive again")?;
            let size = file.metadata().or_internal("measure the archive")?.len();
            Ok::<_, Error>(Self { file, size })
        })
        .await
        .or_internal("pack the folder")?
    }

    /// Makes it the newest commit of `project`.
    pub(super) async fn send(self, client: &Client, project: i64) -> Result<Uploaded> {
        let stream = ReaderStream::new(tokio::fs::File::from_std(self.file));
        let request = client
            .request(Method::PUT, &format!("/projects/{project}/source/archive"))
            .header(CONTENT_TYPE, "application/gzip")
            .header(CONTENT_LENGTH, self.size)
            .body(Body::wrap_stream(stream));
        client.json(request).await
    }
}
