//! Access tokens: the capability to read one job, for devices that fetch bare
//! URLs and hold no account.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

use super::key;
use crate::config::Secret;
use crate::domain::JobId;

/// What stands before every access token, so that it is told from a session
/// or an API token at a glance.
pub const ACCESS_PREFIX: &str = "acc_";

/// Keeps the two uses of one secret apart: a preview token's signed text holds
/// base64url characters only, and no space.
const ACCESS_DOMAIN: &[u8] = b"hivesync job access 1:";

fn access_context(secret: &Secret, job: &JobId) -> (hmac::Key, Vec<u8>) {
    let mut message = ACCESS_DOMAIN.to_vec();
    message.extend_from_slice(job.as_str().as_bytes());
    (key(secret), message)
}

/// The capability to read one job. It bears no date: it ends with the
/// bundle's life, which can be extended.
#[must_use]
pub fn access(secret: &Secret, job: &JobId) -> String {
    let (key, message) = access_context(secret, job);
    let mut text = ACCESS_PREFIX.to_owned();
    BASE64URL_NOPAD.encode_append(hmac::sign(&key, &message).as_ref(), &mut text);
    text
}

/// Whether `text` is the access token of `job`.
#[must_use]
pub fn opens(secret: &Secret, job: &JobId, text: &str) -> bool {
    let Some(tag) = text.strip_prefix(ACCESS_PREFIX) else {
        return false;
    };
    let Ok(tag) = BASE64URL_NOPAD.decode(tag.as_bytes()) else {
        return false;
    };
    let (key, message) = access_context(secret, job);
    hmac::verify(&key, &message, &tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn an_access_token_opens_its_own_job_only() {
        let (a, b) = (
            JobId::generate(&SystemEntropy::new(), crate::clock::Timestamp::default()),
            JobId::generate(&SystemEntropy::new(), crate::clock::Timestamp::default()),
        );
        let secret = Secret::new("0123456789abcdef0123456789abcdef");
        let text = access(&secret, &a);
        assert!(opens(&secret, &a, &text));
        assert!(!opens(&secret, &b, &text));
        assert!(!opens(&secret, &a, &text[..text.len() - 1]));
        assert!(!opens(&secret, &a, text.trim_start_matches(ACCESS_PREFIX)));
        assert!(!opens(&Secret::new("another"), &a, &text));
    }
}
