//! Which server a client's command speaks to, and as whom.

use std::path::PathBuf;

use clap::Args;

use super::client::Client;
use super::credentials::Credentials;
use super::login;
use crate::config::Secret;
use crate::error::{Code, Error, Result};

#[derive(Args, Debug)]
pub struct Connection {
    /// Address of the server; without it the one logged in to last
    #[arg(long, env = "HIVESYNC_SERVER")]
    server: Option<String>,
    /// A file with an API token, instead of `hivesync login`; `HIVESYNC_TOKEN` holds the token itself
    #[arg(long, env = "HIVESYNC_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Connection {
    /// # Errors
    /// `UNAUTHENTICATED` where nobody is logged in.
    pub(super) fn client(&self) -> Result<Client> {
        let credentials = Credentials::load(&login::config_home()?)?;
        let server = self
            .server
            .as_deref()
            .or(credentials.default_server())
            .unwrap_or(login::LOCAL_SERVER)
            .trim_end_matches('/');
        let token = match &self.token_file {
            Some(path) => Some(Secret::new(login::read_file("token_file", path)?.trim())),
            None => std::env::var("HIVESYNC_TOKEN")
                .ok()
                .filter(|t| !t.is_empty())
                .map(Secret::new)
                .or_else(|| credentials.token(server)),
        };
        let Some(token) = token else {
            return Err(Error::new(
                Code::Unauthenticated,
                format!("not logged in to {server}; run: hivesync login --server {server}"),
            ));
        };
        Client::new(server, Some(token))
    }
}
