//! What a warm bundler was configured by: whatever its configuration has read or
//! asked about files of the project, a commit that changes the answer is not
//! built by it.

use std::process::Command;

use hivesync::bundle::warm::Spot;
use hivesync::domain::ProjectId;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Built, Tree};
use crate::warm::{WARM, add, start};

/// What it makes of the files beside it ends up in the bundle.
const METRO_CONFIG: &str = r"
const { getDefaultConfig } = require('@react-native/metro-config');
const fs = require('node:fs');
const path = require('node:path');
const config = getDefaultConfig(__dirname);
const flag = fs.existsSync(path.join(__dirname, 'flag.txt'));
const brands = fs.readdirSync(path.join(__dirname, 'brands')).join();
config.serializer.getRunModuleStatement = (id) => `/* flag ${flag}, ${brands} */__r(${id});`;
module.exports = config;
";

/// Loaded with the first source that is transformed.
const BABEL_CONFIG: &str = r"
const fs = require('node:fs');
module.exports = (api) => {
  api.cache(true);
  const marked = fs.existsSync(`${__dirname}/marked.txt`);
  const visitor = {
    StringLiteral({ node }) {
      if (node.value === 'THE-MARK') {
        node.value = marked ? 'is-marked' : 'not-marked';
      }
    },
  };
  return { presets: ['module:@react-native/babel-preset'], plugins: [() => ({ visitor })] };
};
";

struct Configured {
    builder: Builder,
    project: ProjectId,
    tree: Tree,
    edits: u32,
}

impl Configured {
    /// A preview of the tree with one more edit of the app.
    async fn preview(&mut self) -> Built {
        self.edits += 1;
        let edit = format!("globalThis.mark = ['THE-MARK', {}];", self.edits);
        add(&mut self.tree, "App.js", &edit);
        let ios = Platform::Ios;
        self.builder.build(self.project, &self.tree, ios).await
    }

    async fn is_ready(&self) -> bool {
        self.builder.app().bundlers.settled().await;
        self.builder.app().bundlers.is_ready(Spot {
            project: self.project,
            platform: Platform::Ios,
        })
    }

    /// The bundler serves a commit that changes no answer.
    async fn is_served(&mut self, marks: &[&str]) {
        assert!(self.is_ready().await);
        let warm = self.preview().await;
        assert!(warm.log.contains(WARM), "{}", warm.log);
        assert!(!warm.log.contains("does not serve"), "{}", warm.log);
        holds(&warm, marks);
    }

    /// It does not serve this one.
    async fn is_refused(&mut self, file: &str, marks: &[&str]) {
        self.tree.put(file, "");
        let cold = self.preview().await;
        let told = "the warm bundler does not serve (what the configuration knows of";
        assert!(cold.log.contains(told), "{}", cold.log);
        holds(&cold, marks);
    }
}

fn holds(built: &Built, marks: &[&str]) {
    let main = built.text("main.jsbundle");
    for mark in marks {
        assert!(main.contains(mark), "{mark}: {}", built.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_asks_is_asked_again_of_each_commit() {
    let builder = start(1).await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = Tree::folder("tests/fixtures/rn-cli");
    tree.put("metro.config.js", METRO_CONFIG);
    tree.put("babel.config.js", BABEL_CONFIG);
    tree.put("brands/one.txt", "");
    let mut configured = Configured {
        builder,
        project,
        tree,
        edits: 0,
    };
    configured.preview().await;
    let before = ["/* flag false, one.txt */", "not-marked"];
    configured.is_served(&before).await;
    let flagged = ["/* flag true, one.txt */", "not-marked"];
    configured.is_refused("flag.txt", &flagged).await;
    configured.is_served(&flagged).await;
    let branded = ["/* flag true, one.txt,two.txt */", "not-marked"];
    configured.is_refused("brands/two.txt", &branded).await;
    configured.is_served(&branded).await;
    configured.is_refused("marked.txt", &["is-marked"]).await;
    assert!(configured.is_ready().await);

    // Of what another program reads nobody knows.
    let more = "require('node:child_process').execFileSync('true');";
    add(&mut configured.tree, "metro.config.js", more);
    configured.preview().await;
    assert!(!configured.is_ready().await);
    let cold = configured.preview().await;
    let told =
        "no warm bundler is kept for this project: its configuration starts a program (true)";
    assert!(cold.log.contains(told), "{}", cold.log);
    configured.builder.stop().await;
}

#[test]
fn every_way_of_asking_counts() {
    let project = tempfile::tempdir().expect("a folder");
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("node")
        .arg(format!("{root}/tests/fixtures/bundler-inputs/ask.cjs"))
        .arg(format!("{root}/assets/bundlers/inputs.cjs"))
        .arg(project.path())
        .output()
        .expect("node runs");
    let unnoticed = String::from_utf8_lossy(&output.stdout);
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert_eq!(unnoticed, "[]", "{trouble}");
}
