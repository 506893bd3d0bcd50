//! Warm bundlers of Expo apps for the web: what they build is what `expo export
//! --platform web` makes of the same commit, with its pages, style sheets, chunks
//! and assets; what cannot be built so goes cold.

use hivesync::bundle::warm::Spot;
use hivesync::domain::ProjectId;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};
use crate::warm::{Step, WARM, add, processes, same_when_cold, series, start};

/// The example, with all that a web build knows to do beside JavaScript.
fn site() -> Tree {
    let mut tree = Tree::folder("examples/hello-expo");
    tree.replace(
        "app.json",
        r#""orientation""#,
        r#""experiments": {"baseUrl": "/hive"}, "orientation""#,
    );
    tree.put("src/colors.css", ":root { --honey: #ffb300; }\n");
    tree.put(
        "src/page.css",
        "@import './colors.css';\nbody { background: var(--honey); .comb & { color: #123456; } }\n",
    );
    tree.put("src/card.module.css", ".card { padding: 4px; }\n");
    tree.put(
        "src/later.js",
        "import './later.css';\nexport const later = 'in-a-chunk-of-its-own';\n",
    );
    tree.put("src/later.css", ".later { margin: 1px; }\n");
    tree.put("public/robots.txt", "User-agent: *\n");
    tree.put("public/deep/notes.txt", "first\n");
    add(
        &mut tree,
        "src/theme.js",
        "import './page.css';\nimport card from './card.module.css';\nglobalThis.card = card;\n\
         globalThis.later = () => import('./later');",
    );
    tree
}

const STEPS: [Step; 8] = [
    ("edit", |tree| {
        add(tree, "src/greeting.js", "globalThis.one = 'first-edit';");
    }),
    ("edit of style sheets", |tree| {
        add(tree, "src/page.css", "h1 { color: #654321; }");
        // Part of the one above, and of that alone.
        tree.replace("src/colors.css", "#ffb300", "#ffc107");
        add(tree, "src/card.module.css", ".wide { width: 9px; }");
    }),
    ("edit of a chunk", |tree| {
        add(tree, "src/later.js", "globalThis.three = 'in-the-chunk';");
        add(tree, "src/later.css", ".later { border: 0; }");
    }),
    ("new chunk, style sheet and asset", |tree| {
        tree.put("src/print.css", "@media print { body { color: black } }\n");
        tree.put(
            "src/more.js",
            "import './print.css';\nexport const more = require('../assets/new.png');\n",
        );
        let bytes = tree.bytes("assets/icon.png").to_vec();
        tree.put_bytes("assets/new.png", &bytes);
        add(
            tree,
            "src/theme.js",
            "globalThis.more = () => import('./more');",
        );
    }),
    ("changed asset, and a file for the web alone", |tree| {
        let bytes = tree.bytes("assets/favicon.png").to_vec();
        tree.put_bytes("assets/new.png", &bytes);
        tree.put("src/later.web.js", "export const later = 'on-the-web';\n");
    }),
    ("deleted files", |tree| {
        for file in [
            "src/later.web.js",
            "src/more.js",
            "src/print.css",
            "assets/new.png",
        ] {
            tree.remove(file);
        }
        let import = "globalThis.more = () => import('./more');";
        tree.replace("src/theme.js", import, "");
    }),
    ("what is no part of the JavaScript", |tree| {
        let bytes = tree.bytes("assets/icon.png").to_vec();
        tree.put_bytes("assets/favicon.png", &bytes);
        tree.put("public/deep/notes.txt", "second\n");
        tree.put("public/added.txt", "added\n");
        tree.remove("public/robots.txt");
        let page = "<!doctype html><html lang=\"%LANG_ISO_CODE%\"><head><title>%WEB_TITLE% of \
                    ours</title></head><body><div id=\"root\"></div></body></html>\n";
        tree.put("public/index.html", page);
    }),
    ("revert", |tree| {
        *tree = site();
    }),
];

/// One test, because the dependencies take the longest.
#[tokio::test(flavor = "multi_thread")]
async fn warm_and_cold_builds_of_an_expo_app_for_the_web_are_the_same() {
    let builder = start(2).await;
    let project = builder.project(ProjectConfig::default()).await;
    let made = series(&builder, project, site(), &[Platform::Web], &STEPS).await;
    let text = |step: usize, name: &str| made[step].warm.text(name);
    for mark in ["first-edit", "#123456", "/hive/favicon.ico"] {
        let found = made[0]
            .warm
            .files
            .values()
            .any(|bytes| String::from_utf8_lossy(bytes).contains(mark));
        assert!(found, "{mark} is nowhere in {:?}", made[0].warm.names());
    }
    assert!(text(6, "dist/index.html").contains("of ours"));
    assert_eq!(text(6, "dist/deep/notes.txt"), "second\n");

    a_mistake_keeps_the_bundler(&builder, project).await;
    a_killed_bundler_costs_no_preview(&builder, project).await;
    same_when_cold(builder, project, &made).await;
    assert!(processes().is_empty(), "bundlers outlive their server");
}

async fn a_mistake_keeps_the_bundler(builder: &Builder, project: ProjectId) {
    let mut tree = site();
    add(&mut tree, "src/greeting.js", "export const = ;");
    let (code, _, log) = builder.failure(project, &tree, Platform::Web).await;
    assert_eq!(code, "PREVIEW_BUILD_FAILED");
    assert!(log.contains("trying once without it"), "{log}");
    assert!(log.contains("expo/bin/cli export"), "{log}");
    let mended = builder.build(project, &site(), Platform::Web).await;
    assert!(mended.log.contains(WARM), "{}", mended.log);
}

async fn a_killed_bundler_costs_no_preview(builder: &Builder, project: ProjectId) {
    let mut tree = site();
    add(&mut tree, "src/greeting.js", "globalThis.x = 'ORPHAN';");
    crate::warm::kill(Platform::Web);
    let cold = builder.build(project, &tree, Platform::Web).await;
    assert!(cold.log.contains("it has ended by itself"), "{}", cold.log);
    assert!(cold.log.contains("expo/bin/cli export"), "{}", cold.log);
    builder.app().bundlers.settled().await;
    assert!(builder.app().bundlers.is_ready(web(project)));
}

fn web(project: ProjectId) -> Spot {
    Spot {
        project,
        platform: Platform::Web,
    }
}

/// An app of routes that is rendered when it is built. It has no lockfile.
fn routes() -> Tree {
    let config = r#"{"expo": {"name": "Routes", "slug": "routes", "scheme": "routes",
        "platforms": ["web"], "web": {"bundler": "metro", "output": "static"}}}"#;
    let manifest = r#"{"name": "routes", "private": true, "main": "expo-router/entry",
        "dependencies": {"@expo/metro-runtime": "~56.0.21", "expo": "~56.0.23",
            "expo-constants": "~56.0.27", "expo-linking": "~56.0.18", "expo-router": "~56.2.21",
            "react": "19.2.3", "react-dom": "19.2.3", "react-native": "0.85.3",
            "react-native-safe-area-context": "~5.7.0", "react-native-screens": "~4.26.0",
            "react-native-web": "~0.21.0"}}"#;
    let home = "import { Text } from 'react-native';\n\
                export default function Home() { return <Text>the hives</Text>; }\n";
    Tree::of(&[
        ("app.json", config),
        ("package.json", manifest),
        ("app/index.js", home),
    ])
}

async fn is_built_cold(mut tree: Tree, file: &str, why: &str) {
    let builder = start(1).await;
    let project = builder.project(ProjectConfig::default()).await;
    builder.build(project, &tree, Platform::Web).await;
    builder.app().bundlers.settled().await;
    assert_eq!(builder.app().bundlers.count(), 0, "{why}");
    add(&mut tree, file, "globalThis.again = 1;");
    let cold = builder.build(project, &tree, Platform::Web).await;
    let told = format!("no warm bundler is kept for this project: {why}");
    assert!(cold.log.contains(&told), "{}", cold.log);
    assert!(!cold.log.contains(WARM), "{}", cold.log);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_rendered_by_the_bundler_is_built_cold() {
    let why = "with `web.output`: \"static\" the app runs in the bundler";
    is_built_cold(routes(), "app/index.js", why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_styles_are_made_of_all_sources_is_built_cold() {
    let mut tree = Tree::folder("examples/hello-expo");
    tree.put("postcss.config.js", "module.exports = { plugins: {} };\n");
    let why = "PostCSS may make styles of all sources";
    is_built_cold(tree, "src/greeting.js", why).await;
}
