//! What holds for the configuration as a whole: which source wins, what is
//! refused, what is never shown.

mod readers;
mod secrets;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::settings::ALL;
use super::*;
use crate::clock::SystemEntropy;
use crate::error::Result;

/// A working folder, with the environment set in place.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn sources(&self, environment: &[(&str, &str)]) -> Sources {
        Sources::of_map(self.path(), environment)
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Loaded> {
        Config::load(&self.sources(environment), &SystemEntropy::new())
    }

    fn report(&self, environment: &[(&str, &str)]) -> Report {
        Report::of(&self.sources(environment))
    }

    /// The one thing that is wrong.
    fn problem(&self, environment: &[(&str, &str)]) -> String {
        let mut problems = self.report(environment).problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problem = problems.remove(0);
        assert!(!problem.contains('\n'), "{problem}");
        let refusal = self.load(environment).unwrap_err();
        assert_eq!(refusal.message, problem);
        problem
    }
}

fn row<'a>(report: &'a Report, name: &str) -> &'a Row {
    report.rows.iter().find(|row| row.name == name).unwrap()
}

fn shown(report: &Report, name: &str) -> (String, String) {
    let row = row(report, name);
    (row.value.clone().unwrap_or_default(), row.source.clone())
}

#[test]
fn every_setting_of_the_table_is_read_and_nothing_else() {
    let report = Bench::new().report(&[]);
    assert_eq!(report.problems, [""; 0]);
    let read: Vec<_> = report.rows.iter().map(|row| row.name).collect();
    let known: Vec<_> = ALL.iter().map(|spec| spec.name).collect();
    assert_eq!(read, known);
}

#[test]
fn the_later_source_wins_and_each_value_tells_its_source() {
    let bench = Bench::new();
    let file = bench.write(
        "etc/hive.toml",
        "port = 1\nmax_connections = 1\nlog_level = 'warn'\ncors_origins = ['http://a', 'http://b']\nlocal_dev_mode = true\n",
    );
    let dotenv = bench.write(".env", "PORT=2\nMAX_CONNECTIONS=2\n");
    let loaded = bench
        .load(&[("HIVESYNC_CONFIG", &file), ("PORT", "3")])
        .unwrap();
    let server = &loaded.config.server;
    assert_eq!((server.port, server.max_connections), (3, 2));
    assert_eq!(server.cors_origins, ["http://a", "http://b"]);
    assert!(server.local_dev_mode);
    assert_eq!(server.bind.to_string(), "127.0.0.1");
    assert_eq!(loaded.config.log.level, "warn");
    let report = &loaded.report;
    assert_eq!(shown(report, "PORT"), ("3".into(), "environment".into()));
    assert_eq!(shown(report, "MAX_CONNECTIONS"), ("2".into(), dotenv));
    assert_eq!(shown(report, "LOG_LEVEL"), ("warn".into(), file));
    let default = ("127.0.0.1".to_owned(), "default".to_owned());
    assert_eq!(shown(report, "BIND"), default);
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let bench = Bench::new();
    let config = bench.load(&[]).unwrap().config;
    assert_eq!(config.server.bind.to_string(), "0.0.0.0");
    assert_eq!(config.server.port, 4000);
    assert_eq!(config.server.base_url, None);
    assert_eq!(config.previews.token_ttl, Duration::from_mins(5));
    assert_eq!(config.previews.warm_timeout, Duration::from_secs(8));
    assert_eq!(config.previews.bundle_ttl, Duration::from_hours(24));
    assert_eq!(
        (config.builds.concurrency, config.builds.per_project),
        (2, 2)
    );
    assert_eq!(config.accounts.registration, Registration::Invite);
    assert_eq!(config.sources.max_upload_bytes, 100 << 20);
    assert_eq!(
        config.data_dir,
        bench.path().join("data").canonicalize().unwrap()
    );
}

#[test]
fn the_file_beside_the_data_is_found_without_a_name() {
    let bench = Bench::new();
    let file = bench.write("data/hivesync.toml", "port = 1\n");
    let report = bench.report(&[]);
    assert_eq!(shown(&report, "PORT"), ("1".into(), file.clone()));
    assert_eq!(shown(&report, "HIVESYNC_CONFIG"), (file, "default".into()));
    let elsewhere = bench.write("elsewhere/hivesync.toml", "port = 2\n");
    bench.write(".env", "DATA_DIR=elsewhere\n");
    assert_eq!(shown(&bench.report(&[]), "PORT"), ("2".into(), elsewhere));
}

#[test]
fn a_file_may_not_say_where_it_lies() {
    let bench = Bench::new();
    bench.write("data/hivesync.toml", "data_dir = '/elsewhere'\n");
    assert!(
        bench
            .problem(&[])
            .contains("`data_dir` says where this file is")
    );
    let named = bench.write("hive.toml", "data_dir = 'mine'\n");
    let config = bench.load(&[("HIVESYNC_CONFIG", &named)]).unwrap().config;
    assert_eq!(
        config.data_dir,
        bench.path().join("mine").canonicalize().unwrap()
    );
    bench.write("hive.toml", "hivesync_config = 'other.toml'\n");
    let problem = bench.problem(&[("HIVESYNC_CONFIG", &named)]);
    assert!(
        problem.contains("`hivesync_config` says where"),
        "{problem}"
    );
}

#[test]
fn a_named_file_that_is_not_there_is_refused() {
    let problem = Bench::new().problem(&[("HIVESYNC_CONFIG", "missing.toml")]);
    assert!(problem.contains("missing.toml cannot be read"), "{problem}");
}

#[test]
fn any_value_may_come_from_a_file_of_its_own() {
    let bench = Bench::new();
    bench.write("etc/level", "debug\n");
    let port = bench.write("port", "4001\r\n");
    let secret = bench.write("run/secret", "0123456789abcdef0123456789abcdef\n");
    bench.write("data/hivesync.toml", "log_level_file = '../etc/level'\n");
    bench.write(".env", "JWT_SECRET_FILE=run/secret\n");
    let loaded = bench.load(&[("PORT_FILE", &port)]).unwrap();
    assert_eq!(loaded.config.server.port, 4001);
    assert_eq!(loaded.config.log.level, "debug");
    let jwt = loaded.config.secrets.jwt.expose();
    assert_eq!(jwt, "0123456789abcdef0123456789abcdef");
    let source = &row(&loaded.report, "JWT_SECRET").source;
    assert!(
        source.ends_with(&format!(".env, JWT_SECRET_FILE {secret}")),
        "{source}"
    );
    // A later source wins over the file form of an earlier one.
    let loaded = bench.load(&[("LOG_LEVEL", "warn")]).unwrap();
    assert_eq!(loaded.config.log.level, "warn");
}

#[test]
fn a_file_form_that_cannot_be_followed_is_refused() {
    let bench = Bench::new();
    let empty = bench.write("empty", "\n");
    let good = bench.write("good", "4001");
    for (environment, expected) in [
        (&[("PORT_FILE", "missing")][..], "cannot be read"),
        (&[("PORT_FILE", empty.as_str())][..], "is empty"),
        (&[("PORT_FILE", "/")][..], "is not a file"),
        (
            &[("PORT_FILE", good.as_str()), ("PORT", "1")][..],
            "keep one",
        ),
    ] {
        let problem = bench.problem(environment);
        assert!(
            problem.contains("PORT_FILE") && problem.contains(expected),
            "{problem}"
        );
    }
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let bench = Bench::new();
    bench.write(".env", "PORT=4001\nBASE_URL=\n");
    let loaded = bench.load(&[("PORT", ""), ("JWT_SECRET", "")]).unwrap();
    assert_eq!(loaded.config.server.port, 4001);
    assert_eq!(loaded.config.server.base_url, None);
}

#[test]
fn unknown_names_are_told_with_the_nearest_one_and_stop_nothing() {
    let bench = Bench::new();
    bench.write(
        "data/hivesync.toml",
        "prot = 1\n[tables]\nare = 'unknown'\n",
    );
    bench.write(".env", "JWT_SECRT_FILE=x\nEXPO_PUBLIC_API=1\n");
    // The environment is full of other programs' names.
    let environment = [("PROT", "1"), ("HOME", "/root"), ("BUILD_NPMRCS", "/npmrc")];
    let loaded = bench.load(&environment).unwrap();
    let unknown = loaded.report.unknown.join("\n");
    assert!(unknown.contains("`prot` is not a setting of HiveSync; did you mean `port`?"));
    assert!(unknown.contains("`tables` is not a setting"), "{unknown}");
    assert!(unknown.contains("`JWT_SECRT_FILE`") && unknown.contains("`JWT_SECRET`?"));
    assert!(unknown.contains("`EXPO_PUBLIC_API` is not a setting of HiveSync"));
    assert!(unknown.contains("environment: `BUILD_NPMRCS`") && unknown.contains("`BUILD_NPMRC`?"));
    assert_eq!(loaded.report.unknown.len(), 5, "{unknown}");
    assert_eq!(loaded.report.problems, [""; 0]);
}

#[test]
fn a_bad_value_names_the_variable_the_value_and_what_is_expected() {
    let bench = Bench::new();
    for (name, value, expected) in [
        ("PORT", "99999", "a whole number from 0 to 65535"),
        ("PORT", "-1", "a whole number"),
        ("LOCAL_DEV_MODE", "ja", "true or false"),
        ("LOG_FORMAT", "xml", "one of text, json"),
        ("BIND", "localhost", "an IP address"),
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/8,proxy",
            "a list, separated by commas",
        ),
        ("PREVIEW_TOKEN_TTL_SECONDS", "0", "a whole number from 1"),
    ] {
        let problem = bench.problem(&[(name, value)]);
        let told = format!("{name} is `{value}`, from environment; expected {expected}");
        assert!(problem.starts_with(&told), "{problem}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let bench = Bench::new();
    bench.write(".env", "no pair\nLOG_FORMAT=xml\n");
    bench.write("data/hivesync.toml", "port = [1]\n");
    let refusal = bench.load(&[("SANDBOX", "box"), ("ADMIN_EMAIL", "a@b")]);
    let refusal = refusal.unwrap_err().message;
    for part in [
        ".env, line 1",
        "LOG_FORMAT",
        "`port`",
        "SANDBOX",
        "ADMIN_EMAIL",
    ] {
        assert!(refusal.contains(part), "{part} in: {refusal}");
    }
    assert_eq!(refusal.lines().count(), 5, "{refusal}");
}

#[test]
fn the_first_admin_needs_both_halves() {
    let bench = Bench::new();
    let password = bench.write("password", "correct horse\n");
    let both = [
        ("ADMIN_EMAIL", "a@b.example"),
        ("ADMIN_PASSWORD_FILE", &password),
    ];
    let (email, secret) = bench.load(&both).unwrap().config.accounts.admin.unwrap();
    assert_eq!(
        (email.as_str(), secret.expose()),
        ("a@b.example", "correct horse")
    );
    assert!(bench.problem(&both[..1]).contains("ADMIN_PASSWORD_FILE"));
    assert!(bench.problem(&both[1..]).contains("ADMIN_EMAIL"));
    let placeholder = [
        ("ADMIN_EMAIL", "a@b.example"),
        ("ADMIN_PASSWORD", "REPLACE_ME"),
    ];
    assert!(bench.problem(&placeholder).contains("placeholder"));
}

#[test]
fn a_project_cannot_have_more_builds_than_there_are() {
    let bench = Bench::new();
    let config = bench.load(&[("PREVIEW_BUILDER_CONCURRENCY", "5")]);
    assert_eq!(config.unwrap().config.builds.per_project, 5);
    let problem = bench.problem(&[("PREVIEW_PROJECT_CONCURRENCY", "3")]);
    assert!(
        problem.contains("more than PREVIEW_BUILDER_CONCURRENCY (2)"),
        "{problem}"
    );
}

#[test]
fn what_cannot_work_and_what_is_not_built_is_refused_in_one_line() {
    let bench = Bench::new();
    for (environment, words) in [
        (
            &[("HIVESYNC_PROFILE", "standard")][..],
            ["HIVESYNC_PROFILE=standard", "embedded"],
        ),
        (
            &[("STORE", "postgres")],
            ["QUEUE=redb cannot serve STORE=postgres", "QUEUE=redis"],
        ),
        (
            &[("QUEUE", "redis")],
            ["QUEUE=redis cannot serve STORE=redb", "QUEUE=redb"],
        ),
        (
            &[("STORE", "postgres"), ("QUEUE", "redis")],
            ["STORE=postgres is refused", "STORE=redb"],
        ),
        (
            &[("EPHEMERAL", "redis")],
            ["EPHEMERAL=redis is refused", "EPHEMERAL=sled"],
        ),
        (&[("BLOBS", "s3")], ["BLOBS=s3 is refused", "BLOBS=local"]),
        (
            &[("HIVESYNC_PROFILE", "standard"), ("STORE", "redb")],
            ["QUEUE=redis cannot serve STORE=redb", "QUEUE=redb"],
        ),
    ] {
        let problem = bench.problem(environment);
        assert!(words.iter().all(|word| problem.contains(word)), "{problem}");
    }
    let all = [
        ("STORE", "redb"),
        ("QUEUE", "redb"),
        ("EPHEMERAL", "sled"),
        ("BLOBS", "local"),
    ];
    assert!(bench.load(&all).is_ok());
}

#[test]
fn a_data_folder_that_was_used_is_never_passed_over() {
    let bench = Bench::new();
    let chosen = |sources: &Sources| shown(&Report::of(sources), "DATA_DIR").0;
    let mut sources = bench.sources(&[]);
    let system = bench.path().join("data").to_str().unwrap().to_owned();
    let own = bench
        .path()
        .join("hivesync-data")
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(chosen(&sources), system, "it can be made");
    fs::create_dir(&system).unwrap();
    assert_eq!(chosen(&sources), system, "it can be written");
    // Neither can be said of a folder below a file, whoever we are.
    bench.write("file", "");
    sources.system_data_dir = bench.path().join("file/data");
    // "Not a directory" leaves open whether it was used.
    assert_ne!(chosen(&sources), own);
    sources.system_data_dir = bench.path().join("no/such/parent");
    assert_eq!(chosen(&sources), own);
}
