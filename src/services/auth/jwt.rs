//! The outer form of a session: a JWT, HS256 and nothing else (RFC 7519,
//! RFC 8725 section 3.1).
//!
//! `jsonwebtoken` reads and writes the form; the HMAC is ring's, so that the
//! tree has one implementation of it.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::refused;
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::UserId;
use crate::error::{Context, Result};

/// What a session's JWT says; times in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user's id, as text (RFC 7519 section 4.1.2).
    pub sub: String,
    /// The session's id: the truth about the login is its row in the store.
    pub sid: String,
    pub iat: i64,
    pub exp: i64,
}

impl Claims {
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.sub.parse().ok().map(UserId)
    }
}

/// # Errors
/// `INTERNAL_ERROR` when the claims do not serialise.
pub fn encode(secret: &Secret, claims: &Claims) -> Result<String> {
    install_provider();
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).or_internal("sign a session")
}

/// The claims, if the signature is ours and the time is not over.
///
/// # Errors
/// `UNAUTHENTICATED`.
pub fn decode(secret: &Secret, token: &str, now: Timestamp) -> Result<Claims> {
    install_provider();
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    let mut validation = Validation::new(Algorithm::HS256);
    // The library asks the machine's clock; ours is checked below.
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .map_err(|e| refused().caused_by(e))?
        .claims;
    if now.as_secs() >= claims.exp {
        return Err(refused());
    }
    Ok(claims)
}

/// The library keeps its provider for the whole process.
fn install_provider() {
    static ONCE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: signer,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| {
        PROVIDER
            .install_default()
            .expect("nothing else in the tree installs a JWT provider");
    });
}

struct Hs256(hmac::Key);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's signature")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, JwtError> {
    only_hs256(*algorithm, key.family())?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    Ok(Box::new(Hs256(key)))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's signature")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwtError> {
    only_hs256(*algorithm, key.family())?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?);
    Ok(Box::new(Hs256(key)))
}

fn only_hs256(algorithm: Algorithm, family: AlgorithmFamily) -> Result<(), JwtError> {
    if algorithm == Algorithm::HS256 && family == AlgorithmFamily::Hmac {
        Ok(())
    } else {
        Err(ErrorKind::InvalidAlgorithm.into())
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// In constant time, as ring's `verify` is.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;
    use crate::error::Code;

    fn claims() -> Claims {
        Claims {
            sub: "7".into(),
            sid: "abc".into(),
            iat: 1_000,
            exp: 2_000,
        }
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    const NOW: Timestamp = Timestamp::from_secs(1_500);

    #[test]
    fn what_was_signed_is_read_back() {
        let key = secret("a secret of more than thirty-two bytes");
        let token = encode(&key, &claims()).unwrap();
        assert_eq!(decode(&key, &token, NOW).unwrap(), claims());
    }

    /// The example of RFC 7515 appendix A.1, which fixes the HMAC.
    #[test]
    fn the_signature_is_the_standards() {
        let key = BASE64URL_NOPAD
            .decode(
                b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
            )
            .unwrap();
        let message = b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = signer(&Algorithm::HS256, &EncodingKey::from_secret(&key))
            .unwrap()
            .try_sign(message)
            .unwrap();
        assert_eq!(
            BASE64URL_NOPAD.encode(&signature),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
    }

    #[test]
    fn forgeries_are_refused() {
        let key = secret("a secret of more than thirty-two bytes");
        let good = encode(&key, &claims()).unwrap();
        let [_, body, signature] = good.split('.').collect::<Vec<_>>()[..] else {
            panic!("a JWT has three parts")
        };
        let header = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let none = header(r#"{"typ":"JWT","alg":"none"}"#);
        let hs384 = header(r#"{"typ":"JWT","alg":"HS384"}"#);
        let rs256 = header(r#"{"typ":"JWT","alg":"RS256"}"#);
        let other_body =
            BASE64URL_NOPAD.encode(br#"{"sub":"1","sid":"abc","iat":1000,"exp":2000}"#);
        let hs256 = header(r#"{"typ":"JWT","alg":"HS256"}"#);
        for forged in [
            encode(&secret("another secret, also long enough"), &claims()).unwrap(),
            format!("{none}.{body}."),
            format!("{none}.{body}.{signature}"),
            format!("{hs384}.{body}.{signature}"),
            format!("{rs256}.{body}.{signature}"),
            format!("{hs256}.{other_body}.{signature}"),
            format!("{hs256}.{body}."),
            good[..good.len() - 2].to_owned(),
            format!("{good}.x"),
            String::new(),
        ] {
            let error = decode(&key, &forged, NOW).unwrap_err();
            assert_eq!(error.code, Code::Unauthenticated, "{forged}");
        }
    }

    #[test]
    fn the_end_is_exclusive_and_by_our_clock() {
        let key = secret("a secret of more than thirty-two bytes");
        let token = encode(&key, &claims()).unwrap();
        assert!(decode(&key, &token, Timestamp::from_millis(1_999_999)).is_ok());
        assert!(decode(&key, &token, Timestamp::from_secs(2_000)).is_err());
    }
}
