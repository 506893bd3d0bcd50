//! The template of the environment, made from the table of settings.

use super::settings::ALL;
use super::spec::{Fallback, Kind, Spec};

const HEADER: &str = "\
# HiveSync: every setting, with its default. Made from the table in
# src/config/settings.rs; a test keeps the two the same.
#
# Copy this file to .env in the working folder and take the # off the lines you
# change, or pass the variables in the environment. Later wins: default,
# DATA_DIR/hivesync.toml (names in lower case), .env, environment. An empty value
# counts as not set. Any NAME may be given as NAME_FILE: the path of a file that
# holds the value, which is the better way for secrets.
#
# hivesync config check   finds mistakes
# hivesync config show    prints every value and where it comes from
";

/// The text of `env_templates/backend.env.example`.
#[must_use]
pub fn render() -> String {
    let mut text = HEADER.to_owned();
    let mut section = "";
    for spec in ALL {
        if spec.section != section {
            section = spec.section;
            text.extend(["\n# ---- ", section, " ----\n"]);
        }
        text.push_str(&entry(spec));
    }
    text
}

fn entry(spec: &Spec) -> String {
    let Spec { name, doc, .. } = spec;
    let expected = spec.kind.expectation();
    let (default, value) = match spec.fallback {
        Fallback::Value(value) => (String::new(), value),
        Fallback::Rule(rule) => (format!(" Default: {rule}."), placeholder(spec.kind)),
        Fallback::Unset => (" Default: not set.".to_owned(), placeholder(spec.kind)),
    };
    format!("\n# {doc}\n# Expects {expected}.{default}\n#{name}={value}\n")
}

/// A secret that is taken over unchanged is refused at start.
fn placeholder(kind: Kind) -> &'static str {
    if kind.is_secret() { "REPLACE_ME" } else { "" }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The file is made by this test too: `make docs`.
    #[test]
    fn generated_template_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("env_templates/backend.env.example");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, render()).expect("write the template");
        }
        let kept = fs::read_to_string(&path).expect("env_templates/backend.env.example");
        assert!(
            kept == render(),
            "env_templates/backend.env.example differs from src/config/settings.rs; \
             renew it with: make docs"
        );
    }
}
