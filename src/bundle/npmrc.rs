//! The operator's `BUILD_NPMRC`: the registry's address, proxy, CA file and
//! credentials for the install stage. npm, pnpm, Yarn 1 and Bun read it as the
//! home folder's `.npmrc`; later Yarns get the same in their own format.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::sandbox::{Access, Cell};
use super::workbench::Workbench;
use crate::error::{Context, Result};

#[derive(Clone, Debug, Default)]
pub struct Npmrc {
    path: Option<PathBuf>,
    entries: Vec<(String, String)>,
}

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
        Ok(Self {
            path: Some(path.to_owned()),
            entries: parse(&text),
        })
    }

    /// The values that must not reach a log.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        self.entries
            .iter()
            .filter(|(key, _)| {
                let name = key.rsplit(':').next().unwrap_or(key);
                name.starts_with("_auth") || name == "_password" || name == "password"
            })
            .map(|(_, value)| value.as_str())
            .collect()
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.entries
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    fn cafile(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.get("cafile")?);
        path.is_absolute().then_some(path)
    }

    /// Shows the file, and the CA file that it names, to an installing cell.
    pub fn lend(&self, bench: &Workbench, cell: &mut Cell) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let place = bench.home.join(".npmrc");
        std::fs::write(&place, "").or_internal("lend BUILD_NPMRC")?;
        cell.graft_file(path, &place)
            .or_internal("lend BUILD_NPMRC")?;
        cell.env("NPM_CONFIG_USERCONFIG", cell.inside(&place));
        if let Some(cafile) = self.cafile().filter(|file| file.is_file()) {
            cell.mount(&cafile, &cafile, Access::ReadOnly);
            cell.env("NODE_EXTRA_CA_CERTS", &cafile);
        }
        let yarn = self.yarnrc();
        if !yarn.is_empty() {
            std::fs::write(bench.home.join(".yarnrc.yml"), yarn)
                .or_internal("write the build's .yarnrc.yml")?;
        }
        Ok(())
    }

    /// Takes everything back that a later stage has no need of.
    pub fn take_back(bench: &Workbench) {
        for name in [".npmrc", ".yarnrc.yml"] {
            let _ = std::fs::remove_file(bench.home.join(name));
        }
    }

    /// The same in the format of Yarn 2 and later.
    fn yarnrc(&self) -> String {
        let mut out = String::new();
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        for (ours, theirs) in [
            ("registry", "npmRegistryServer"),
            ("cafile", "httpsCaFilePath"),
            ("proxy", "httpProxy"),
            ("https-proxy", "httpsProxy"),
        ] {
            if let Some(value) = self.get(ours) {
                let _ = writeln!(out, "{theirs}: {}", quoted(value));
            }
        }
        let tokens: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(key, value)| Some((key.strip_suffix(":_authToken")?, value)))
            .collect();
        if !tokens.is_empty() {
            out.push_str("npmRegistries:\n");
        }
        for (registry, token) in tokens {
            let registry = registry.trim_end_matches('/');
            let _ = writeln!(out, "  {}:", quoted(registry));
            let _ = writeln!(out, "    npmAuthToken: {}", quoted(token));
            out.push_str("    npmAlwaysAuth: true\n");
        }
        out
    }
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

    fn npmrc(text: &str) -> Npmrc {
        Npmrc {
            path: None,
            entries: parse(text),
        }
    }

    #[test]
    fn secrets_are_told_from_settings() {
        let npmrc = npmrc(
            "; a comment\nregistry = https://npm.example/\n//npm.example/:_authToken=\"abc123\"\n\
             //npm.example/:_password='cGFzcw=='\ncafile=/etc/ca.pem\n",
        );
        assert_eq!(npmrc.secrets(), ["abc123", "cGFzcw=="]);
        assert_eq!(npmrc.cafile(), Some("/etc/ca.pem".into()));
    }

    #[test]
    fn later_yarns_get_the_same_in_their_format() {
        let yarn = npmrc(
            "registry=https://npm.example/\nhttps-proxy=http://p:3128\n//npm.example/:_authToken=t\n",
        )
        .yarnrc();
        assert_eq!(
            yarn,
            "npmRegistryServer: \"https://npm.example/\"\nhttpsProxy: \"http://p:3128\"\n\
             npmRegistries:\n  \"//npm.example\":\n    npmAuthToken: \"t\"\n    npmAlwaysAuth: true\n"
        );
    }
}
