//! Whether a project's app runs on Hermes. It is the default of Expo and of
//! React Native since 0.70; a project can choose `JavaScriptCore` instead.

use std::path::Path;

use serde_json::Value;

use crate::bundle::detect::Plan;
use crate::bundle::tree;
use crate::domain::preview::Platform;
use crate::domain::project::ProjectKind;

/// `config` is Expo's public app config, where there is one.
#[must_use]
pub fn is_used(plan: &Plan, config: Option<&Value>) -> bool {
    match (plan.kind, plan.platform) {
        (_, Platform::Web) | (ProjectKind::Web | ProjectKind::Static, _) => false,
        (ProjectKind::Expo, platform) => config.is_none_or(|config| in_expo(config, platform)),
        (ProjectKind::ReactNative, Platform::Android) => {
            text(plan, "android/gradle.properties").is_none_or(|text| in_gradle(&text))
        }
        (ProjectKind::ReactNative, Platform::Ios) => {
            text(plan, "ios/Podfile").is_none_or(|text| in_podfile(&text))
        }
    }
}

fn text(plan: &Plan, path: &str) -> Option<String> {
    let bytes = tree::read(&plan.tree, &plan.root.join(Path::new(path)), tree::SMALL).ok()??;
    String::from_utf8(bytes).ok()
}

/// As `isEnableHermesManaged` of Expo's command line decides it.
fn in_expo(config: &Value, platform: Platform) -> bool {
    let own = &config[platform.as_str()]["jsEngine"];
    let engine = own.as_str().or_else(|| config["jsEngine"].as_str());
    engine != Some("jsc")
}

fn in_gradle(text: &str) -> bool {
    let last = text.lines().rev().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "hermesEnabled").then(|| value.trim())
    });
    last != Some("false")
}

/// A Podfile is Ruby, so this knows the ways in which people write it, and no
/// more than those.
fn in_podfile(text: &str) -> bool {
    !text.lines().any(|line| {
        let code = line.split('#').next().unwrap_or_default();
        let code: String = code.split_whitespace().collect();
        code.contains(":hermes_enabled=>false") || code.contains("hermes_enabled:false")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expo_says_it_in_its_config() {
        let used = |config: Value| in_expo(&config, Platform::Ios);
        assert!(used(json!({})));
        assert!(used(json!({"jsEngine": "hermes"})));
        assert!(!used(json!({"jsEngine": "jsc"})));
        assert!(!used(
            json!({"jsEngine": "hermes", "ios": {"jsEngine": "jsc"}})
        ));
        assert!(used(
            json!({"jsEngine": "jsc", "ios": {"jsEngine": "hermes"}})
        ));
        assert!(used(json!({"android": {"jsEngine": "jsc"}})));
    }

    #[test]
    fn react_native_says_it_in_the_native_projects() {
        assert!(in_gradle("# none\nnewArchEnabled=true\n"));
        assert!(in_gradle("hermesEnabled=true\n"));
        assert!(!in_gradle("hermesEnabled = false\n"));
        assert!(in_gradle("#hermesEnabled=false\n"));
        assert!(in_podfile(
            "use_react_native!(:path => config[:reactNativePath])"
        ));
        assert!(in_podfile(
            "  # :hermes_enabled => false\n  :hermes_enabled => true"
        ));
        assert!(!in_podfile("  :hermes_enabled => false,"));
        assert!(!in_podfile("  hermes_enabled: false,"));
    }
}
