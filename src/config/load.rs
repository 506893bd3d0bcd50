//! From the sources to a [`Config`], and the account of how it came about.

use std::path::Path;

use super::draft::{Draft, data_dir};
use super::settings as s;
use super::sources::{Layer, Sources};
use super::values::{Row, Values};
use super::{Config, secrets};
use crate::clock::{Random, SystemEntropy};
use crate::data_dir::DataDir;
use crate::error::{Code, Error, Result};

/// Every value with its source, and what is wrong. Holds no secret.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the table's order.
    pub rows: Vec<Row>,
    /// Why no server can start like this.
    pub problems: Vec<String>,
    /// Names in the file and in `.env` that no setting has: a server starts
    /// all the same, `config check` fails.
    pub unknown: Vec<String>,
    /// What was found and mended while loading.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub report: Report,
}

impl Report {
    /// Looks at the sources and changes nothing.
    #[must_use]
    pub fn of(sources: &Sources) -> Self {
        read(sources).1
    }
}

impl Config {
    /// The configuration that `sources` give. Makes the data folder and the
    /// secrets when the embedded profile needs them.
    ///
    /// # Errors
    /// `INVALID_INPUT` with every problem on a line of its own.
    pub fn load(sources: &Sources, random: &dyn Random) -> Result<Loaded> {
        let (draft, mut report) = read(sources);
        if !report.problems.is_empty() {
            return Err(Error::new(Code::InvalidInput, report.problems.join("\n")));
        }
        let data = DataDir::open(&draft.data_dir)?;
        let path = data.secrets();
        if secrets::close_to_others(&path)? {
            report.warnings.push(format!(
                "{} could be read by others; it is 0600 now",
                path.display()
            ));
        }
        let secrets = secrets::complete(draft.secrets, &path, random)?;
        let config = Config {
            server: draft.server,
            log: draft.log,
            data_dir: data.root().to_owned(),
            min_free_disk_bytes: draft.min_free_disk_bytes,
            tiers: draft.tiers,
            secrets,
            accounts: draft.accounts,
            previews: draft.previews,
            builds: draft.builds,
            sources: draft.sources,
        };
        Ok(Loaded { config, report })
    }

    /// The defaults on `data_dir`, on a free port of loopback, registration
    /// open: for tests, which change what they are about.
    ///
    /// # Panics
    /// When `data_dir` cannot be written.
    #[must_use]
    pub fn for_tests(data_dir: &Path) -> Config {
        let data_dir_text = data_dir.to_str().expect("a test's folder has a plain name");
        let sources = Sources::of_map(
            data_dir,
            &[
                ("DATA_DIR", data_dir_text),
                ("BIND", "127.0.0.1"),
                ("PORT", "0"),
                ("REGISTRATION", "open"),
                ("MIN_FREE_DISK_MB", "0"),
                ("JWT_SECRET", "the session secret of every test of HiveSync"),
                (
                    "PREVIEW_TOKEN_SECRET",
                    "the preview secret of every test of HiveSync",
                ),
            ],
        );
        Config::load(&sources, &SystemEntropy::new())
            .expect("the tests' configuration")
            .config
    }
}

fn read(sources: &Sources) -> (Draft, Report) {
    let mut values = gather(sources);
    let draft = Draft::of(&mut values, sources);
    let mut problems = Vec::new();
    let mut unknown = Vec::new();
    for layer in values.layers() {
        problems.extend(layer.problems.iter().cloned());
        unknown.extend(layer.unknown.iter().cloned());
    }
    problems.append(&mut values.problems);
    let mut rows = values.rows;
    rows.sort_by_key(|row| s::ALL.iter().position(|spec| spec.name == row.name));
    let report = Report {
        rows,
        problems,
        unknown,
        warnings: Vec::new(),
    };
    (draft, report)
}

/// The sources in their order. Where the file lies, `.env` and the
/// environment say.
fn gather(sources: &Sources) -> Values {
    let above = || vec![Layer::dotenv(sources), Layer::environment(sources)];
    let mut early = Values::new(above());
    let named = early.find_path(&s::HIVESYNC_CONFIG);
    let beside_data = data_dir(&mut early, sources).join("hivesync.toml");
    let mut values = Values::new(above());
    let path = match &named {
        Some(path) => path,
        None if beside_data.exists() => &beside_data,
        None => return values,
    };
    let mut file = Layer::file(path);
    let mut forbidden = vec![(
        "HIVESYNC_CONFIG",
        "says where this file is; set it in the environment",
    )];
    if named.is_none() {
        forbidden.push((
            "DATA_DIR",
            "says where this file is; set it in the environment, or name the file by HIVESYNC_CONFIG",
        ));
    }
    for (name, why) in forbidden {
        let file_form = format!("{name}_FILE");
        if file
            .entries
            .remove(name)
            .or(file.entries.remove(&file_form))
            .is_some()
        {
            let key = name.to_lowercase();
            let problem = format!("{}: `{key}` {why}", path.display());
            file.problems.push(problem);
        }
    }
    values.put_below(file);
    values
}
