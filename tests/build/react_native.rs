//! React Native projects without Expo.

use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};

#[tokio::test(flavor = "multi_thread")]
async fn a_react_native_project_builds_for_android_and_ios() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let tree = Tree::folder("tests/fixtures/rn-cli");
    let android = builder.build(project, &tree, Platform::Android).await;
    assert!(
        android
            .text("main.jsbundle")
            .contains("Built without Expo.")
    );
    assert!(
        android
            .files
            .contains_key("assets/drawable-mdpi/assets_dot.png")
    );
    assert_eq!(android.metadata()["kind"], "react-native");
    assert_eq!(android.preview.warm, Some(false));

    let ios = builder.build(project, &tree, Platform::Ios).await;
    assert!(ios.text("main.jsbundle").contains("Built without Expo."));
    assert!(ios.files.contains_key("assets/assets/dot.png"));
    // The dependencies are there, but not this platform's transforms.
    assert_eq!(ios.preview.warm, Some(false));
    builder.stop().await;
}
