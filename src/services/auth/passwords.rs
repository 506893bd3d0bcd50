//! Hashing passwords: argon2id, away from the async threads, a few at a time.

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use std::time::Duration;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::limits;
use crate::clock::Random;
use crate::error::{Context, Error, Result};

/// The first choice of the OWASP password storage cheat sheet: 19 MiB, two
/// passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes at a time in this process. Each holds 19 MiB, and a hash is pure
/// computing: more at once would cost memory and win nothing.
static RUNNING: Semaphore = Semaphore::const_new(2);
/// Callers that may wait for their turn. A flood of logins beyond this is
/// answered with 429 at once instead of piling up.
static WAITING: Semaphore = Semaphore::const_new(64);

/// A hash like any other that no password matches: checked when there is no
/// account, so that the answer takes as long as when there is one.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$aGl2ZXN5bmMgbm9ib2R5\
    $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).or_internal("set up argon2")?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The PHC string of `password` under a fresh salt.
///
/// # Errors
/// `RATE_LIMIT_EXCEEDED` under a flood, `INTERNAL_ERROR`.
pub async fn hash(random: &dyn Random, password: &str) -> Result<String> {
    let salt: [u8; 16] = random.bytes();
    compute(password, move |password| {
        let hash: PasswordHash = argon2()?
            .hash_password_with_salt(password.as_bytes(), &salt)
            .or_internal("hash a password")?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether `password` is the one behind the PHC string `stored`. `None`, for
/// an account that does not exist, is as slow and always `false`.
///
/// # Errors
/// `RATE_LIMIT_EXCEEDED` under a flood, `INTERNAL_ERROR` for a `stored` that
/// is not a PHC string.
pub async fn verify(stored: Option<&str>, password: &str) -> Result<bool> {
    let stored = stored.unwrap_or(NOBODY).to_owned();
    compute(password, move |password| {
        let stored = PasswordHash::new(&stored).or_internal("read a stored password hash")?;
        // The parameters are the stored hash's own.
        Ok(argon2()?
            .verify_password(password.as_bytes(), &stored)
            .is_ok())
    })
    .await
}

async fn compute<T: Send + 'static>(
    password: &str,
    work: impl FnOnce(&str) -> Result<T> + Send + 'static,
) -> Result<T> {
    let _place = WAITING.try_acquire().map_err(|_| {
        limits::exceeded(
            "too many people are logging in at this moment",
            Duration::from_secs(1),
        )
    })?;
    let turn = RUNNING
        .acquire()
        .await
        .or_internal("wait to hash a password")?;
    let password = Zeroizing::new(password.to_owned());
    tokio::task::spawn_blocking(move || {
        // Held until the work is done, even when the caller has gone.
        let _turn = turn;
        work(&password)
    })
    .await
    .map_err(|e| Error::internal("the thread that hashed a password died").caused_by(e))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let random = SystemEntropy::new();
        let stored = hash(&random, "correct horse").await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(verify(Some(&stored), "correct horse").await.unwrap());
        assert!(!verify(Some(&stored), "correct horsf").await.unwrap());
        assert_ne!(stored, hash(&random, "correct horse").await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_a_hash_of_the_same_cost() {
        assert!(!verify(None, "correct horse").await.unwrap());
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&nobody).unwrap();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (MEMORY_KIB, PASSES, LANES)
        );
        assert_eq!(nobody.hash.map(|h| h.as_bytes().len()), Some(32));
    }
}
