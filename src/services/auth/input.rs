//! What e-mail addresses, usernames and passwords may look like.
//!
//! Each check answers the value in the form that is stored.

use crate::error::{Error, Result};

/// The shortest password, in characters. Length is what makes a password
/// strong; no kinds of characters are asked for (NIST SP 800-63B, 3.1.1).
pub const PASSWORD_MIN_CHARS: usize = 10;
/// The longest password, in bytes, so that hashing one is bounded work.
pub const PASSWORD_MAX_BYTES: usize = 1024;
/// The longest e-mail address that can be delivered to (RFC 5321, 4.5.3.1.3).
const EMAIL_MAX_BYTES: usize = 254;
const LOCAL_PART_MAX_BYTES: usize = 64;
const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=32;

/// The address trimmed and in lower case: two spellings of one mailbox must
/// not become two accounts.
///
/// Whether it can be delivered to only a delivery shows; this refuses what
/// could never be one.
///
/// # Errors
/// `INVALID_INPUT`, field `email`.
pub fn email(text: &str) -> Result<String> {
    let text = text.trim().to_lowercase();
    let bad = || Error::invalid("email", "an e-mail address looks like name@example.com");
    let (local, domain) = text.rsplit_once('@').ok_or_else(bad)?;
    let local_ok = !local.is_empty()
        && local.len() <= LOCAL_PART_MAX_BYTES
        && !local.contains(['@', '<', '>', '"', ',', ';', ':', '(', ')'])
        && !local.contains(|c: char| c.is_whitespace() || c.is_control());
    let domain_ok = domain.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    });
    if local_ok && domain_ok && text.len() <= EMAIL_MAX_BYTES {
        Ok(text)
    } else {
        Err(bad())
    }
}

/// The username in lower case: 3 to 32 of `a-z 0-9 _ -`, beginning with a
/// letter or digit. It holds no `@`, so it is never taken for an address.
///
/// # Errors
/// `INVALID_INPUT`, field `username`.
pub fn username(text: &str) -> Result<String> {
    let text = text.trim().to_ascii_lowercase();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if USERNAME_CHARS.contains(&text.len())
        && text.chars().all(allowed)
        && !text.starts_with(['_', '-'])
    {
        Ok(text)
    } else {
        Err(Error::invalid(
            "username",
            "a username has 3 to 32 characters of a-z, 0-9, _ and -, and begins with a letter or digit",
        ))
    }
}

/// Refuses a password that is too short, too long, or one of the account's
/// own names.
///
/// # Errors
/// `INVALID_INPUT` that names `field`.
pub fn password(field: &str, text: &str, email: &str, username: &str) -> Result<()> {
    if text.chars().count() < PASSWORD_MIN_CHARS {
        return Err(Error::invalid(
            field,
            format!("a password has at least {PASSWORD_MIN_CHARS} characters"),
        ));
    }
    if text.len() > PASSWORD_MAX_BYTES {
        return Err(Error::invalid(
            field,
            format!("a password has at most {PASSWORD_MAX_BYTES} bytes"),
        ));
    }
    let same = |name: &str| text.eq_ignore_ascii_case(name);
    if same(email) || same(username) {
        return Err(Error::invalid(
            field,
            "the password is the account's own name; choose another",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_trimmed_and_lowered() {
        assert_eq!(email("  Ada@Example.COM ").unwrap(), "ada@example.com");
        assert_eq!(email("a+b.c@localhost").unwrap(), "a+b.c@localhost");
        assert_eq!(email("ünal@bücher.de").unwrap(), "ünal@bücher.de");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", "b.".repeat(126));
        for text in [
            "", "@", "a@", "@b.c", "a b@c.d", "a@b@c.d", "a@b..c", "a@-b.c", "a@b-.c", "a@b_c.d",
            "a\n@b.c", "<a@b.c>", "a@b.c/", &long, &longer,
        ] {
            assert!(email(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn usernames() {
        assert_eq!(username("Ada_L-1").unwrap(), "ada_l-1");
        assert!(username(&"a".repeat(32)).is_ok());
        for text in [
            "ab",
            &"a".repeat(33),
            "a b c",
            "a@b.c",
            "-abc",
            "_abc",
            "żółw",
            "a.b.c",
        ] {
            assert!(username(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn passwords() {
        let check = |text: &str| password("password", text, "ada@example.com", "ada_lovelace");
        assert!(check("correct horse").is_ok());
        assert!(check("zażółćgęśl").is_ok(), "ten characters");
        assert!(check(&"x".repeat(1024)).is_ok());
        for text in [
            "",
            "ninechars",
            &"x".repeat(1025),
            "ADA@example.com",
            "Ada_Lovelace",
        ] {
            assert!(check(text).is_err(), "{text:?}");
        }
    }
}
