//! Where values come from. Later wins: built-in default, file, `.env`,
//! environment.
//!
//! The environment is passed in as a value; [`Sources::of_process`] is the one
//! place that reads the real one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::spec::{Kind, Spec};
use super::{dotenv, settings};
use crate::error::{Code, Context, Result};

/// What a process may take its configuration from.
#[derive(Clone)]
pub struct Sources {
    pub environment: BTreeMap<String, OsString>,
    /// Holds `.env`; relative paths of the environment start here.
    pub working_dir: PathBuf,
    /// The data folder of an installed server, `/data`.
    pub system_data_dir: PathBuf,
}

impl Sources {
    /// This process's environment and working folder.
    pub fn of_process() -> Result<Self> {
        let working_dir =
            std::env::current_dir().or_code(Code::DependencyFailure, "find the working folder")?;
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| name.into_string().ok().map(|name| (name, value)))
            .collect();
        Ok(Self {
            environment,
            working_dir,
            system_data_dir: PathBuf::from("/data"),
        })
    }

    /// These variables and nothing else of the machine's, for tests.
    #[must_use]
    pub fn of_map(working_dir: &Path, environment: &[(&str, &str)]) -> Self {
        Self {
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
                .collect(),
            working_dir: working_dir.to_owned(),
            system_data_dir: working_dir.join("data"),
        }
    }
}

/// Who has set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    DotEnv(PathBuf),
    Environment,
    /// Made at the first start and kept in this file.
    Made(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) | Origin::DotEnv(path) => path.display().fmt(f),
            Origin::Environment => f.write_str("environment"),
            Origin::Made(path) => write!(f, "made once, {}", path.display()),
        }
    }
}

/// The values of one source, by their name in the environment.
pub(super) struct Layer {
    pub(super) origin: Origin,
    /// Where this source's relative paths start.
    pub(super) base: PathBuf,
    pub(super) entries: BTreeMap<String, OsString>,
    /// Names that no setting has, each with a message.
    pub(super) unknown: Vec<String>,
    /// Why parts of the source could not be read.
    pub(super) problems: Vec<String>,
}

impl Layer {
    fn new(origin: Origin, base: &Path) -> Self {
        Self {
            origin,
            base: base.to_owned(),
            entries: BTreeMap::new(),
            unknown: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The known variables of the environment. The others belong to other
    /// programs, unless they are a slip away from one of ours.
    pub(super) fn environment(sources: &Sources) -> Self {
        let mut layer = Self::new(Origin::Environment, &sources.working_dir);
        for (name, value) in &sources.environment {
            if known(name) {
                layer.entries.insert(name.clone(), value.clone());
            } else if let Some(meant) = settings::slip_of(name) {
                layer.unknown.push(format!(
                    "environment: `{name}` is not a setting of HiveSync; did you mean `{meant}`?"
                ));
            } else if let Some(rest) = name.strip_prefix(OURS).filter(|_| !is_expected(name)) {
                let proposal =
                    spec_of(rest).map_or_else(String::new, |_| format!("; did you mean `{rest}`?"));
                layer.unknown.push(format!(
                    "environment: `{name}` is not a setting of HiveSync{proposal}"
                ));
            }
        }
        layer
    }

    /// `.env` of the working folder, if there is one.
    pub(super) fn dotenv(sources: &Sources) -> Self {
        let path = sources.working_dir.join(".env");
        let mut layer = Self::new(Origin::DotEnv(path.clone()), &sources.working_dir);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return layer,
            Err(e) => {
                let why = format!("{} cannot be read: {e}", path.display());
                layer.problems.push(why);
                return layer;
            }
        };
        let (pairs, bad) = dotenv::parse(&text);
        for line in bad {
            let why = format!("{}, line {}: {}", path.display(), line.number, line.why);
            layer.problems.push(why);
        }
        for (name, value) in pairs {
            layer.take(&path, &name, name.clone(), value);
        }
        layer
    }

    /// A TOML file whose keys are the settings' names in lower case.
    pub(super) fn file(path: &Path) -> Self {
        let base = path.parent().unwrap_or(Path::new("/"));
        let mut layer = Self::new(Origin::File(path.to_owned()), base);
        let table = fs::read_to_string(path)
            .map_err(|e| format!("{} cannot be read: {e}", path.display()))
            .and_then(|text| {
                // Not the error's Display: it quotes the line, secrets and all.
                text.parse::<toml::Table>().map_err(|e| {
                    let line = e.span().map_or(1, |at| {
                        1 + text[..at.start.min(text.len())].matches('\n').count()
                    });
                    format!("{}, line {line}: {}", path.display(), e.message())
                })
            });
        match table {
            Ok(table) => {
                for (key, value) in table {
                    layer.take_toml(path, &key, value);
                }
            }
            Err(why) => layer.problems.push(why),
        }
        layer
    }

    fn take_toml(&mut self, path: &Path, key: &str, value: toml::Value) {
        let name = key.to_uppercase();
        let is_list = spec_of(&name).is_some_and(|spec| matches!(spec.kind, Kind::List(_)));
        let text = match value {
            toml::Value::String(text) => Some(text),
            toml::Value::Integer(number) => Some(number.to_string()),
            toml::Value::Boolean(flag) => Some(flag.to_string()),
            toml::Value::Array(items) if is_list => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .map(|items| items.join(",")),
            _ => None,
        };
        match (text, spec_of(&name)) {
            (Some(text), _) => self.take(path, key, name, text),
            (None, None) => self.take(path, key, name, String::new()),
            (None, Some(spec)) => self.problems.push(format!(
                "{}: `{key}` has a value of the wrong type; expected {}",
                path.display(),
                spec.kind.expectation()
            )),
        }
    }

    /// `written` is the name as it stands in the source.
    fn take(&mut self, path: &Path, written: &str, name: String, value: String) {
        if known(&name) {
            self.entries.insert(name, value.into());
            return;
        }
        let proposal = settings::nearest(&name).map_or_else(String::new, |nearest| {
            let upper = written.chars().any(char::is_uppercase);
            let nearest = if upper {
                nearest.to_owned()
            } else {
                nearest.to_lowercase()
            };
            format!("; did you mean `{nearest}`?")
        });
        self.unknown.push(format!(
            "{}: `{written}` is not a setting of HiveSync{proposal}",
            path.display()
        ));
    }
}

/// Whoever sets a name that begins so means us.
const OURS: &str = "HIVESYNC_";

/// What is no setting of the server and has its meaning all the same: for the
/// client, for the launcher of builds, for tests, or because Kubernetes tells
/// every container where the services are.
fn is_expected(name: &str) -> bool {
    let clients = ["HIVESYNC_SERVER", "HIVESYNC_TOKEN", "HIVESYNC_TOKEN_FILE"];
    let inner = ["HIVESYNC_STOP_AT", "HIVESYNC_TELL_", "HIVESYNC_TEST_"];
    let service = name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_");
    clients.contains(&name) || inner.iter().any(|begin| name.starts_with(begin)) || service
}

/// The setting that `NAME` or `NAME_FILE` sets.
fn spec_of(name: &str) -> Option<&'static Spec> {
    settings::find(name).or_else(|| name.strip_suffix("_FILE").and_then(settings::find))
}

fn known(name: &str) -> bool {
    spec_of(name).is_some()
}
