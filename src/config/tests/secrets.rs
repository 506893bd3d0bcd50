//! Secrets: made once, refused when weak, never shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Bench, shown};
use crate::config::settings::ALL;
use crate::config::{Loaded, Secrets};
use crate::error::Error;

const STRONG: &str = "a strong secret of well over thirty-two bytes";

fn kept(bench: &Bench) -> String {
    fs::read_to_string(bench.path().join("data/secrets.toml")).unwrap()
}

fn pair(loaded: &Loaded) -> (String, String) {
    let Secrets { jwt, preview_token } = &loaded.config.secrets;
    (jwt.expose().to_owned(), preview_token.expose().to_owned())
}

#[test]
fn secrets_are_made_once_and_for_us_alone() {
    let bench = Bench::new();
    let path = bench.path().join("data/secrets.toml");
    bench.report(&[]);
    assert!(!path.exists(), "a look changes nothing");
    let first = bench.load(&[]).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (jwt, preview_token) = pair(&first);
    assert!(jwt.len() >= 32 && preview_token.len() >= 32 && jwt != preview_token);
    let second = bench.load(&[]).unwrap();
    assert_eq!(pair(&second), (jwt, preview_token));
    let (value, source) = shown(&second.report, "JWT_SECRET");
    assert_eq!(value, "(redacted)");
    assert!(source.starts_with("made once, "), "{source}");
    assert_ne!(pair(&Bench::new().load(&[]).unwrap()), pair(&first));
    let beside = fs::read_dir(bench.path().join("data")).unwrap();
    assert!(beside.into_iter().all(|entry| {
        !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".secrets")
    }));
}

#[test]
fn processes_that_start_at_once_end_with_the_same_secrets() {
    let bench = Arc::new(Bench::new());
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let bench = Arc::clone(&bench);
            std::thread::spawn(move || pair(&bench.load(&[]).unwrap()))
        })
        .collect();
    let pairs: Vec<_> = starts
        .into_iter()
        .map(|start| start.join().unwrap())
        .collect();
    assert!(pairs.iter().all(|other| *other == pairs[0]));
    assert_eq!(pair(&bench.load(&[]).unwrap()), pairs[0]);
}

#[test]
fn the_secret_that_is_not_set_is_made() {
    let bench = Bench::new();
    let half = bench.load(&[("JWT_SECRET", STRONG)]).unwrap();
    let (jwt, preview_token) = pair(&half);
    assert_eq!(jwt, STRONG);
    assert!(
        !kept(&bench).contains(STRONG),
        "it stays where the operator put it"
    );
    assert!(kept(&bench).contains(&preview_token));
    // Unset again, a strong one takes its place, and the other stays.
    let whole = bench.load(&[]).unwrap();
    assert_ne!(pair(&whole).0, STRONG);
    assert_eq!(pair(&whole).1, preview_token);
    // Both set: nothing is kept.
    let other = Bench::new();
    let both = [("JWT_SECRET", STRONG), ("PREVIEW_TOKEN_SECRET", STRONG)];
    other.load(&both).unwrap();
    assert!(!other.path().join("data/secrets.toml").exists());
}

#[test]
fn weak_secrets_are_refused_outside_local_dev_mode() {
    let bench = Bench::new();
    for (name, value, why) in [
        ("JWT_SECRET", "tiny", "JWT_SECRET is shorter than 32 bytes"),
        (
            "PREVIEW_TOKEN_SECRET",
            "REPLACE_ME_with_at_least_32_random_bytes",
            "PREVIEW_TOKEN_SECRET is a placeholder",
        ),
        (
            "JWT_SECRET",
            "dev_only_change_me_dev_only_change_me",
            "JWT_SECRET is a placeholder",
        ),
        ("JWT_SECRET", "0123456789abcdef0123456789abcde", "shorter"),
    ] {
        let problem = bench.problem(&[(name, value)]);
        assert!(
            problem.contains(why) && !problem.contains(value),
            "{problem}"
        );
        let local = bench.load(&[(name, value), ("LOCAL_DEV_MODE", "true")]);
        assert!(local.is_ok(), "{name}");
    }
}

#[test]
fn a_damaged_file_of_secrets_is_refused_and_kept() {
    let bench = Bench::new();
    bench.load(&[]).unwrap();
    let path = bench.path().join("data/secrets.toml");
    for damage in [
        "jwt_secret = ",
        "jwt_secret = 'short'",
        "jwt_secret = 7",
        "\u{0}",
        "",
    ] {
        fs::write(&path, damage).unwrap();
        let problem = bench.problem(&[]);
        assert!(
            problem.contains("secrets.toml") && problem.contains("backup"),
            "{problem}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), damage);
    }
    // Nobody needs the file while both are set.
    let both = [("JWT_SECRET", STRONG), ("PREVIEW_TOKEN_SECRET", STRONG)];
    assert!(bench.load(&both).is_ok());
}

#[test]
fn a_file_of_secrets_that_is_open_to_others_is_closed() {
    let bench = Bench::new();
    bench.load(&[]).unwrap();
    let path = bench.path().join("data/secrets.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let loaded = bench.load(&[]).unwrap();
    assert!(loaded.report.warnings[0].contains("could be read by others"));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(bench.load(&[]).unwrap().report.warnings, [""; 0]);
}

/// Everything that could be printed or logged of a configuration.
fn everything_shown(bench: &Bench, environment: &[(&str, &str)]) -> String {
    let report = bench.report(environment);
    let rows = serde_json::to_string(&report.rows).unwrap();
    let loaded = bench.load(environment);
    let refusal = loaded.as_ref().err().map(Error::chain);
    format!("{report:?} {rows} {loaded:?} {refusal:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a secret is given, and whether or not it is taken, no text of
    /// ours holds it.
    #[test]
    fn no_secret_is_ever_shown(
        secret in "[!-~]{12,60}",
        name in prop::sample::select(
            ALL.iter().filter(|spec| spec.kind.is_secret()).map(|spec| spec.name).collect::<Vec<_>>()
        ),
        place in 0..7_u8,
        prefix in prop::sample::select(vec!["", "REPLACE_ME", "dev_only_change_me"]),
    ) {
        let bench = Bench::new();
        let value = format!("{prefix}Q{secret}Q");
        let quoted = toml::Value::String(value.clone()).to_string();
        let file_form = format!("{name}_FILE");
        let path = bench.write("secret", &value);
        let lower = name.to_lowercase();
        let environment = match place {
            0 => vec![(name, value.as_str())],
            1 => vec![(file_form.as_str(), path.as_str())],
            2 => { bench.write(".env", &format!("{name}='{value}'\n{value}\nX{name}={value}\n")); vec![] }
            3 => { bench.write("data/hivesync.toml", &format!("{lower} = {quoted}\n")); vec![] }
            // Broken and misplaced, so that the parsers complain of the line.
            4 => { bench.write("data/hivesync.toml", &format!("{lower} = {quoted} x\n")); vec![] }
            5 => { bench.write("data/secrets.toml", &format!("{lower} = {value}\n")); vec![] }
            _ => { bench.write("data/hivesync.toml", &format!("{lower} = [{quoted}]\n{lower}x = {quoted}\n")); vec![] }
        };
        let shown = everything_shown(&bench, &environment);
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }
}

#[test]
fn credentials_in_an_address_are_not_shown_either() {
    let bench = Bench::new();
    for (name, value) in [
        ("BASE_URL", "https://me:hunter2@h.example"),
        (
            "CORS_ORIGINS",
            "https://a.example,https://me:hunter2@b.example",
        ),
        ("SOURCE_ALLOWED_HOSTS", "me:hunter2@git.lan"),
    ] {
        let shown = everything_shown(&bench, &[(name, value)]);
        assert!(
            !shown.contains("hunter2") && shown.contains(name),
            "{shown}"
        );
    }
}
