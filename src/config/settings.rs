//! The one table of settings. Parsing, `config show`, `config check`, the
//! template of the environment and the tests all read it; a setting exists
//! when it has a row here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::parse;
use super::spec::Fallback::{Rule, Unset, Value};
use super::spec::Kind::{self, Choice, Flag, List, Number, Path, Text};
use super::spec::{Setting, Spec};
use super::tiers::{BlobsTier, EphemeralTier, Profile, QueueTier, StoreTier};
use super::{LogFormat, Registration, SandboxChoice, Secret};

macro_rules! settings {
    ($($section:literal { $($name:ident: $type:ty = $fallback:expr, $kind:expr, $convert:expr, $doc:literal;)* })*) => {
        $($(
            #[doc = $doc]
            pub const $name: Setting<$type> = Setting {
                spec: Spec {
                    section: $section,
                    name: stringify!($name),
                    kind: $kind,
                    fallback: $fallback,
                    doc: $doc,
                },
                convert: $convert,
            };
        )*)*

        /// Every setting, in the template's order.
        pub const ALL: &[Spec] = &[$($($name.spec,)*)*];

        /// Checks a value's form without keeping it.
        #[cfg(test)]
        pub(super) fn converts(name: &str, text: &str) -> bool {
            match name {
                $($(stringify!($name) => ($name.convert)(text).is_some(),)*)*
                _ => false,
            }
        }
    };
}

const fn number(min: u64, max: u64, unit: &'static str) -> Kind {
    Number { min, max, unit }
}

const DAY: u64 = 24 * 60 * 60;
/// Far beyond any use, and safe to add to a time in milliseconds.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

settings! {
    "Process" {
        HIVESYNC_CONFIG: PathBuf = Rule("DATA_DIR/hivesync.toml, if it is there"), Path("the path of a TOML file"), parse::path,
            "The configuration file. Its keys are the names of this list in lower case.";
        LOCAL_DEV_MODE: bool = Value("false"), Flag, parse::flag,
            "One developer on one machine: listens on loopback, answers to local names and those of `BASE_URL` and `PREVIEW_HOST` alone, registration is open, weak secrets are accepted.";
        LOG_LEVEL: String = Value("info"), Text("error, warn, info, debug, trace, or a filter such as hivesync=debug,warn"), parse::log_filter,
            "How much is logged.";
        LOG_FORMAT: LogFormat = Value("text"), Choice(&["text", "json"]), parse::log_format,
            "The form of the log on stdout.";
        SHUTDOWN_GRACE_SECONDS: Duration = Value("20"), number(0, 3600, "seconds"), parse::seconds,
            "How long running builds may finish after SIGTERM before they go back to the queue.";
    }
    "Network" {
        BIND: IpAddr = Rule("0.0.0.0; 127.0.0.1 in local dev mode"), Text("an IP address"), parse::text,
            "The address to listen on.";
        PORT: u16 = Value("4000"), number(0, 65535, ""), parse::text,
            "The port to listen on; 0 lets the system choose.";
        BASE_URL: String = Rule("the request's host"), Text("an http or https URL without query or fragment"), parse::base_url,
            "The address that people and devices use, with the path prefix if there is one.";
        TRUSTED_PROXIES: Vec<ipnet::IpNet> = Unset, List("IP addresses or networks such as 10.0.0.0/8"), parse::networks,
            "Reverse proxies whose X-Forwarded-* headers are believed.";
        CORS_ORIGINS: Vec<String> = Unset, List("origins such as https://app.example.com"), parse::origins,
            "Browser origins, besides our own, that may call the API.";
        MAX_CONNECTIONS: usize = Value("10000"), number(1, 1_000_000, "connections"), parse::text,
            "Open connections at a time; the next one is answered 503 and closed.";
        MAX_CONNECTIONS_PER_ADDRESS: usize = Value("512"), number(1, 1_000_000, "connections"), parse::text,
            "The same of one address (one /64 network of IPv6), and the requests under way on them; the next one is answered 429. Trusted proxies are not held to it.";
    }
    "Secrets" {
        JWT_SECRET: Secret = Rule("made once, kept in DATA_DIR/secrets.toml"), Kind::Secret("at least 32 random bytes of text, no placeholder"), parse::secret,
            "Signs sessions and seals stored credentials.";
        PREVIEW_TOKEN_SECRET: Secret = Rule("made once, kept in DATA_DIR/secrets.toml"), Kind::Secret("at least 32 random bytes of text, no placeholder"), parse::secret,
            "Signs preview tokens.";
    }
    "Accounts" {
        REGISTRATION: Registration = Rule("invite; open in local dev mode"), Choice(&["open", "invite", "closed"]), parse::registration,
            "Who may register: everyone, holders of an invite, nobody.";
        ADMIN_EMAIL: String = Unset, Text("an e-mail address"), parse::email,
            "The first admin's address; made at start when there is no admin yet.";
        ADMIN_PASSWORD: Secret = Unset, Kind::Secret("the first admin's password, best given as ADMIN_PASSWORD_FILE"), parse::secret,
            "The first admin's password; give it as a file.";
    }
    "Storage" {
        HIVESYNC_PROFILE: Profile = Value("embedded"), Choice(&["embedded", "standard"]), parse::profile,
            "Where everything is kept: in the data folder, or in PostgreSQL, Redis and S3 (not part of this build).";
        STORE: StoreTier = Rule("redb; postgres in the standard profile"), Choice(&["redb", "postgres"]), parse::store,
            "The engine of users, projects and jobs.";
        QUEUE: QueueTier = Rule("redb; redis in the standard profile"), Choice(&["redb", "redis"]), parse::queue,
            "The engine of the job queue.";
        EPHEMERAL: EphemeralTier = Rule("sled; redis in the standard profile"), Choice(&["sled", "redis"]), parse::ephemeral,
            "The engine of what may be lost: rate windows, heartbeats, events.";
        BLOBS: BlobsTier = Rule("local; s3 in the standard profile"), Choice(&["local", "s3"]), parse::blobs,
            "Where bundles are kept.";
        DATA_DIR: PathBuf = Rule("/data if it can be written or made, else ./hivesync-data"), Path("the path of a folder"), parse::path,
            "The data folder.";
        MIN_FREE_DISK_MB: u64 = Value("256"), number(0, 1 << 30, "MB"), parse::mebibytes,
            "Free space on the data folder's disk below which uploads, syncs and builds are refused.";
    }
    "Previews" {
        PREVIEW_TOKEN_TTL_SECONDS: Duration = Value("300"), number(1, DAY, "seconds"), parse::seconds,
            "The life of a preview token.";
        PREVIEW_BUNDLE_TTL_HOURS: Duration = Value("24"), number(1, 24 * 3650, "hours"), parse::hours,
            "The life of a finished bundle.";
        PREVIEW_HOST: String = Unset, Text("a wildcard host such as *.preview.example.com"), parse::wildcard_host,
            "Gives each web preview an origin of its own; without it they are sandboxed below /p/.";
    }
    "Builds" {
        PREVIEW_BUILDER_CONCURRENCY: usize = Value("2"), number(1, 256, "builds"), parse::text,
            "Builds at a time.";
        PREVIEW_PROJECT_CONCURRENCY: u32 = Rule("PREVIEW_BUILDER_CONCURRENCY"), number(1, 256, "builds"), parse::text,
            "Builds of one project at a time.";
        PREVIEW_MAX_TIMEOUT_MS: Duration = Value("8000"), number(1, LONGEST_MS, "milliseconds"), parse::millis,
            "The limit of bundling and packaging by a bundler that is kept warm. A build over it goes on without that one, in the time below.";
        PREVIEW_COLD_TIMEOUT_MS: Duration = Value("300000"), number(1, LONGEST_MS, "milliseconds"), parse::millis,
            "The limit of bundling and packaging where the bundler has to be started.";
        PREVIEW_INSTALL_TIMEOUT_MS: Duration = Value("300000"), number(1, LONGEST_MS, "milliseconds"), parse::millis,
            "The limit of installing dependencies.";
        PREVIEW_WARM_UP: bool = Value("true"), Flag, parse::flag,
            "Builds previews of new commits ahead of being asked, while nobody's build runs.";
        PREVIEW_BYTECODE: bool = Value("true"), Flag, parse::flag,
            "Compiles the JavaScript of finished previews to Hermes bytecode, where a project uses Hermes, while nobody's build runs.";
        SANDBOX: SandboxChoice = Value("auto"), Choice(&["auto", "isolated", "restricted", "none"]), parse::sandbox,
            "How builds are walled off: the best level that works here, exactly this one, or (trusted projects only) not at all.";
        BUILD_NPMRC: PathBuf = Unset, Path("the path of an .npmrc file"), parse::path,
            "Registry address, proxy, CA file and credentials for installing dependencies. It stays with the server: no build sees it.";
        BUILD_REGISTRIES: Vec<String> = Unset, List("hosts such as nodejs.org or npm.example.com:8443"), parse::hosts,
            "Hosts at public addresses that installing may reach, besides the public npm registries and those that the operator's .npmrc names.";
        BUILD_MEMORY_MB: u64 = Rule("3072, at most three quarters of the machine's memory"), number(64, 1 << 24, "MB"), parse::mebibytes,
            "The memory that all processes of one build may use together.";
        BUILD_PROCESSES: u64 = Value("1024"), number(16, 1 << 20, "processes"), parse::text,
            "Processes and threads of one build at a time.";
        BUILD_DISK_MB: u64 = Value("4096"), number(16, 1 << 30, "MB"), parse::mebibytes,
            "What one build may write: its checkout, what it installs, its output. A larger site is not shown in a browser (413).";
        BUILD_FILE_MB: u64 = Value("1024"), number(1, 1 << 30, "MB"), parse::mebibytes,
            "The largest file that a build may write.";
        BUILD_LOG_MB: u64 = Value("8"), number(1, 1 << 12, "MB"), parse::mebibytes,
            "What one build may write to its log; the rest is left out.";
        WARM_BUNDLERS: usize = Value("4"), number(0, 1 << 10, "processes"), parse::text,
            "Bundlers kept in memory for the projects at work, so that the next preview takes a fraction of a second; 0: none.";
        WARM_BUNDLER_MEMORY_MB: u64 = Value("1024"), number(128, 1 << 20, "MB"), parse::mebibytes,
            "The memory that one kept bundler may hold; none is started when less is free.";
        WARM_BUNDLER_IDLE_SECONDS: Duration = Value("900"), number(1, 1 << 24, "seconds"), parse::seconds,
            "How long a kept bundler waits for the next preview of its project.";
    }
    "Sources" {
        SOURCE_ALLOWED_HOSTS: Vec<String> = Unset, List("hosts such as git.lan or git.lan:3000"), parse::hosts,
            "Repository hosts that may lie at private or loopback addresses and be spoken to over http.";
        UPLOAD_MAX_MB: u64 = Value("100"), number(1, 1 << 20, "MB"), parse::mebibytes,
            "The largest archive that may be uploaded.";
        UPLOAD_MAX_UNPACKED_MB: u64 = Value("1024"), number(1, 1 << 20, "MB"), parse::mebibytes,
            "The most that an archive may unpack to.";
        UPLOAD_MAX_FILES: u64 = Value("50000"), number(1, 10_000_000, "files"), parse::text,
            "The most entries that an archive may have.";
        GIT_MAX_REPO_MB: u64 = Value("4096"), number(1, 1 << 20, "MB"), parse::mebibytes,
            "The most that a linked repository may take on disk.";
        GIT_TIMEOUT_SECONDS: Duration = Value("300"), number(1, DAY, "seconds"), parse::seconds,
            "The limit of one fetch of a linked repository.";
    }
}

/// The row of `name`, written as in the environment.
#[must_use]
pub fn find(name: &str) -> Option<&'static Spec> {
    ALL.iter().find(|spec| spec.name == name)
}

/// The known name that `name` was most likely meant to be.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let upper = name.to_uppercase();
    let stem = upper.strip_suffix("_FILE").unwrap_or(&upper);
    nearest_of(stem, ALL.iter().map(|spec| spec.name))
}

/// The one of `names` that is most like `name`, if any is.
pub fn nearest_of(
    name: &str,
    names: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    names
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .map(|(_, known)| known)
}

/// The known name that a variable of the environment misspells. The
/// environment is everybody's, so this is stricter than [`nearest`]: a long
/// name of several words, with two letters wrong at most.
#[must_use]
pub fn slip_of(name: &str) -> Option<&'static str> {
    if !name.contains('_') {
        return None;
    }
    let stem = name.strip_suffix("_FILE").unwrap_or(name);
    ALL.iter()
        .filter(|spec| spec.name.len() >= 10 && spec.name.contains('_'))
        .map(|spec| (strsim::damerau_levenshtein(stem, spec.name), spec.name))
        .min()
        .filter(|(slips, _)| *slips <= 2)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixed_default_is_a_valid_value() {
        for spec in ALL {
            if let Value(text) = spec.fallback {
                assert!(converts(spec.name, text), "{} = {text}", spec.name);
            }
        }
    }

    #[test]
    fn every_choice_that_is_offered_is_taken() {
        for spec in ALL {
            if let Choice(names) = spec.kind {
                for name in names {
                    assert!(converts(spec.name, name), "{} = {name}", spec.name);
                }
                assert!(!converts(spec.name, "banana"), "{}", spec.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_none_looks_like_the_file_form_of_another() {
        for (at, spec) in ALL.iter().enumerate() {
            assert!(ALL[at + 1..].iter().all(|other| other.name != spec.name));
            assert!(!spec.name.ends_with("_FILE"), "{}", spec.name);
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_mended_and_a_strange_name_is_not() {
        assert_eq!(nearest("PROT"), Some("PORT"));
        assert_eq!(nearest("jwt_secrets"), Some("JWT_SECRET"));
        assert_eq!(
            nearest("PREVIEW_TOKEN_TTL"),
            Some("PREVIEW_TOKEN_TTL_SECONDS")
        );
        assert_eq!(nearest("JWT_SECRT_FILE"), Some("JWT_SECRET"));
        assert_eq!(nearest("XYZZY"), None);
    }

    #[test]
    fn in_the_environment_only_a_slip_in_a_long_name_counts() {
        for (name, meant) in [
            ("PREVEIW_TOKEN_SECRET", "PREVIEW_TOKEN_SECRET"),
            ("PREVIEW_TOKEN_TTL_SECOND", "PREVIEW_TOKEN_TTL_SECONDS"),
            ("JWT_SECRT_FILE", "JWT_SECRET"),
        ] {
            assert_eq!(slip_of(name), Some(meant));
        }
        // Other programs', and what Kubernetes sets for a service of our name.
        for name in [
            "PROT",
            "HOME",
            "LOGLEVEL",
            "LOG_LEVELS",
            "BASE_URI",
            "HIVESYNC_PORT_4000_TCP",
            "HIVESYNC_TOKEN",
            "HIVESYNC_SERVICE_HOST",
            "NODE_EXTRA_CA_CERTS",
        ] {
            assert_eq!(slip_of(name), None, "{name}");
        }
    }
}
