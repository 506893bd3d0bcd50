//! The credentials of the operator's file: what is said in `Authorization`, and
//! where.

use data_encoding::BASE64;
use url::Url;

use super::{Npmrc, address, unusable};
use crate::error::Result;

/// npm's own.
const DEFAULT: &str = "https://registry.npmjs.org/";

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

    /// Whether a request by `scheme` to that host and port is one to its registry.
    #[must_use]
    pub fn is_at(&self, scheme: &str, host: &str, port: u16) -> bool {
        let standard = if scheme == "http" { 80 } else { 443 };
        match self.host.strip_prefix(host) {
            Some("") => port == standard,
            Some(rest) => rest
                .strip_prefix(':')
                .is_some_and(|text| text.parse() == Ok(port)),
            None => false,
        }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({}{})", self.host, self.path)
    }
}

impl Npmrc {
    /// What the registries are told, in the order of the file.
    ///
    /// # Errors
    /// `MISSING_DEPENDENCIES` when a registry's address is none, or a password
    /// is not in base64, as npm has it.
    pub fn credentials(&self) -> Result<Vec<Credential>> {
        let mut found: Vec<Credential> = Vec::new();
        for url in self.registries()? {
            if let Some(authorization) = basic_of(&url) {
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
}

/// The value of `Authorization` for a user and a password (RFC 7617).
pub(in crate::bundle) fn basic(user: &str, password: &str) -> String {
    let pair = BASE64.encode(format!("{user}:{password}").as_bytes());
    format!("Basic {pair}")
}

/// The same for those in an address, when it has a password.
pub(in crate::bundle) fn basic_of(url: &Url) -> Option<String> {
    Some(basic(&decoded(url.username()), &decoded(url.password()?)))
}

pub(super) fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}
