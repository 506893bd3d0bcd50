//! Telling the package managers of an installing cell where the gate is, and
//! what the operator says about registries.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Gate, Place, Registries};
use crate::bundle::npmrc::Npmrc;
use crate::bundle::sandbox::Cell;
use crate::bundle::workbench::{Build, Workbench};
use crate::domain::preview::SandboxLevel;
use crate::error::{Context, Result};

/// The variables by which programs find a proxy: npm and pnpm, Yarn 1 and those
/// like git and curl, later Yarns, Bun.
const PROXY: [&str; 8] = [
    "npm_config_proxy",
    "npm_config_https_proxy",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "YARN_HTTP_PROXY",
    "YARN_HTTPS_PROXY",
];

/// What home has of ours while a command is installing.
const FILES: [&str; 3] = [".npmrc", ".yarnrc.yml", ".registry-ca.pem"];

impl Gate {
    /// Opens a gate for the next command of `build`, and tells its cell of it.
    ///
    /// # Errors
    /// As [`Gate::open`], and `SANDBOX_UNAVAILABLE` where the command could pass
    /// by it.
    pub async fn open_for(
        build: &mut Build,
        registries: &Registries,
        npmrc: &Npmrc,
    ) -> Result<Self> {
        build.cell.sandbox().check_way_out(build.cell.level())?;
        let socket = build.bench.file("registry.sock");
        let place = match build.cell.level() {
            SandboxLevel::Isolated => Place::Socket(&socket),
            SandboxLevel::Restricted | SandboxLevel::None => Place::Loopback,
        };
        let gate = Self::open(registries, npmrc, place, &build.log).await?;
        gate.tell(npmrc, &build.bench, &mut build.cell)?;
        Ok(gate)
    }

    fn tell(&self, npmrc: &Npmrc, bench: &Workbench, cell: &mut Cell) -> Result<()> {
        let url = self.url(cell.let_out(self.entrance().clone()));
        for name in PROXY {
            cell.env(name, &url);
        }
        // So that an allowed install script's own requests find it, too.
        cell.env("NODE_USE_ENV_PROXY", "1");
        let mut told = npmrc.told();
        let mut cafile = None;
        if let Some(certificates) = self.certificates(npmrc)? {
            let place = bench.home.join(".registry-ca.pem");
            fs::write(&place, &certificates.pem).or_internal("lend the install's certificates")?;
            let inside = cell.inside(&place);
            cell.env("NODE_EXTRA_CA_CERTS", &inside);
            if certificates.replace {
                let _ = writeln!(told, "cafile={}", inside.display());
                cafile = Some(inside);
            }
        }
        let place = bench.home.join(".npmrc");
        fs::write(&place, told).or_internal("write the install's .npmrc")?;
        cell.env("NPM_CONFIG_USERCONFIG", cell.inside(&place));
        let yarn = yarnrc(npmrc, cafile.as_deref());
        fs::write(bench.home.join(".yarnrc.yml"), yarn)
            .or_internal("write the install's .yarnrc.yml")
    }

    /// What the install has to believe, besides what node comes with.
    fn certificates(&self, npmrc: &Npmrc) -> Result<Option<Certificates>> {
        let mut pem = String::new();
        let cafile = npmrc.cafile();
        if let Some(cafile) = &cafile {
            pem = fs::read_to_string(cafile)
                .or_internal("read the `cafile` of BUILD_NPMRC; check its path and rights")?;
            pem.push('\n');
        }
        pem.push_str(self.certificate().unwrap_or_default());
        Ok((!pem.is_empty()).then_some(Certificates {
            pem,
            replace: cafile.is_some(),
        }))
    }

    /// Takes back what was told.
    pub fn take_back(bench: &Workbench) {
        for name in FILES {
            let _ = fs::remove_file(bench.home.join(name));
        }
    }
}

struct Certificates {
    pem: String,
    /// They stand in the place of node's own, as npm's `cafile` does.
    replace: bool,
}

/// The same in the format of Yarn 2 and later.
fn yarnrc(npmrc: &Npmrc, cafile: Option<&Path>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut out = String::new();
    if let Some(registry) = npmrc.default_registry() {
        let _ = writeln!(out, "npmRegistryServer: {}", quoted(&registry));
    }
    if let Some(path) = cafile {
        let _ = writeln!(out, "httpsCaFilePath: {}", quoted(&path.to_string_lossy()));
    }
    if !npmrc.strict_ssl() {
        out.push_str("enableStrictSsl: false\n");
    }
    let scopes = npmrc.scopes();
    if !scopes.is_empty() {
        out.push_str("npmScopes:\n");
    }
    for (scope, registry) in &scopes {
        let _ = writeln!(out, "  {}:", quoted(scope));
        let _ = writeln!(out, "    npmRegistryServer: {}", quoted(registry));
    }
    let clear = npmrc.clear_hosts();
    if !clear.is_empty() {
        out.push_str("unsafeHttpWhitelist:\n");
    }
    for host in clear {
        let _ = writeln!(out, "  - {}", quoted(&host));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_yarns_get_the_same_in_their_format() {
        let npmrc = Npmrc::of(
            "registry=http://npm.lan:4873\n@corp:registry=https://u:secret@corp.example/\n\
             //npm.lan:4873/:_authToken=secret\ncafile=/etc/ca.pem\n",
        );
        assert_eq!(
            yarnrc(&npmrc, Some(Path::new("/work/home/ca.pem"))),
            "npmRegistryServer: \"http://npm.lan:4873/\"\nhttpsCaFilePath: \"/work/home/ca.pem\"\nnpmScopes:\n  \"corp\":\n    \
             npmRegistryServer: \"https://corp.example/\"\nunsafeHttpWhitelist:\n  - \"npm.lan\"\n"
        );
    }
}
