//! What the package managers are told of the operator's file: addresses and
//! settings, no secret.

use std::fmt::Write as _;

use url::Url;

use super::{Npmrc, address, is_registry};

/// Settings that the package managers are told. Every other one stays here:
/// what npm will call its credentials in years to come is not known today.
const TOLD: [&str; 19] = [
    "registry",
    "strict-ssl",
    "always-auth",
    "auto-install-peers",
    "engine-strict",
    "fetch-retries",
    "fetch-retry-factor",
    "fetch-retry-maxtimeout",
    "fetch-retry-mintimeout",
    "fetch-timeout",
    "legacy-peer-deps",
    "maxsockets",
    "min-release-age",
    "minimum-release-age",
    "network-concurrency",
    "omit-lockfile-registry-resolved",
    "prefer-offline",
    "replace-registry-host",
    "strict-peer-dependencies",
];

impl Npmrc {
    /// The `.npmrc` that the package managers get: addresses and settings, no
    /// secret.
    #[must_use]
    pub fn told(&self) -> String {
        let mut out = String::new();
        for (key, value) in &self.entries {
            if is_registry(key) {
                if let Ok(url) = address(key, value) {
                    let _ = writeln!(out, "{key}={}", bare(&url));
                }
            } else if TOLD.contains(&key.as_str()) {
                let _ = writeln!(out, "{key}={value}");
            }
        }
        out
    }

    /// The scopes that have a registry of their own, without the `@`, and its
    /// address.
    #[must_use]
    pub fn scopes(&self) -> Vec<(String, String)> {
        let scope = |key: &str| Some(key.strip_prefix('@')?.strip_suffix(":registry")?.to_owned());
        self.entries
            .iter()
            .filter_map(|(key, value)| {
                let url = bare(&address(key, value).ok()?);
                Some((scope(key)?, url.to_string()))
            })
            .collect()
    }

    /// The hosts of registries that speak http.
    #[must_use]
    pub fn clear_hosts(&self) -> Vec<String> {
        let urls = self.registries().unwrap_or_default();
        let clear = urls.iter().filter(|url| url.scheme() == "http");
        clear
            .filter_map(|url| url.host_str().map(str::to_owned))
            .collect()
    }

    /// The address of the default registry, where the file names one.
    #[must_use]
    pub fn default_registry(&self) -> Option<String> {
        let url = address("registry", self.get("registry")?).ok()?;
        Some(bare(&url).to_string())
    }
}

/// The address without the user and the password in it.
fn bare(url: &Url) -> Url {
    let mut bare = url.clone();
    // Only addresses without a host have no place for them.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare
}
