//! How often one may try: the rate windows in front of logins, registration,
//! search and preview tokens.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::app::App;
use crate::domain::UserId;
use crate::ephemeral::Rate;
use crate::error::{Error, Result};

/// So many hits in a sliding window.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub hits: u32,
    pub window: Duration,
}

const fn per_minutes(hits: u32, minutes: u64) -> Limit {
    Limit {
        hits,
        window: Duration::from_mins(minutes),
    }
}

/// Logins from one address: many people may share it.
pub const LOGIN_PER_ADDRESS: Limit = per_minutes(30, 5);
/// Logins to one account. It stops guessing, and it lets the owner wait at
/// most five minutes when somebody else was guessing.
pub const LOGIN_PER_ACCOUNT: Limit = per_minutes(10, 5);
/// Registrations and uses of setup links from one address.
pub const REGISTER_PER_ADDRESS: Limit = per_minutes(60, 60);
/// Password checks of somebody who is logged in (`change-password`).
pub const PASSWORD_CHECKS: Limit = per_minutes(10, 5);
pub const USER_SEARCH: Limit = per_minutes(60, 1);
/// Preview tokens that one account asks for.
pub const PREVIEW_TOKENS: Limit = per_minutes(600, 1);

/// Counts a hit.
///
/// The tier that counts may be lost (`ephemeral`), and then nobody is locked
/// out: the failure is logged and the hit allowed.
///
/// # Errors
/// `RATE_LIMIT_EXCEEDED` with the seconds to wait.
pub async fn hit(app: &App, key: &str, limit: Limit) -> Result<()> {
    match app.ephemeral.hit(key, limit.hits, limit.window).await {
        Ok(Rate::Allowed { .. }) => Ok(()),
        Ok(Rate::Limited { retry_after }) => Err(exceeded("too many tries", retry_after)),
        Err(error) => {
            tracing::warn!(error = %error.chain(), "cannot count a rate limit; letting it pass");
            Ok(())
        }
    }
}

/// The refusal, with the time to wait.
#[must_use]
pub fn exceeded(what: &str, wait: Duration) -> Error {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    Error::rate_limited(wait, format!("{what}; try again in {seconds} s"))
}

/// What one visitor is told from another by. IPv6 hosts are given whole /64
/// networks, so one network is one address.
#[must_use]
pub fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The key of an address.
#[must_use]
pub fn address_key(what: &str, from: IpAddr) -> String {
    format!("rate:{what}:ip:{}", network(from))
}

#[must_use]
pub fn user_key(what: &str, user: UserId) -> String {
    format!("rate:{what}:user:{user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_one_address() {
        let key = |text: &str| address_key("login", text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
