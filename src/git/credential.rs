//! A repository's user name and password while they are used: how they travel,
//! and how they are kept out of everything that is written down.

use data_encoding::BASE64;
use zeroize::Zeroizing;

/// A login for one fetch.
#[derive(Clone)]
pub struct Credential {
    username: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(…)")
    }
}

const MASK: &str = "***";

impl Credential {
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self {
            username: Zeroizing::new(username.to_owned()),
            password: Zeroizing::new(password.to_owned()),
        }
    }

    /// The value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("Basic {}", *self.encoded()))
    }

    fn encoded(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", *self.username, *self.password));
        Zeroizing::new(BASE64.encode(pair.as_bytes()))
    }

    /// `text` with the password masked: as it is, percent-encoded, in base64,
    /// alone and as it stands in the header.
    pub(super) fn mask(&self, text: &str) -> String {
        if self.password.is_empty() {
            return text.to_owned();
        }
        let encoded = self.encoded();
        let percent: String =
            url::form_urlencoded::byte_serialize(self.password.as_bytes()).collect();
        let alone = BASE64.encode(self.password.as_bytes());
        // Longest first: a short password may be part of the others.
        let mut spellings = [
            encoded.trim_end_matches('='),
            alone.trim_end_matches('='),
            percent.as_str(),
            self.password.as_str(),
        ];
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        let mut masked = text.to_owned();
        for spelling in spellings {
            masked = masked.replace(spelling, MASK);
        }
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_masked() {
        let credential = Credential::new("ada", "p/ss w\u{f6}rd+1");
        let text = format!(
            "raw p/ss w\u{f6}rd+1, url https://ada:p%2Fss+w%C3%B6rd%2B1@h/, header {}, alone {}",
            *credential.basic(),
            BASE64.encode("p/ss w\u{f6}rd+1".as_bytes()),
        );
        let masked = credential.mask(&text);
        for part in ["p/ss", "p%2Fss", "rd+1", "YWRh"] {
            assert!(!masked.contains(part), "{masked}");
        }
        assert_eq!(format!("{credential:?}"), "Credential(…)");
    }
}
