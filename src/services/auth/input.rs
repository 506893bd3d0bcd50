//! What e-mail addresses, usernames and passwords may look like.
//!
//! Each check answers the value in the form that is stored.

use crate::domain::user::email_address;
use crate::error::{Error, Result};

/// The shortest password, in characters. Length is what makes a password
/// strong; no kinds of characters are asked for (NIST SP 800-63B, 3.1.1).
pub const PASSWORD_MIN_CHARS: usize = 10;
/// The longest password, in bytes, so that hashing one is bounded work.
pub const PASSWORD_MAX_BYTES: usize = 1024;
const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=32;

/// # Errors
/// `INVALID_INPUT`, field `email`.
pub fn email(text: &str) -> Result<String> {
    email_address(text)
        .ok_or_else(|| Error::invalid("email", "an e-mail address looks like name@example.com"))
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
