//! Projects that want to give others another package than their lockfile says:
//! through the dependencies and the downloads that projects share.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use hivesync::domain::ProjectId;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;
use serde_json::{Value, json};

use crate::builder::{Builder, Tree};

const INTEGRITY: &str = "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==";
const HONEST: &str = "172800000";

/// Its page is what the one package that it has says.
fn project() -> Tree {
    let manifest = json!({
        "name": "small", "version": "1.0.0",
        "scripts": {"build": "node build.js"}, "dependencies": {"ms": "2.1.3"},
    });
    Tree::of(&[
        ("package.json", &manifest.to_string()),
        (
            "build.js",
            "const fs = require('fs');\nfs.mkdirSync('dist');\n\
             fs.writeFileSync('dist/index.html', String(require('ms')('2 days')));\n",
        ),
    ])
}

fn npms_lockfile(package: &Value) -> String {
    json!({
        "name": "small", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": {"name": "small", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}},
            "node_modules/ms": package,
        },
    })
    .to_string()
}

fn honest() -> Tree {
    let mut tree = project();
    let package = json!({
        "version": "2.1.3", "integrity": INTEGRITY,
        "resolved": "https://registry.npmjs.org/ms/-/ms-2.1.3.tgz",
    });
    tree.put("package-lock.json", &npms_lockfile(&package));
    tree
}

/// A package of that name and version with other contents.
fn evil() -> Vec<u8> {
    let packer = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(packer);
    for (name, text) in [
        (
            "package/package.json",
            r#"{"name": "ms", "version": "2.1.3"}"#,
        ),
        ("package/index.js", "module.exports = () => 'poison';"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes())
            .expect("an entry");
    }
    let packer = tar.into_inner().expect("a tarball");
    packer.finish().expect("packed")
}

async fn another(builder: &Builder) -> ProjectId {
    builder.project(ProjectConfig::default()).await
}

/// npm goes by this file before it looks at the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_lockfile_poisons_nobody_elses_dependencies() {
    let builder = Builder::start().await;
    let mut tree = honest();
    let package = json!({"version": "2.1.3", "resolved": "file:evil.tgz"});
    tree.put("npm-shrinkwrap.json", &npms_lockfile(&package));
    tree.put_bytes("evil.tgz", &evil());
    let attacker = another(&builder).await;
    let own = builder.build(attacker, &tree, Platform::Web).await;
    assert_eq!(own.text("dist/index.html"), "poison", "its own affair");

    let others = another(&builder).await;
    let built = builder.build(others, &honest(), Platform::Web).await;
    assert_eq!(built.text("dist/index.html"), HONEST, "{}", built.log);
    builder.stop().await;
}

/// To Bun and to Yarn a folder with the right version is installed.
#[tokio::test(flavor = "multi_thread")]
async fn committed_dependencies_poison_nobody_elses() {
    let builder = Builder::start().await;
    let mut tree = project();
    let locked = format!(
        r#"{{"lockfileVersion": 1, "workspaces": {{"": {{"name": "small", "dependencies": {{"ms": "2.1.3"}}}}}},
            "packages": {{"ms": ["ms@2.1.3", "", {{}}, "{INTEGRITY}"]}}}}"#
    );
    tree.put("bun.lock", &locked);
    let honest = tree.clone();
    tree.put(
        "planted/ms/package.json",
        r#"{"name": "ms", "version": "2.1.3"}"#,
    );
    tree.put("planted/ms/index.js", "module.exports = () => 'poison';");
    let attacker = another(&builder).await;
    let commit = builder.upload(attacker, &tree).await;
    // An upload leaves such folders out; a repository that is linked has them.
    let repository = builder.app().data.repo(attacker);
    let commit = with_renamed_folder(&repository, &commit, "planted", "node_modules");
    let id = builder.request(attacker, &commit, Platform::Web).await;
    builder.success(&id).await;

    let others = another(&builder).await;
    let built = builder.build(others, &honest, Platform::Web).await;
    assert_eq!(built.text("dist/index.html"), HONEST, "{}", built.log);
    builder.stop().await;
}

/// Bun and Yarn 1 look for a package among their downloads by what the lockfile
/// calls it: here it names one, and says where another one lies.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_under_the_name_of_another_is_in_nobody_elses_downloads() {
    let other = (
        "https://registry.npmjs.org/is-number/-/is-number-7.0.0.tgz",
        "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng==",
    );
    let bun = |(address, integrity): (&str, &str)| {
        format!(
            r#"{{"lockfileVersion": 1, "workspaces": {{"": {{"name": "small", "dependencies": {{"ms": "2.1.3"}}}}}},
                "packages": {{"ms": ["ms@2.1.3", "{address}", {{}}, "{integrity}"]}}}}"#
        )
    };
    let yarn = |resolved: &str, more: &str, integrity: &str| {
        format!(
            "# yarn lockfile v1\n\n\nms@2.1.3:\n  version \"2.1.3\"\n{more}  \
             resolved \"{resolved}\"\n  integrity {integrity}\n"
        )
    };
    let digest = "574c8138ce1d2b5861f0b44579dbadd60c6615b2";
    let own = format!("https://registry.yarnpkg.com/ms/-/ms-2.1.3.tgz#{digest}");
    let uid = format!("  uid \"{digest}\"\n");
    for (lockfile, evil, honest) in [
        ("bun.lock", bun(other), bun(("", INTEGRITY))),
        (
            "yarn.lock",
            yarn(other.0, &uid, other.1),
            yarn(&own, "", INTEGRITY),
        ),
    ] {
        let builder = Builder::start().await;
        // Those of all tests have the honest package already.
        let cache = builder.app().data.root().join("cache");
        for name in ["bun", "yarn"] {
            fs::remove_file(cache.join(name)).expect("the link to them");
        }
        let attacker = another(&builder).await;
        let mut tree = project();
        tree.put(lockfile, &evil);
        let commit = builder.upload(attacker, &tree).await;
        let id = builder.request(attacker, &commit, Platform::Web).await;
        builder.ended(&id).await;
        // Its own build of the honest lockfile is its own affair, too.
        tree.put(lockfile, &honest);
        let commit = builder.upload(attacker, &tree).await;
        let id = builder.request(attacker, &commit, Platform::Web).await;
        builder.ended(&id).await;

        let others = another(&builder).await;
        let built = builder.build(others, &tree, Platform::Web).await;
        assert_eq!(built.text("dist/index.html"), HONEST, "{}", built.log);
        builder.stop().await;
    }
}

/// pnpm loads hooks for its settings from packages, too. Whatever it has loaded
/// can write in its store, whose files it believes by their times.
#[tokio::test(flavor = "multi_thread")]
async fn what_writes_in_a_managers_downloads_does_so_in_its_own_projects() {
    let builder = Builder::start().await;
    let mut tree = project();
    tree.put(
        "pnpm-lock.yaml",
        &format!(
            "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  \
             excludeLinksFromLockfile: false\n\nimporters:\n\n  .:\n    dependencies:\n      ms:\n        \
             specifier: 2.1.3\n        version: 2.1.3\n\npackages:\n\n  ms@2.1.3:\n    \
             resolution: {{integrity: {INTEGRITY}}}\n\nsnapshots:\n\n  ms@2.1.3: {{}}\n"
        ),
    );
    for name in ["one", "two"] {
        let project = another(&builder).await;
        let built = builder.build(project, &tree, Platform::Web).await;
        assert_eq!(
            built.text("dist/index.html"),
            HONEST,
            "{name}: {}",
            built.log
        );
        let own = builder.app().data.download_cache("pnpm", Some(project));
        assert!(own.is_dir(), "{name}: {}", built.log);
    }
    assert_eq!(crate::builder::dependency_sets(&builder).len(), 2);
    builder.stop().await;
}

/// A commit like `commit`, in which a folder at the top has another name.
fn with_renamed_folder(repository: &Path, commit: &str, from: &str, to: &str) -> String {
    let git = |arguments: &[&str], input: &str| {
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(repository)
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git is installed");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.trim_end().to_owned()
    };
    let tree = git(&["ls-tree", commit], "");
    let tree = git(
        &["mktree"],
        &tree.replace(&format!("\t{from}"), &format!("\t{to}")),
    );
    git(&["commit-tree", &tree, "-m", "renamed"], "")
}

/// Yarn runs a script to make such a package, whatever it was told of scripts.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_made_by_a_script_is_not_made_among_everybodys_downloads() {
    let builder = Builder::start().await;
    let tree = Tree::of(&[
        (
            "package.json",
            r#"{"name": "small", "version": "1.0.0", "scripts": {"build": "mkdir dist && echo > dist/index.html"},
                "dependencies": {"made": "exec:./make.js"}}"#,
        ),
        (
            "make.js",
            "const fs = require('fs'), path = require('path');\n\
             fs.mkdirSync(execEnv.buildDir, { recursive: true });\n\
             fs.writeFileSync(path.join(execEnv.buildDir, 'package.json'), '{\"name\": \"made\", \"version\": \"1.0.0\"}');\n\
             fs.writeFileSync('/work/downloads/yarn/planted', '');\n",
        ),
        (
            "yarn.lock",
            "__metadata:\n  version: 8\n  cacheKey: 10c0\n\n\
             \"made@exec:./make.js::locator=small%40workspace%3A.\":\n  version: 1.0.0\n  \
             resolution: \"made@exec:./make.js#./make.js::hash=0&locator=small%40workspace%3A.\"\n  \
             languageName: node\n  linkType: hard\n\n\
             \"small@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"small@workspace:.\"\n  \
             dependencies:\n    made: \"exec:./make.js\"\n  languageName: unknown\n  linkType: soft\n",
        ),
    ]);
    let cache = builder.app().data.root().join("cache");
    let shared = cache.join("yarn/planted");
    let _ = fs::remove_file(&shared);
    let project = another(&builder).await;
    let commit = builder.upload(project, &tree).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    builder.ended(&id).await;
    assert!(!shared.exists(), "{}", builder.log(&id));
    let own = builder.app().data.download_cache("yarn", Some(project));
    assert!(
        own.join("planted").exists(),
        "it did run:\n{}",
        builder.log(&id)
    );
    builder.stop().await;
}
