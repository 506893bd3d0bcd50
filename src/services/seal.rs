//! Keys derived from the server's secret, and what is encrypted with one:
//! the credentials of linked repositories.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::app::App;
use crate::clock::Random;
use crate::config::Secret;
use crate::domain::ProjectId;
use crate::domain::project::SealedCredential;
use crate::error::{Code, Context, Error, Result};

const SALT: &[u8] = b"hivesync";
const KEY_LEN: usize = 32;
const CREDENTIAL_KEY: &[u8] = b"source credential v1";

/// A repository's login, in the clear only while it is used.
#[derive(Clone, Serialize, Deserialize)]
pub struct GitCredential {
    pub username: String,
    /// A password or an access token.
    pub password: String,
}

impl std::fmt::Debug for GitCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GitCredential(…)")
    }
}

impl Drop for GitCredential {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.password);
    }
}

/// A key for one purpose (HKDF-SHA256, RFC 5869), so that no two uses of the
/// secret share a key.
///
/// # Errors
/// `INTERNAL_ERROR`.
pub fn derive(secret: &Secret, purpose: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    Salt::new(HKDF_SHA256, SALT)
        .extract(secret.expose().as_bytes())
        .expand(&[purpose], HKDF_SHA256)
        .and_then(|okm| okm.fill(key.as_mut()))
        .map_err(|_| Error::internal("could not derive a key"))?;
    Ok(key)
}

/// Encrypts a credential for one project: copied into another's row, it does
/// not open.
///
/// # Errors
/// `INTERNAL_ERROR`.
pub fn seal(app: &App, project: ProjectId, credential: &GitCredential) -> Result<SealedCredential> {
    seal_with(
        &app.config.secrets.jwt,
        app.random.as_ref(),
        project,
        credential,
    )
}

/// The credential behind [`seal`].
///
/// # Errors
/// `SOURCE_UNAVAILABLE` when it was sealed under another `JWT_SECRET`.
pub fn open(app: &App, project: ProjectId, sealed: &SealedCredential) -> Result<GitCredential> {
    open_with(&app.config.secrets.jwt, project, sealed)
}

fn cipher(secret: &Secret) -> Result<LessSafeKey> {
    let key = derive(secret, CREDENTIAL_KEY)?;
    UnboundKey::new(&AES_256_GCM, key.as_ref())
        .map(LessSafeKey::new)
        .map_err(|_| Error::internal("could not set up AES-GCM"))
}

fn seal_with(
    secret: &Secret,
    random: &dyn Random,
    project: ProjectId,
    credential: &GitCredential,
) -> Result<SealedCredential> {
    let nonce: [u8; NONCE_LEN] = random.bytes();
    let mut text =
        Zeroizing::new(serde_json::to_vec(credential).or_internal("encode a credential")?);
    let tag = cipher(secret)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(project.0.to_be_bytes()),
            &mut text,
        )
        .map_err(|_| Error::internal("could not encrypt a credential"))?;
    Ok(SealedCredential([&nonce[..], &text, tag.as_ref()].concat()))
}

fn open_with(
    secret: &Secret,
    project: ProjectId,
    sealed: &SealedCredential,
) -> Result<GitCredential> {
    let unreadable = || {
        Error::new(
            Code::SourceUnavailable,
            "the repository's credential cannot be decrypted: JWT_SECRET has changed since it was \
             stored; set the project's source again",
        )
    };
    let (nonce, text) = sealed
        .0
        .split_first_chunk::<NONCE_LEN>()
        .ok_or_else(unreadable)?;
    let mut text = Zeroizing::new(text.to_vec());
    let clear = cipher(secret)?
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(project.0.to_be_bytes()),
            &mut text,
        )
        .map_err(|_| unreadable())?;
    serde_json::from_slice(clear).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    fn sealed(secret: &Secret) -> SealedCredential {
        let credential = GitCredential {
            username: "ada".into(),
            password: "a token".into(),
        };
        seal_with(secret, &SystemEntropy::new(), ProjectId(7), &credential).unwrap()
    }

    #[test]
    fn only_the_same_key_and_project_open_it() {
        let secret = Secret::new("a secret of more than thirty-two bytes");
        let value = sealed(&secret);
        let opened = open_with(&secret, ProjectId(7), &value).unwrap();
        assert_eq!(
            (opened.username.as_str(), opened.password.as_str()),
            ("ada", "a token")
        );
        assert!(open_with(&secret, ProjectId(8), &value).is_err());
        assert!(open_with(&Secret::new("another"), ProjectId(7), &value).is_err());
        for at in 0..value.0.len() {
            let mut altered = value.clone();
            altered.0[at] ^= 1;
            assert!(
                open_with(&secret, ProjectId(7), &altered).is_err(),
                "byte {at}"
            );
        }
        assert!(open_with(&secret, ProjectId(7), &SealedCredential(vec![1, 2])).is_err());
    }

    #[test]
    fn every_seal_is_different_and_hides_the_text() {
        let secret = Secret::new("a secret of more than thirty-two bytes");
        let (one, two) = (sealed(&secret), sealed(&secret));
        assert_ne!(one, two);
        assert!(!one.0.windows(7).any(|w| w == b"a token"));
    }
}
