//! The API tokens that `hivesync login` keeps: one for each server, in
//! `credentials.toml` (0600) under the user's configuration folder.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Secret;
use crate::error::{Context, Error, Result};

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    /// The server that commands use when none is named.
    default_server: Option<String>,
    #[serde(default)]
    servers: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    token: String,
    /// The API token's id, to delete it at `logout`.
    token_id: i64,
    username: String,
}

pub struct Credentials {
    path: PathBuf,
    file: File,
}

impl Credentials {
    /// Reads the file, or starts empty where there is none.
    pub fn load(config_home: &Path) -> Result<Self> {
        let path = config_home.join("hivesync/credentials.toml");
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|_| {
                // The parser's own message quotes the line, token and all.
                Error::internal(format!(
                    "{} is damaged; delete it and log in again",
                    path.display()
                ))
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => File::default(),
            Err(e) => return Err(e).or_internal(&format!("read {}", path.display())),
        };
        Ok(Self { path, file })
    }

    #[must_use]
    pub fn default_server(&self) -> Option<&str> {
        self.file.default_server.as_deref()
    }

    #[must_use]
    pub fn token(&self, server: &str) -> Option<Secret> {
        self.file
            .servers
            .get(server)
            .map(|e| Secret::new(e.token.as_str()))
    }

    #[must_use]
    pub fn token_id(&self, server: &str) -> Option<i64> {
        self.file.servers.get(server).map(|e| e.token_id)
    }

    pub fn remember(
        &mut self,
        server: &str,
        username: &str,
        token: &Secret,
        id: i64,
    ) -> Result<()> {
        let entry = Entry {
            token: token.expose().to_owned(),
            token_id: id,
            username: username.to_owned(),
        };
        self.file.servers.insert(server.to_owned(), entry);
        self.file.default_server = Some(server.to_owned());
        self.save()
    }

    pub fn forget(&mut self, server: &str) -> Result<()> {
        self.file.servers.remove(server);
        if self.file.default_server.as_deref() == Some(server) {
            self.file.default_server = self.file.servers.keys().next().cloned();
        }
        self.save()
    }

    /// Written aside and renamed, so that a full disk does not cost the others.
    fn save(&self) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let what = format!("write {}", self.path.display());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .or_internal(&what)?;
        let text = toml::to_string(&self.file).or_internal(&what)?;
        let aside = self.path.with_extension("new");
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()))
            .and_then(|()| std::fs::rename(&aside, &self.path))
            .or_internal(&what)
    }
}
