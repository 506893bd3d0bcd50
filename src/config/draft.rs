//! From the values of the settings to what they mean together: defaults that
//! hang on other settings, and combinations that cannot work.

use std::path::{Path, PathBuf};

use super::settings as s;
use super::sources::{Origin, Sources};
use super::values::Values;
use super::{
    Accounts, BuildLimits, Builds, Log, Previews, Secret, Server, SourceLimits, Tiers, WarmLimits,
    secrets,
};
use crate::data_dir::DataDir;

/// A [`super::Config`] whose secrets may still be missing.
pub(super) struct Draft {
    pub(super) server: Server,
    pub(super) log: Log,
    pub(super) data_dir: PathBuf,
    pub(super) min_free_disk_bytes: u64,
    pub(super) tiers: Tiers,
    pub(super) secrets: secrets::Known,
    pub(super) accounts: Accounts,
    pub(super) previews: Previews,
    pub(super) builds: Builds,
    pub(super) sources: SourceLimits,
}

impl Draft {
    /// Every setting's value, or its default; what is wrong goes to the
    /// problems of `v`.
    pub(super) fn of(v: &mut Values, sources: &Sources) -> Self {
        let local_dev_mode = v.get(&s::LOCAL_DEV_MODE);
        let min_free_disk_bytes = v.get(&s::MIN_FREE_DISK_MB);
        note_config_file(v);
        let data_dir = data_dir(v, sources);
        Self {
            server: server(v, local_dev_mode),
            log: Log {
                level: v.get(&s::LOG_LEVEL),
                format: v.get(&s::LOG_FORMAT),
            },
            min_free_disk_bytes,
            tiers: tiers(v),
            secrets: known_secrets(v, &data_dir, local_dev_mode),
            accounts: accounts(v, local_dev_mode),
            previews: Previews {
                token_ttl: v.get(&s::PREVIEW_TOKEN_TTL_SECONDS),
                warm_timeout: v.get(&s::PREVIEW_MAX_TIMEOUT_MS),
                cold_timeout: v.get(&s::PREVIEW_COLD_TIMEOUT_MS),
                install_timeout: v.get(&s::PREVIEW_INSTALL_TIMEOUT_MS),
                bundle_ttl: v.get(&s::PREVIEW_BUNDLE_TTL_HOURS),
                host: v.find(&s::PREVIEW_HOST),
            },
            builds: builds(v, min_free_disk_bytes),
            sources: SourceLimits {
                allowed_hosts: v.find(&s::SOURCE_ALLOWED_HOSTS).unwrap_or_default(),
                max_upload_bytes: v.get(&s::UPLOAD_MAX_MB),
                max_unpacked_bytes: v.get(&s::UPLOAD_MAX_UNPACKED_MB),
                max_files: v.get(&s::UPLOAD_MAX_FILES),
                max_repo_bytes: v.get(&s::GIT_MAX_REPO_MB),
                git_timeout: v.get(&s::GIT_TIMEOUT_SECONDS),
                free_bytes: min_free_disk_bytes,
            },
            data_dir,
        }
    }
}

/// The file beside the data is in use without being named.
fn note_config_file(v: &mut Values) {
    if v.find_path(&s::HIVESYNC_CONFIG).is_some() {
        return;
    }
    let beside_data = v.layers().first().and_then(|layer| match &layer.origin {
        Origin::File(path) => Some(Secret::new(path.to_string_lossy())),
        _ => None,
    });
    let spec = &s::HIVESYNC_CONFIG.spec;
    v.note(spec, beside_data.as_ref(), &Origin::Default, None);
}

/// `DATA_DIR`, made absolute. The default is `/data` as soon as it is one of
/// ours or can be one, else a folder of the working folder, so that a bare
/// binary runs for everyone. A `/data` that has been used is never passed
/// over: the server would open an empty one in its place.
pub(super) fn data_dir(values: &mut Values, sources: &Sources) -> PathBuf {
    if let Some(path) = values.find_path(&s::DATA_DIR) {
        return path;
    }
    let system = &sources.system_data_dir;
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    // A folder that is closed to us counts as used.
    let used = !matches!(DataDir::at(system).db().try_exists(), Ok(false));
    let makeable = !system.exists() && system.parent().is_some_and(writable);
    let chosen = if used || writable(system) || makeable {
        system.clone()
    } else {
        sources.working_dir.join("hivesync-data")
    };
    let shown = Secret::new(chosen.to_string_lossy());
    values.note(&s::DATA_DIR.spec, Some(&shown), &Origin::Default, None);
    chosen
}

fn server(v: &mut Values, local_dev_mode: bool) -> Server {
    let bind = if local_dev_mode {
        "127.0.0.1"
    } else {
        "0.0.0.0"
    };
    Server {
        bind: v.get_or(&s::BIND, bind),
        port: v.get(&s::PORT),
        base_url: v.find(&s::BASE_URL),
        local_dev_mode,
        trusted_proxies: v.find(&s::TRUSTED_PROXIES).unwrap_or_default(),
        cors_origins: v.find(&s::CORS_ORIGINS).unwrap_or_default(),
        shutdown_grace: v.get(&s::SHUTDOWN_GRACE_SECONDS),
        max_connections: v.get(&s::MAX_CONNECTIONS),
        max_per_address: v.get(&s::MAX_CONNECTIONS_PER_ADDRESS),
    }
}

fn tiers(v: &mut Values) -> Tiers {
    let profile = v.get(&s::HIVESYNC_PROFILE);
    let [store, queue, ephemeral, blobs] = profile.engines();
    let tiers = Tiers {
        profile,
        store: v.get_or(&s::STORE, store),
        queue: v.get_or(&s::QUEUE, queue),
        ephemeral: v.get_or(&s::EPHEMERAL, ephemeral),
        blobs: v.get_or(&s::BLOBS, blobs),
    };
    if let Err(refusal) = tiers.check() {
        v.problems.push(refusal.message.into_owned());
    }
    tiers
}

fn known_secrets(v: &mut Values, data_dir: &Path, local_dev_mode: bool) -> secrets::Known {
    let mut given = secrets::Known {
        jwt: v.find(&s::JWT_SECRET),
        preview_token: v.find(&s::PREVIEW_TOKEN_SECRET),
    };
    let path = DataDir::at(data_dir).secrets();
    let kept = secrets::read(&path).unwrap_or_else(|e| {
        if given.jwt.is_none() || given.preview_token.is_none() {
            v.problems.push(e.message.into_owned());
        }
        secrets::Known::default()
    });
    for (setting, given, kept) in [
        (&s::JWT_SECRET, &mut given.jwt, &kept.jwt),
        (
            &s::PREVIEW_TOKEN_SECRET,
            &mut given.preview_token,
            &kept.preview_token,
        ),
    ] {
        match given {
            Some(secret) => {
                if let Some(why) = secrets::weakness(secret).filter(|_| !local_dev_mode) {
                    v.problems.push(format!(
                        "{} {why}; set at least 32 random bytes (openssl rand -base64 32), or leave \
                         it unset to have a strong one made once",
                        setting.spec.name
                    ));
                }
            }
            None if kept.is_some() => {
                let origin = Origin::Made(path.clone());
                v.note(&setting.spec, kept.as_ref(), &origin, None);
            }
            None => {}
        }
    }
    given
}

fn accounts(v: &mut Values, local_dev_mode: bool) -> Accounts {
    let registration = if local_dev_mode { "open" } else { "invite" };
    let registration = v.get_or(&s::REGISTRATION, registration);
    let admin = match (v.find(&s::ADMIN_EMAIL), v.find(&s::ADMIN_PASSWORD)) {
        (Some(email), Some(password)) => {
            if secrets::is_placeholder(&password) && !local_dev_mode {
                v.problems.push(
                    "ADMIN_PASSWORD is a placeholder; choose a password, or unset it and \
                     ADMIN_EMAIL and use the setup link"
                        .to_owned(),
                );
            }
            Some((email, password))
        }
        (None, None) => None,
        (Some(_), None) => {
            v.problems.push(
                "ADMIN_EMAIL is set without a password; set ADMIN_PASSWORD_FILE too, or unset it \
                 and use the setup link"
                    .to_owned(),
            );
            None
        }
        (None, Some(_)) => {
            v.problems.push(
                "ADMIN_PASSWORD is set without an address; set ADMIN_EMAIL too, or unset it and \
                 use the setup link"
                    .to_owned(),
            );
            None
        }
    };
    Accounts {
        registration,
        admin,
    }
}

/// What one build gets by default, in MB: enough for the largest bundlers, and
/// never so much that the server has nothing left.
fn build_memory() -> u64 {
    let machine = rustix::system::sysinfo();
    let total = u64::from(machine.mem_unit).saturating_mul(machine.totalram as u64) >> 20;
    (total / 4 * 3).clamp(64, 3072)
}

fn builds(v: &mut Values, free_bytes: u64) -> Builds {
    let concurrency = v.get(&s::PREVIEW_BUILDER_CONCURRENCY);
    let per_project = v.get_or(&s::PREVIEW_PROJECT_CONCURRENCY, &concurrency.to_string());
    if usize::try_from(per_project).is_ok_and(|per_project| per_project > concurrency) {
        v.problems.push(format!(
            "PREVIEW_PROJECT_CONCURRENCY is {per_project}, more than PREVIEW_BUILDER_CONCURRENCY \
             ({concurrency}); lower it, or unset it"
        ));
    }
    let npmrc = v.find_path(&s::BUILD_NPMRC);
    if npmrc.is_none() {
        v.find(&s::BUILD_NPMRC);
    }
    Builds {
        concurrency,
        per_project,
        warm_up: v.get(&s::PREVIEW_WARM_UP),
        bytecode: v.get(&s::PREVIEW_BYTECODE),
        sandbox: v.get(&s::SANDBOX),
        npmrc,
        registries: v.find(&s::BUILD_REGISTRIES).unwrap_or_default(),
        limits: BuildLimits {
            memory_bytes: v.get_or(&s::BUILD_MEMORY_MB, &build_memory().to_string()),
            processes: v.get(&s::BUILD_PROCESSES),
            disk_bytes: v.get(&s::BUILD_DISK_MB),
            file_bytes: v.get(&s::BUILD_FILE_MB),
            log_bytes: v.get(&s::BUILD_LOG_MB),
            free_bytes,
        },
        warm: WarmLimits {
            count: v.get(&s::WARM_BUNDLERS),
            memory_bytes: v.get(&s::WARM_BUNDLER_MEMORY_MB),
            idle: v.get(&s::WARM_BUNDLER_IDLE_SECONDS),
        },
        launcher: None,
    }
}
