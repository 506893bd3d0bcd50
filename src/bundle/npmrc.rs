//! The operator's `BUILD_NPMRC`: the registries' addresses, proxy, CA file and
//! credentials for the install stage.
//!
//! The file itself never enters a sandbox. Credentials and the proxy's address
//! stay with this process, which asks the registries on behalf of the install
//! ([`super::registry`]); the package managers are told the rest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use url::Url;

use crate::error::{Code, Context, Error, Result};

#[derive(Clone, Debug, Default)]
pub struct Npmrc {
    entries: Vec<(String, String)>,
}

/// What is said to a registry below some address, and to no other.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `host` or `host:port`, in lower case.
    pub host: String,
    /// With a slash at both ends.
    pub path: String,
    /// The value of `Authorization`.
    pub authorization: String,
}

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

    #[must_use]
    pub fn cafile(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.get("cafile")?);
        path.is_absolute().then_some(path)
    }

    /// `strict-ssl`: whether certificates are checked.
    #[must_use]
    pub fn verifies(&self) -> bool {
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
    pub fn beside_upstream(&self) -> Vec<String> {
        let text = self.get("noproxy").or_else(|| self.get("no-proxy"));
        text.unwrap_or_default()
            .split(',')
            .map(|host| host.trim().trim_start_matches(['*', '.']))
            .filter(|host| !host.is_empty())
            .map(str::to_ascii_lowercase)
            .collect()
    }

    /// # Errors
    /// `MISSING_DEPENDENCIES` when a registry's address is none, or a password
    /// is not in base64, as npm has it.
    pub fn credentials(&self) -> Result<Vec<Credential>> {
        let mut found: Vec<Credential> = Vec::new();
        for url in self.registries()? {
            if let Some(password) = url.password() {
                let authorization = basic(&decoded(url.username()), &decoded(password));
                found.push(Credential::at(&url, authorization));
            }
        }
        for (key, value) in &self.entries {
            let (place, name) = key.rsplit_once(':').unwrap_or(("", key));
            let authorization = match name {
                "_authToken" => format!("Bearer {value}"),
                "_auth" => format!("Basic {value}"),
                "_password" => {
                    let user = match place {
                        "" => "username".to_owned(),
                        place => format!("{place}:username"),
                    };
                    let password = BASE64.decode(value.as_bytes()).ok();
                    let password = password.and_then(|bytes| String::from_utf8(bytes).ok());
                    let password =
                        password.ok_or_else(|| unusable("_password", "it is not in base64"))?;
                    basic(self.get(&user).unwrap_or_default(), &password)
                }
                _ => continue,
            };
            found.push(Credential::at(&self.place(name, place)?, authorization));
        }
        Ok(found)
    }

    /// What stands before `:_authToken`, such as `//npm.example/`; nothing
    /// means the default registry.
    fn place(&self, name: &str, place: &str) -> Result<Url> {
        match place {
            "" => address(name, self.get("registry").unwrap_or(DEFAULT)),
            place => address(name, &format!("https:{place}")),
        }
    }

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

/// npm's own.
const DEFAULT: &str = "https://registry.npmjs.org/";

impl Credential {
    fn at(url: &Url, authorization: String) -> Self {
        let host = url.host_str().unwrap_or_default();
        Self {
            host: match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            path: format!("{}/", url.path().trim_end_matches('/')),
            authorization,
        }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({}{})", self.host, self.path)
    }
}

fn is_registry(key: &str) -> bool {
    key == "registry" || (key.starts_with('@') && key.ends_with(":registry"))
}

/// The address without the user and the password in it.
fn bare(url: &Url) -> Url {
    let mut bare = url.clone();
    // Only addresses without a host have no place for them.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare
}

fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64.encode(format!("{user}:{password}").as_bytes())
    )
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "; a comment\nregistry = https://npm.example/\n\
        @corp:registry=https://me:p%40ss@corp.example:8443/npm\n\
        //npm.example/:_authToken=\"abc123\"\n\
        //old.example/a/:username=ada\n//old.example/a/:_password='cGFzcw=='\n\
        //pair.example/:_auth=YTpi\nhttps-proxy=http://u:secret@proxy.example:3128\n\
        noproxy=.lan, local.example\ncafile=/etc/ca.pem\nnew-kind-of-key=s3cret\n\
        fetch-retries=1\n";

    #[test]
    fn secrets_are_told_from_settings() {
        let npmrc = Npmrc::of(FILE);
        assert_eq!(
            npmrc.secrets(),
            ["p@ss", "abc123", "cGFzcw==", "YTpi", "secret"]
        );
        assert_eq!(npmrc.cafile(), Some("/etc/ca.pem".into()));
        assert!(npmrc.verifies());
    }

    #[test]
    fn package_managers_are_told_addresses_and_no_secret() {
        assert_eq!(
            Npmrc::of(FILE).told(),
            "registry=https://npm.example/\n@corp:registry=https://corp.example:8443/npm\n\
             fetch-retries=1\n"
        );
    }

    #[test]
    fn every_way_of_writing_a_credential_is_read() {
        let found = Npmrc::of(FILE).credentials().unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|c| (c.host.as_str(), c.path.as_str(), c.authorization.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("corp.example:8443", "/npm/", "Basic bWU6cEBzcw=="),
                ("npm.example", "/", "Bearer abc123"),
                ("old.example", "/a/", "Basic YWRhOnBhc3M="),
                ("pair.example", "/", "Basic YTpi"),
            ]
        );
        let legacy = Npmrc::of("registry=https://npm.example/x\n_authToken=t\n");
        let found = legacy.credentials().unwrap();
        assert_eq!(
            (found[0].host.as_str(), found[0].path.as_str()),
            ("npm.example", "/x/")
        );
    }

    #[test]
    fn the_proxy_and_its_exceptions_are_read() {
        let npmrc = Npmrc::of(FILE);
        let upstream = npmrc.upstream().unwrap().unwrap();
        assert_eq!(upstream.host_str(), Some("proxy.example"));
        assert_eq!(npmrc.beside_upstream(), ["lan", "local.example"]);
        assert!(Npmrc::of("proxy=null").upstream().unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_value() {
        for text in [
            "registry=npm.example",
            "https-proxy=https://u:hidden@p.example",
            "//n.example/:_password=hidden!",
        ] {
            let npmrc = Npmrc::of(text);
            let error = npmrc
                .credentials()
                .err()
                .or(npmrc.upstream().err())
                .unwrap();
            assert_eq!(error.code, Code::MissingDependencies);
            assert!(!error.message.contains("hidden"), "{}", error.message);
        }
    }
}
