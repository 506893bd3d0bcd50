//! The operator's `BUILD_NPMRC`: the registries' addresses, proxy, CA file and
//! credentials for the install stage.
//!
//! The file itself never enters a sandbox. Credentials and the proxy's address
//! stay with this process, which asks the registries on behalf of the install
//! ([`super::registry`]); the package managers are told the rest.

mod credential;
#[cfg(test)]
mod tests;
mod told;

use std::path::{Path, PathBuf};

use url::Url;

pub use credential::Credential;
pub(super) use credential::{basic, basic_of};

use crate::error::{Code, Context, Error, Result};
use credential::decoded;

/// Its lines. Where a key stands twice the last one counts, as for npm.
#[derive(Clone, Default)]
pub struct Npmrc {
    entries: Vec<(String, String)>,
}

impl Npmrc {
    /// Reads the file; without one there is nothing to tell.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the file cannot be read: installing without it
    /// would ask the wrong registry.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path)
            .or_internal("read the file that BUILD_NPMRC names; check its path and rights")?;
        Ok(Self::of(&text))
    }

    /// The same from the file's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self {
            entries: parse(text),
        }
    }

    /// The values that must not reach a log.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for (key, value) in &self.entries {
            let name = key.rsplit(':').next().unwrap_or(key);
            if name.starts_with("_auth") || name == "_password" || name == "password" {
                secrets.push(value.clone());
            } else if let Some(password) = Url::parse(value).ok().as_ref().and_then(Url::password) {
                secrets.push(decoded(password));
            }
        }
        secrets
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.entries
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The file of root certificates that stand in the place of node's own;
    /// a relative path names none.
    #[must_use]
    pub fn cafile(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.get("cafile")?);
        path.is_absolute().then_some(path)
    }

    /// `strict-ssl`: whether certificates are checked.
    #[must_use]
    pub fn strict_ssl(&self) -> bool {
        self.get("strict-ssl") != Some("false")
    }

    /// The addresses of `registry` and `@scope:registry`, with what they hold
    /// of credentials.
    ///
    /// # Errors
    /// `MISSING_DEPENDENCIES` when one is no address.
    pub fn registries(&self) -> Result<Vec<Url>> {
        let named = self.entries.iter().filter(|(key, _)| is_registry(key));
        named.map(|(key, value)| address(key, value)).collect()
    }

    /// The proxy through which the registries are to be asked.
    ///
    /// # Errors
    /// `MISSING_DEPENDENCIES` when it is not an http address.
    pub fn upstream(&self) -> Result<Option<Url>> {
        for key in ["https-proxy", "proxy"] {
            let Some(value) = self.get(key) else { continue };
            if matches!(value, "" | "null" | "false") {
                continue;
            }
            let url = address(key, value)?;
            if url.scheme() != "http" {
                return Err(unusable(key, "only proxies at http:// addresses are known"));
            }
            return Ok(Some(url));
        }
        Ok(None)
    }

    /// `noproxy`: the hosts that are asked without the proxy, with those below
    /// them.
    #[must_use]
    pub fn no_proxy(&self) -> Vec<String> {
        let text = self.get("noproxy").or_else(|| self.get("no-proxy"));
        text.unwrap_or_default()
            .split(',')
            .map(|host| host.trim().trim_start_matches(['*', '.']))
            .filter(|host| !host.is_empty())
            .map(str::to_ascii_lowercase)
            .collect()
    }
}

fn is_registry(key: &str) -> bool {
    key == "registry" || (key.starts_with('@') && key.ends_with(":registry"))
}

fn address(key: &str, value: &str) -> Result<Url> {
    Url::parse(value)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| unusable(key, "it is not an http or https address"))
}

/// Names the key and never the value: it may hold a password.
fn unusable(key: &str, why: &str) -> Error {
    let key = key.rsplit(':').next().unwrap_or(key);
    Error::new(
        Code::MissingDependencies,
        format!(
            "the server's BUILD_NPMRC has a `{key}` that cannot be used: {why}; the operator must mend it"
        ),
    )
}

/// The `key = value` lines of an ini file; quotes around a value are not a
/// part of it.
#[must_use]
pub fn parse(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';', '[']))
        .filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            let value = value.trim();
            let value = ['"', '\'']
                .into_iter()
                .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
                .unwrap_or(value);
            Some((key.trim().to_owned(), value.to_owned()))
        })
        .collect()
}
