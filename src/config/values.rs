//! Looks settings up in the sources, and keeps account: which were asked for,
//! what came out, what was wrong.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Secret;
use super::sources::{Layer, Origin};
use super::spec::{Fallback, Kind, Setting, Spec};

/// One line of `config show`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub name: &'static str,
    /// As it was given; `None`: not set. Of a secret only that there is one.
    pub value: Option<String>,
    /// Where the value comes from, in words.
    pub source: String,
    pub secret: bool,
}

/// Stands for every secret value in what is shown.
pub(super) const REDACTED: &str = "(redacted)";

/// A value as its source has it.
pub(super) struct Found {
    pub(super) text: Secret,
    pub(super) origin: Origin,
    pub(super) base: PathBuf,
    /// The file that `NAME_FILE` names.
    pub(super) via: Option<PathBuf>,
}

pub(super) struct Values {
    /// The lowest first.
    layers: Vec<Layer>,
    pub(super) rows: Vec<Row>,
    pub(super) problems: Vec<String>,
}

/// No setting is longer; a file that is was named by mistake.
const LONGEST_VALUE: u64 = 64 * 1024;

impl Values {
    pub(super) fn new(layers: Vec<Layer>) -> Self {
        Self {
            layers,
            rows: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Adds a source below all others.
    pub(super) fn put_below(&mut self, layer: Layer) {
        self.layers.insert(0, layer);
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The value of a setting with a fixed default.
    pub(super) fn get<T>(&mut self, setting: &Setting<T>) -> T {
        let Fallback::Value(default) = setting.spec.fallback else {
            unreachable!("{} has no fixed default: use get_or", setting.spec.name);
        };
        self.get_or(setting, default)
    }

    /// The value, or the one of the text `default`. After a problem the
    /// default holds, so that the rest can be looked at too.
    pub(super) fn get_or<T>(&mut self, setting: &Setting<T>, default: &str) -> T {
        let value = self.find(setting);
        if let Some(row) = self
            .rows
            .iter_mut()
            .find(|row| row.name == setting.spec.name)
        {
            row.value.get_or_insert_with(|| default.to_owned());
        }
        value.unwrap_or_else(|| (setting.convert)(default).expect("a test proves every default"))
    }

    /// The value of a setting that may be left unset.
    pub(super) fn find<T>(&mut self, setting: &Setting<T>) -> Option<T> {
        let found = self.look_up(&setting.spec);
        let value = found
            .as_ref()
            .and_then(|found| self.convert(setting, found));
        match &found {
            Some(found) => {
                self.note(
                    &setting.spec,
                    Some(&found.text),
                    &found.origin,
                    found.via.as_deref(),
                );
            }
            None => self.note(&setting.spec, None, &Origin::Default, None),
        }
        value
    }

    /// A path that may be left unset, made absolute.
    pub(super) fn find_path(&mut self, setting: &Setting<PathBuf>) -> Option<PathBuf> {
        let base = self.look_up(&setting.spec)?.base;
        self.find(setting).map(|path| base.join(path))
    }

    /// Tells what is shown for `spec` when it is not what was looked up.
    pub(super) fn note(
        &mut self,
        spec: &Spec,
        text: Option<&Secret>,
        origin: &Origin,
        via: Option<&Path>,
    ) {
        let value = text.map(|text| {
            if spec.kind.is_secret() {
                REDACTED.to_owned()
            } else {
                without_credentials(text.expose())
            }
        });
        let mut source = origin.to_string();
        if let Some(via) = via {
            source = format!("{source}, {}_FILE {}", spec.name, via.display());
        }
        self.rows.retain(|row| row.name != spec.name);
        self.rows.push(Row {
            name: spec.name,
            value,
            source,
            secret: spec.kind.is_secret(),
        });
    }

    fn convert<T>(&mut self, setting: &Setting<T>, found: &Found) -> Option<T> {
        let spec = &setting.spec;
        let text = found.text.expose();
        let within = match spec.kind {
            Kind::Number { min, max, .. } => text
                .parse::<u64>()
                .is_ok_and(|number| (min..=max).contains(&number)),
            _ => true,
        };
        let value = within.then(|| (setting.convert)(text)).flatten();
        if value.is_none() {
            let given = if spec.kind.is_secret() {
                String::new()
            } else {
                format!(" is `{}`,", without_credentials(text))
            };
            self.problems.push(format!(
                "{}{given} from {}; expected {}",
                spec.name,
                found.origin,
                spec.kind.expectation()
            ));
        }
        value
    }

    /// The value in the highest source that has one. An empty one counts as
    /// not set, because docker compose passes unset variables on as empty.
    fn look_up(&mut self, spec: &Spec) -> Option<Found> {
        self.search(spec).unwrap_or_else(|problem| {
            // A setting may be looked up twice; its problem is told once.
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
            None
        })
    }

    fn search(&self, spec: &Spec) -> Result<Option<Found>, String> {
        let name = spec.name;
        let file_name = format!("{name}_FILE");
        for layer in self.layers.iter().rev() {
            let given = |name: &str| layer.entries.get(name).filter(|value| !value.is_empty());
            let (text, via) = match (given(name), given(&file_name)) {
                (None, None) => continue,
                (Some(_), Some(_)) => {
                    return Err(format!(
                        "{name} and {file_name} are both set in {}; keep one",
                        layer.origin
                    ));
                }
                (Some(value), None) => {
                    let text = value
                        .to_str()
                        .ok_or_else(|| format!("{name} is not UTF-8 text"))?;
                    (Secret::new(text), None)
                }
                (None, Some(path)) => {
                    let path = layer.base.join(path);
                    let text = read_value(&path).map_err(|why| {
                        let path = path.display();
                        format!("{file_name} names {path}, which {why}; mend it, or set {name}")
                    })?;
                    (text, Some(path))
                }
            };
            return Ok(Some(Found {
                text,
                origin: layer.origin.clone(),
                base: layer.base.clone(),
                via,
            }));
        }
        Ok(None)
    }
}

/// The value with the `user:password@` of its addresses taken out: no setting
/// wants one there, and what is refused is shown.
fn without_credentials(text: &str) -> String {
    let masked = |item: &str| {
        let start = item.find("://").map_or(0, |at| at + "://".len());
        match item[start..].rfind('@') {
            Some(end) if item[start..start + end].contains(':') => {
                format!("{}…{}", &item[..start], &item[start + end..])
            }
            _ => item.to_owned(),
        }
    };
    text.split(',').map(masked).collect::<Vec<_>>().join(",")
}

/// The text of a file without the newline that editors end it with.
fn read_value(path: &Path) -> Result<Secret, String> {
    let meta = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?;
    if !meta.is_file() || meta.len() > LONGEST_VALUE {
        return Err("is not a file of at most 64 KiB".to_owned());
    }
    let text = zeroize::Zeroizing::new(
        std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?,
    );
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(Secret::new(text))
}
