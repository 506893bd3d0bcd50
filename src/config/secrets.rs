//! The two secrets of a server: weak ones are refused, missing ones are made
//! once and kept in `DATA_DIR/secrets.toml`.
//!
//! A secret that the operator sets always wins over the kept one. When only
//! one is set, only the other is made.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use super::{Secret, Secrets};
use crate::clock::Random;
use crate::error::{Code, Context, Error, Result};

const SHORTEST: usize = 32;
/// What templates and development set-ups put where a secret belongs.
const PLACEHOLDERS: [&str; 2] = ["replace_me", "dev_only_change_me"];

const HEADER: &str = "# Made by HiveSync at its first start, because these were not set.\n\
    # Keep this file with the data: without it every session and every stored\n\
    # credential is lost. A variable of the same name in capitals wins over it.\n";

/// The secrets that the operator or the file has; `None`: not there.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) jwt: Option<Secret>,
    pub(super) preview_token: Option<Secret>,
}

/// Why `secret` may not be used, if so.
pub(super) fn weakness(secret: &Secret) -> Option<&'static str> {
    if is_placeholder(secret) {
        Some("is a placeholder")
    } else if secret.expose().len() < SHORTEST {
        Some("is shorter than 32 bytes")
    } else {
        None
    }
}

pub(super) fn is_placeholder(secret: &Secret) -> bool {
    let text = Zeroizing::new(secret.expose().to_lowercase());
    PLACEHOLDERS.iter().any(|known| text.starts_with(known))
}

/// The secrets kept in the file, none of them when there is no file.
///
/// # Errors
/// `INVALID_INPUT` when the file is there and not as we wrote it: making new
/// secrets in its place would end every session and lose what is sealed.
pub(super) fn read(path: &Path) -> Result<Known> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Known::default()),
        Err(e) => {
            return Err(Error::new(
                Code::DependencyFailure,
                format!("{} cannot be read: {e}", path.display()),
            ));
        }
    };
    let damaged = |why: String| {
        let path = path.display();
        Error::new(
            Code::InvalidInput,
            format!(
                "{path} {why}; bring it back from a backup, or remove it to have new secrets made \
                 (everyone is logged out, and stored repository credentials are lost)"
            ),
        )
    };
    // Not the parser's own message: it quotes the line, secret and all.
    let table: toml::Table = text
        .parse()
        .map_err(|_| damaged("is not valid TOML".to_owned()))?;
    let kept = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => {
            let text = value.as_str().unwrap_or_default();
            let secret = Secret::new(text);
            match weakness(&secret) {
                Some(why) => Err(damaged(format!("is damaged: {key} {why}"))),
                None => Ok(Some(secret)),
            }
        }
    };
    let known = Known {
        jwt: kept("jwt_secret")?,
        preview_token: kept("preview_token_secret")?,
    };
    // We never write such a file: a full disk or an editor has emptied it.
    if known.jwt.is_none() && known.preview_token.is_none() {
        return Err(damaged("holds no secret".to_owned()));
    }
    Ok(known)
}

/// Completes `given` from the file at `path`, making and keeping what is
/// missing there too. The folder must exist.
pub(super) fn complete(given: Known, path: &Path, random: &dyn Random) -> Result<Secrets> {
    if let Known {
        jwt: Some(jwt),
        preview_token: Some(preview_token),
    } = given
    {
        return Ok(Secrets { jwt, preview_token });
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    // Two processes that start at once must end with the same secrets.
    let lock = File::open(folder).or_code(Code::DependencyFailure, "open the data folder")?;
    lock.lock()
        .or_code(Code::DependencyFailure, "lock the data folder")?;
    let kept = read(path)?;
    let mut made = false;
    let mut complete = |given: Option<Secret>, kept: &Option<Secret>| {
        given.or_else(|| kept.clone()).unwrap_or_else(|| {
            made = true;
            Secret::new(BASE64URL_NOPAD.encode(&*Zeroizing::new(random.bytes::<32>())))
        })
    };
    let jwt_given = given.jwt.is_some();
    let preview_token_given = given.preview_token.is_some();
    let secrets = Secrets {
        jwt: complete(given.jwt, &kept.jwt),
        preview_token: complete(given.preview_token, &kept.preview_token),
    };
    if made {
        // What the operator sets stays where the operator put it.
        let keep = Known {
            jwt: kept.jwt.or((!jwt_given).then(|| secrets.jwt.clone())),
            preview_token: kept
                .preview_token
                .or((!preview_token_given).then(|| secrets.preview_token.clone())),
        };
        write(path, &keep).map_err(|e| {
            Error::new(
                Code::DependencyFailure,
                format!(
                    "cannot keep the new secrets in {}: {e}; make the folder writable, or set \
                     JWT_SECRET and PREVIEW_TOKEN_SECRET",
                    path.display()
                ),
            )
        })?;
    }
    Ok(secrets)
}

/// Whole or not at all, also across a power cut.
fn write(path: &Path, keep: &Known) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut text = Zeroizing::new(HEADER.to_owned());
    for (key, secret) in [
        ("jwt_secret", &keep.jwt),
        ("preview_token_secret", &keep.preview_token),
    ] {
        if let Some(secret) = secret {
            for part in [key, " = \"", secret.expose(), "\"\n"] {
                text.push_str(part);
            }
        }
    }
    // tempfile makes it 0600 from the start.
    let mut aside = tempfile::Builder::new()
        .prefix(".secrets-")
        .tempfile_in(folder)?;
    aside.write_all(text.as_bytes())?;
    aside.as_file().sync_all()?;
    aside.persist(path).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}

/// A copy brought back by hand is often readable by everyone. Whether it was.
pub(super) fn close_to_others(path: &Path) -> Result<bool> {
    let open = fs::metadata(path).is_ok_and(|meta| meta.mode().trailing_zeros() < 6);
    if open {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).or_code(
            Code::DependencyFailure,
            "close secrets.toml to others (chmod 600)",
        )?;
    }
    Ok(open)
}
