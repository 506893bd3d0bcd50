//! What a build can and cannot do inside its wall.

use hivesync::bundle::sandbox::Sandbox;
use hivesync::config::{Config, SandboxChoice};
use hivesync::domain::preview::{Platform, SandboxLevel};
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};

fn probe(choice: SandboxChoice) -> Sandbox {
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::for_tests(data.path());
    config.builds.launcher = Some(env!("CARGO_BIN_EXE_hivesync").into());
    config.builds.sandbox = choice;
    Sandbox::of_this_machine(&config)
}

#[test]
fn the_canary_proves_the_level() {
    let sandbox = probe(SandboxChoice::Auto);
    assert_eq!(
        sandbox.level(),
        Some(SandboxLevel::Isolated),
        "{:?}",
        sandbox.refusal()
    );
    assert!(sandbox.toolchain().is_some());
    let restricted = probe(SandboxChoice::Restricted);
    assert_eq!(
        restricted.level(),
        Some(SandboxLevel::Restricted),
        "{:?}",
        restricted.refusal()
    );
    let remark = restricted.remark().expect("what it leaves open");
    assert!(remark.contains("no PID and network isolation"), "{remark}");
    let none = probe(SandboxChoice::None);
    assert_eq!(none.level(), Some(SandboxLevel::None));
    assert!(none.level_for(false).is_err());
    assert!(none.level_for(true).is_ok());
}

/// Every line of the page is what the script found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_sees_nothing_of_the_server() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let data = builder.app().data.root().display().to_string();
    let script = format!(
        r#"
mkdir dist
exec > dist/index.html
echo "data: $(ls '{data}' 2>/dev/null | tr '\n' ' ')"
echo "root: $(ls / | tr '\n' ' ')"
echo "home: $HOME, temporary: $TMPDIR"
echo "processes: $(ls /proc | grep -c '^[0-9]')"
echo "interfaces: $(grep -c ':' /proc/net/dev)"
echo "users: $(wc -l < /etc/passwd)"
echo "capabilities: $(grep CapEff /proc/self/status)"
touch /usr/x 2>/dev/null && echo "usr: written"
touch /x 2>/dev/null && echo "root: written"
touch /etc/passwd 2>/dev/null && echo x >> /etc/passwd && echo "etc: written"
unshare -Ur true 2>/dev/null && echo "namespaces: made"
env | sort | sed 's/^/env: /'
"#
    );
    let built = builder
        .build(project, &Tree::script(&script), Platform::Web)
        .await;
    let page = built.text("dist/index.html");
    for line in [
        "data: \n",
        "home: /work/home, temporary: /tmp\n",
        "interfaces: 1\n",
        "users: 1\n",
        "capabilities: CapEff:\t0000000000000000\n",
    ] {
        assert!(page.contains(line), "{line:?} is not in\n{page}");
    }
    assert!(
        !page.contains("written") && !page.contains("made"),
        "{page}"
    );
    let processes = page
        .lines()
        .find_map(|line| line.strip_prefix("processes: "))
        .and_then(|count| count.parse::<u32>().ok())
        .expect("a count");
    assert!(processes < 20, "{page}");
    for variable in std::env::vars().map(|(name, _)| name) {
        let ours = [
            "PATH", "HOME", "TMPDIR", "LANG", "CI", "PWD", "SHLVL", "_", "OLDPWD", "NODE",
        ];
        let leaked = format!("env: {variable}=");
        let npm_sets = variable.starts_with("npm_") || ours.contains(&variable.as_str());
        assert!(npm_sets || !page.contains(&leaked), "{variable} in\n{page}");
    }
    assert!(
        !page.contains("SECRET") && !page.contains("DATA_DIR"),
        "{page}"
    );
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_closed_to_the_build() {
    let builder = Builder::start().await;
    let address = builder.server.url("/livez");
    let project = builder.project(ProjectConfig::default()).await;
    let script = format!(
        r#"
mkdir dist
node -e "
const say = (text) => require('fs').appendFileSync('dist/index.html', text + '\n');
fetch('{address}').then(() => say('loopback reached'), () => say('loopback closed'));
fetch('http://169.254.169.254/').then(() => say('metadata reached'), () => say('metadata closed'));
"
"#
    );
    let built = builder
        .build(project, &Tree::script(&script), Platform::Web)
        .await;
    let page = built.text("dist/index.html");
    assert!(
        page.contains("loopback closed") && page.contains("metadata closed"),
        "{page}"
    );
    builder.stop().await;
}

/// The files are shared by hard link: what a build could write in one would be
/// in every later build.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_cannot_poison_the_dependencies_it_shares() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = Tree::script_with(
        "ms",
        "2.1.3",
        r#"
mkdir -p dist
target=node_modules/ms/index.js
{
  echo poison >> $target && echo "appended"
  chmod u+w $target && echo "mode changed"
  rm -f $target && echo "removed"
  mv node_modules other && echo "moved"
  ln $target linked && echo poison >> linked && echo "linked"
  touch node_modules/.cache/kept node_modules/.vite/scratch && echo "scratch works"
  node -e "console.log(require('ms')('2 days'))"
} > dist/index.html 2>/dev/null
true
"#,
    );
    for round in ["scratch works\n172800000\n"; 2] {
        let built = builder.build(project, &tree, Platform::Web).await;
        assert_eq!(built.text("dist/index.html"), round, "{}", built.log);
        tree.put("again", "a different commit");
    }
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_out_of_the_output_are_not_bundled() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let data = builder.app().data.root().display().to_string();
    let script = format!(
        "mkdir dist && echo '<html>' > dist/index.html && cd dist && ln -s /etc/hostname host \
         && ln -s '{data}/secrets.toml' secret && ln -s ../package.json up && ln -s . loop \
         && ln -s index.html inner && mkfifo pipe"
    );
    let built = builder
        .build(project, &Tree::script(&script), Platform::Web)
        .await;
    assert_eq!(
        built.names(),
        [
            "build.log",
            "dist/index.html",
            "dist/inner",
            "metadata.json"
        ]
    );
    builder.stop().await;
}

/// A bundle is unpacked on other systems, and its log is read by programs.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_mean_something_elsewhere_are_not_bundled() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let script = r#"mkdir dist && echo '<html>' > dist/index.html && cd dist
touch '..\..\evil.exe' "$(printf 'a\n== upload done 0.0s')" "$(printf '\033[31mred')" "C:x""#;
    let built = builder
        .build(project, &Tree::script(script), Platform::Web)
        .await;
    assert_eq!(
        built.names(),
        ["build.log", "dist/C:x", "dist/index.html", "metadata.json"]
    );
    let ended = built
        .log
        .lines()
        .filter(|line| line.starts_with("== upload done"));
    assert!(ended.count() <= 1, "{}", built.log);
    assert!(
        built.log.contains(r#"left out "a\n== upload done 0.0s""#),
        "{}",
        built.log
    );
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_not_read_to_the_end() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let script = "mkdir dist && echo '<html>' > dist/index.html && cd dist \
                  && truncate -s 1000M big && for n in 1 2 3 4; do ln big big$n; done";
    let (code, message, _) = builder
        .failure(project, &Tree::script(script), Platform::Web)
        .await;
    assert_eq!(code, "PREVIEW_BUILD_FAILED");
    assert!(message.contains("2048 MiB"), "{message}");
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_log_is_cut_and_stops_nothing() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let script = "yes 'the same line again and again' | head -c 40000000\n\
                  mkdir dist && echo '<html>' > dist/index.html";
    let built = builder
        .build(project, &Tree::script(script), Platform::Web)
        .await;
    assert!(built.log.len() < 9 << 20, "{} bytes", built.log.len());
    assert!(built.log.contains("the rest is left out"));
    assert!(built.log.contains("\n== upload done "));
    builder.stop().await;
}

/// Holes take no room until somebody copies them.
#[tokio::test(flavor = "multi_thread")]
async fn file_maps_of_holes_are_kept_within_bounds() {
    let builder = Builder::with(|config| config.builds.limits.disk_bytes = 200 << 20).await;
    let project = builder.project(ProjectConfig::default()).await;
    let script = "mkdir dist && echo '<html>' > dist/index.html\n\
                  for n in $(seq 24); do truncate -s 30M /tmp/metro-file-map-$n; done";
    builder
        .build(project, &Tree::script(script), Platform::Web)
        .await;
    let kept = builder.app().data.transform_cache(project);
    let sizes: Vec<u64> = std::fs::read_dir(kept.join("file-maps"))
        .expect("the cache")
        .map(|entry| entry.expect("a file").metadata().expect("its size").len())
        .collect();
    assert_eq!(sizes, [30 << 20]);
    builder.stop().await;
}
