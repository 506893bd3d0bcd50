//! Real installs from a registry that wants a token, with every package
//! manager, and what an install learns of the token: nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hivesync::config::SandboxChoice;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use super::fake::{PACKAGE, Registry, TOKEN};
use crate::builder::{Builder, Tree};
use crate::managers::small;
use crate::npm;

/// A server whose `BUILD_NPMRC` names the registry, besides what this machine
/// needs for the public one.
async fn server(registry: &Registry, folder: &Path, sandbox: SandboxChoice) -> Builder {
    let mut text = npm::npmrc(folder)
        .map(|path| fs::read_to_string(path).expect("the machine's"))
        .unwrap_or_default();
    if let Some(ca) = &registry.ca {
        // The last `cafile` counts: it must have both.
        let machines = text.lines().find_map(|line| line.strip_prefix("cafile="));
        let machines = machines.map(|path| fs::read_to_string(path).expect("a CA file"));
        let both = folder.join("ca.pem");
        fs::write(&both, format!("{}\n{ca}", machines.unwrap_or_default())).expect("a file");
        let _ = writeln!(text, "cafile={}", both.display());
    }
    text.push_str(&registry.npmrc());
    text.push_str("fetch-retries=0\n");
    let path = folder.join("operator.npmrc");
    fs::write(&path, text).expect("a file");
    Builder::with(|config| {
        config.builds.npmrc = Some(path);
        config.builds.sandbox = sandbox;
        // What another test's registry has said is no answer of this one's.
        for name in ["pnpm", "yarn", "bun"] {
            let shared = config.data_dir.join("cache").join(name);
            fs::remove_file(shared).expect("a link");
        }
    })
    .await
}

/// Its page is what the private package says.
fn project(package_manager: &str) -> Tree {
    let page = "require('@corp/sauce')";
    small(package_manager, (PACKAGE, "1.0.0"), page)
}

async fn installs(registry: &Registry, tree: Tree) {
    installs_in(registry, tree, SandboxChoice::Isolated).await;
}

async fn installs_in(registry: &Registry, tree: Tree, sandbox: SandboxChoice) {
    let folder = tempfile::tempdir().expect("a folder");
    let builder = server(registry, folder.path(), sandbox).await;
    let id = builder.project(ProjectConfig::default()).await;
    let built = builder.build(id, &tree, Platform::Web).await;
    assert_eq!(built.text("dist/index.html"), "the secret sauce");
    assert!(!built.log.contains(TOKEN), "{}", built.log);
    let asked = registry.asked();
    assert!(!asked.is_empty());
    for (line, said) in asked {
        assert_eq!(said, Some(format!("Bearer {TOKEN}")), "{line}");
    }
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_installs_a_private_package() {
    installs(&Registry::https().await, project("npm@10.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_installs_a_private_package_over_http() {
    installs(&Registry::http().await, project("npm@10.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_installs_a_private_package_where_there_are_no_namespaces() {
    let tree = project("npm@10.0.0");
    installs_in(&Registry::https().await, tree, SandboxChoice::Restricted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pnpm_installs_a_private_package() {
    installs(&Registry::https().await, project("pnpm@10.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn yarn_classic_installs_a_private_package() {
    installs(&Registry::https().await, project("yarn@1.22.19")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn yarn_berry_installs_a_private_package() {
    installs(&Registry::https().await, project("yarn@4.5.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn yarn_berry_installs_a_private_package_over_http() {
    installs(&Registry::http().await, project("yarn@4.5.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bun_installs_a_private_package() {
    installs(&Registry::https().await, project("bun@1.2.0")).await;
}

/// The lockfile has the registry's own addresses, and keeps them.
#[tokio::test(flavor = "multi_thread")]
async fn a_lockfiles_addresses_of_a_private_registry_work() {
    let registry = Registry::https().await;
    let mut tree = project("npm@10.0.0");
    tree.put(
        "package-lock.json",
        &format!(
            r#"{{
  "name": "small",
  "version": "1.0.0",
  "lockfileVersion": 3,
  "requires": true,
  "packages": {{
    "": {{ "name": "small", "version": "1.0.0", "dependencies": {{ "{PACKAGE}": "1.0.0" }} }},
    "node_modules/{PACKAGE}": {{
      "version": "1.0.0",
      "resolved": "{}",
      "integrity": "{}"
    }}
  }}
}}"#,
            registry.tarball_url(),
            registry.integrity()
        ),
    );
    installs(&registry, tree).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_install_script_finds_no_credential() {
    look(SandboxChoice::Isolated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_install_script_finds_no_credential() {
    look(SandboxChoice::Restricted).await;
}

/// A script that the project was allowed to run looks everywhere.
async fn look(sandbox: SandboxChoice) {
    let registry = Registry::https().await;
    let folder = tempfile::tempdir().expect("a folder");
    let builder = server(&registry, folder.path(), sandbox).await;
    let operators = folder.path().display().to_string();
    let id = builder
        .project(ProjectConfig {
            install_scripts: true,
            ..ProjectConfig::default()
        })
        .await;
    let mut tree = project("npm@10.0.0");
    tree.replace(
        "package.json",
        r#""build": "node build.js""#,
        r#""build": "node build.js", "postinstall": "sh ./look.sh > found.txt 2>&1 || true""#,
    );
    tree.put(
        "look.sh",
        &format!(
            r#"
env
cat ~/.npmrc ~/.yarnrc.yml "$NPM_CONFIG_USERCONFIG"
npm config list --long
npm config get //localhost:{port}/:_authToken
cat /proc/[0-9]*/environ | tr '\0' '\n'
cat /proc/[0-9]*/cmdline | tr '\0' '\n'
ls -la {operators}; cat {operators}/operator.npmrc
find / -name '*npmrc*' -type f -not -path '/usr/*' -not -path '/proc/*' 2>/dev/null -exec cat {{}} +
npm whoami --registry {base}/
npm token list --registry {base}/
npm view {PACKAGE} --registry {base}/ --json
npm publish --registry {base}/
echo looked
"#,
            port = registry.address.port(),
            base = registry.base()
        ),
    );
    tree.put(
        "build.js",
        "const fs = require('fs');\nfs.mkdirSync('dist');\n\
         fs.writeFileSync('dist/index.html', fs.readFileSync('found.txt'));\n",
    );
    let built = builder.build(id, &tree, Platform::Web).await;
    let found = built.text("dist/index.html");
    assert!(
        found.contains("looked") && found.contains("1.0.0"),
        "{found}"
    );
    assert!(!found.contains(TOKEN), "{found}");
    let encoded = data_encoding::BASE64.encode(TOKEN.as_bytes());
    assert!(!found.contains(&encoded), "{found}");
    for (line, _) in registry.asked() {
        assert!(line.starts_with("GET /@corp"), "{line}");
    }
    builder.stop().await;
}
