//! A request's words on how a project is built.

use serde_json::{Map, Value};

use crate::config::settings;
use crate::domain::project::ProjectConfig;
use crate::error::{Context, Error, Result};

/// Keys of a [`ProjectConfig`] with what they shall be.
pub type Named = Map<String, Value>;

/// `config` with what is `named`: another key stays as it is, `null` resets one.
///
/// Unlike a body's other fields an unknown key is refused here: a setting that
/// was misspelt and silently ignored is a build that nobody understands.
///
/// # Errors
/// `INVALID_INPUT` that names the key, below `config.`.
pub fn merged(config: &ProjectConfig, named: Named) -> Result<ProjectConfig> {
    let mut fields = match serde_json::to_value(config).or_internal("read a configuration")? {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (key, value) in named {
        if !ProjectConfig::KEYS.contains(&key.as_str()) {
            return Err(unknown(&key));
        }
        if value.is_null() {
            fields.remove(&key);
        } else {
            fields.insert(key, value);
        }
    }
    let merged: ProjectConfig =
        serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
            let field = format!("config.{}", error.path());
            let message = format!("{field}: {}", error.inner());
            Error::invalid(&field, message)
        })?;
    merged.check()?;
    Ok(merged)
}

fn unknown(key: &str) -> Error {
    let shown: String = key.chars().filter(|c| !c.is_control()).take(60).collect();
    let known = ProjectConfig::KEYS;
    let advice = settings::nearest_of(key, known).map_or_else(
        || format!("the keys are {}", known.join(", ")),
        |nearest| format!("did you mean `{nearest}`?"),
    );
    let field = format!("config.{shown}");
    let message = format!("{field} is unknown; {advice}");
    Error::invalid(&field, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::project::ProjectKind;
    use serde_json::json;

    fn named(value: Value) -> Named {
        match value {
            Value::Object(named) => named,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn what_is_not_named_stays_and_null_resets() {
        let config = ProjectConfig {
            kind: Some(ProjectKind::Web),
            root: Some("app".to_owned()),
            install_scripts: true,
            ..ProjectConfig::default()
        };
        let merged_with = |value| merged(&config, named(value)).expect("taken");
        assert_eq!(merged_with(json!({})), config);
        let changed = merged_with(json!({"output_dir": "dist", "root": null}));
        assert_eq!(changed.output_dir.as_deref(), Some("dist"));
        assert_eq!(changed.root, None);
        assert_eq!(changed.kind, Some(ProjectKind::Web));
        assert!(changed.install_scripts);
        let reset = merged_with(json!({"install_scripts": null}));
        assert!(!reset.install_scripts);
    }

    #[test]
    fn a_key_that_means_nothing_is_refused_with_the_nearest() {
        let refused = |value| merged(&ProjectConfig::default(), named(value)).expect_err("refused");
        let error = refused(json!({"install_script": true}));
        assert_eq!(error.details["field"], "config.install_script");
        assert!(
            error.message.contains("`install_scripts`"),
            "{}",
            error.message
        );
        let error = refused(json!({"xyzzy": 1}));
        assert!(error.message.contains("output_dir"), "{}", error.message);
        let error = refused(json!({"install_scripts": "yes"}));
        assert_eq!(error.details["field"], "config.install_scripts");
    }
}
