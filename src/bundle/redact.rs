//! Keeps credentials out of build logs: those of `BUILD_NPMRC`, as they are,
//! percent-encoded and in base64, and whatever stands before the `@` of an
//! address, if that is one of http or has a password.

use std::borrow::Cow;

use data_encoding::{BASE64, BASE64URL_NOPAD};

const MASK: &str = "***";
/// Shorter values would mask ordinary words.
const SHORTEST: usize = 6;

/// Knows the secrets, and takes them out of what is said.
#[derive(Clone, Default)]
pub struct Redactor {
    needles: Vec<String>,
}

impl Redactor {
    /// Masks each of `secrets` in every spelling.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            if secret.len() < SHORTEST {
                continue;
            }
            let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            needles.push(BASE64.encode(secret.as_bytes()));
            needles.push(BASE64URL_NOPAD.encode(secret.as_bytes()));
            needles.push(encoded);
            needles.push(secret.to_owned());
            // npm's `_auth` is base64 already: what it stands for is no less
            // of a secret.
            if let Ok(plain) = BASE64.decode(secret.as_bytes())
                && let Ok(plain) = String::from_utf8(plain)
                && plain.len() >= SHORTEST
            {
                needles.push(plain);
            }
        }
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self { needles }
    }

    /// `line` with every secret in it replaced.
    #[must_use]
    pub fn clean<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let mut line = Cow::Borrowed(line);
        for needle in &self.needles {
            if line.contains(needle.as_str()) {
                line = Cow::Owned(line.replace(needle.as_str(), MASK));
            }
        }
        match mask_userinfo(&line) {
            Some(masked) => Cow::Owned(masked),
            None => line,
        }
    }
}

/// `https://user:password@host` without what is before the `@`; `None` when
/// there is nothing to mask.
fn mask_userinfo(line: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = line;
    let mut masked = false;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let authority = after
            .find(|c: char| c == '/' || c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>'))
            .unwrap_or(after.len());
        rest = after;
        let scheme = before.to_ascii_lowercase();
        let http = scheme.ends_with("http://") || scheme.ends_with("https://");
        if let Some(end) = after[..authority].rfind('@')
            && (http || after[..end].contains(':'))
        {
            out.push_str(MASK);
            rest = &after[end..];
            masked = true;
        }
    }
    out.push_str(rest);
    masked.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_in_every_spelling() {
        let redactor = Redactor::new(["s3cret/token+x"]);
        for line in [
            "token s3cret/token+x!",
            "token s3cret%2Ftoken%2Bx!",
            &format!("token {}!", BASE64.encode(b"s3cret/token+x")),
        ] {
            assert_eq!(redactor.clean(line), "token ***!");
        }
    }

    #[test]
    fn the_credentials_of_an_address_are_masked() {
        let redactor = Redactor::default();
        assert_eq!(
            redactor.clean("GET https://me:pw@reg.example/x and http://tok@h/ ok"),
            "GET https://***@reg.example/x and http://***@h/ ok"
        );
        assert_eq!(
            redactor.clean("HTTPS://tok@h/ ftp://me:pw@h/ git+ssh://me:pw@h/"),
            "HTTPS://***@h/ ftp://***@h/ git+ssh://***@h/"
        );
        for same in [
            "https://reg.example/@scope/pkg",
            "git+ssh://git@github.com/a/b",
            "mail me@example.com",
        ] {
            assert_eq!(redactor.clean(same), same);
        }
    }

    #[test]
    fn an_encoded_pair_is_masked_decoded_too() {
        let redactor = Redactor::new([BASE64.encode(b"me:password").as_str()]);
        assert_eq!(redactor.clean("auth me:password"), "auth ***");
    }
}
