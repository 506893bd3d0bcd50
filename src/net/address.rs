//! Which addresses the server may be sent to by its users.
//!
//! Only what the internet routes to somebody else: neither a repository's URL nor
//! an install may reach the server's own services, its neighbours or the cloud's
//! metadata.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// IANA's special-purpose registry (RFC 6890 and its updates), and addresses
/// of clouds that answer instances only.
const REFUSED_V4: &[(&str, Ipv4Addr, u8)] = &[
    ("unspecified", Ipv4Addr::UNSPECIFIED, 8),
    ("private", Ipv4Addr::new(10, 0, 0, 0), 8),
    (
        "shared (carrier-grade NAT)",
        Ipv4Addr::new(100, 64, 0, 0),
        10,
    ),
    ("loopback", Ipv4Addr::new(127, 0, 0, 0), 8),
    ("link-local", Ipv4Addr::new(169, 254, 0, 0), 16),
    ("private", Ipv4Addr::new(172, 16, 0, 0), 12),
    ("reserved", Ipv4Addr::new(192, 0, 0, 0), 24),
    (DOCUMENTATION, Ipv4Addr::new(192, 0, 2, 0), 24),
    ("6to4 relay", Ipv4Addr::new(192, 88, 99, 0), 24),
    ("private", Ipv4Addr::new(192, 168, 0, 0), 16),
    ("benchmarking", Ipv4Addr::new(198, 18, 0, 0), 15),
    (DOCUMENTATION, Ipv4Addr::new(198, 51, 100, 0), 24),
    (DOCUMENTATION, Ipv4Addr::new(203, 0, 113, 0), 24),
    ("cloud platform", Ipv4Addr::new(168, 63, 129, 16), 32),
    ("multicast", Ipv4Addr::new(224, 0, 0, 0), 4),
    ("reserved", Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What of `2000::/3` is not an ordinary public address. Everything outside of
/// `2000::/3` is refused altogether: loopback, mapped and compatible IPv4,
/// NAT64, unique local, link-local, multicast.
const REFUSED_V6: &[(&str, Ipv6Addr, u8)] = &[
    // With Teredo (2001::/32) and ORCHID.
    ("reserved", Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (
        DOCUMENTATION,
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
    ),
    ("6to4", Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (
        DOCUMENTATION,
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
    ),
];

/// Where clouds answer their instances, outside of the link-local range.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Nobody lies there on the internet; closed test networks use them.
pub const DOCUMENTATION: &str = "documentation";

/// For hosts that the operator has named, which may lie in the operator's own
/// network or on this machine: only what cannot be such a host is refused.
///
/// # Errors
/// The address's kind.
pub fn check_named(address: IpAddr) -> Result<(), &'static str> {
    let address = address.to_canonical();
    if METADATA.contains(&address) {
        return Err("cloud platform");
    }
    match check(address) {
        Err(kind @ ("unspecified" | "link-local" | "multicast" | "translated or reserved")) => {
            Err(kind)
        }
        _ => Ok(()),
    }
}

/// `Err` with the kind of address, for a message, when it is not public.
///
/// # Errors
/// The address's kind.
pub fn check(address: IpAddr) -> Result<(), &'static str> {
    match address {
        IpAddr::V4(v4) => check_v4(v4),
        IpAddr::V6(v6) => check_v6(v6),
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), &'static str> {
    for &(kind, net, prefix) in REFUSED_V4 {
        if Ipv4Net::new_assert(net, prefix).contains(&address) {
            return Err(kind);
        }
    }
    Ok(())
}

fn check_v6(address: Ipv6Addr) -> Result<(), &'static str> {
    let global_unicast = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    if !global_unicast.contains(&address) {
        return Err(if address.is_loopback() {
            "loopback"
        } else if address.is_unspecified() {
            "unspecified"
        } else if address.is_multicast() {
            "multicast"
        } else if address.is_unique_local() {
            "private"
        } else if address.is_unicast_link_local() {
            "link-local"
        } else if address.to_ipv4_mapped().is_some() {
            "IPv4-mapped"
        } else {
            "translated or reserved"
        });
    }
    for &(kind, net, prefix) in REFUSED_V6 {
        if Ipv6Net::new_assert(net, prefix).contains(&address) {
            return Err(kind);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> bool {
        check(text.parse().expect(text)).is_err()
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "140.82.121.4",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a01:4f8::1",
            "2001:200::1",
            "2003::1",
        ] {
            assert!(!refused(text), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(refused(text), "{text}");
        }
    }

    #[test]
    fn a_named_host_may_be_a_neighbour_but_never_the_clouds_own() {
        for text in [
            "10.0.0.1",
            "127.0.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "::1",
        ] {
            assert_eq!(check_named(text.parse().unwrap()), Ok(()), "{text}");
        }
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "::",
            "fe80::1",
            "224.0.0.1",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(check_named(text.parse().unwrap()).is_err(), "{text}");
        }
    }

    proptest! {
        /// No wrapping of an IPv4 address in IPv6 is a way around the rules.
        #[test]
        fn wrapped_addresses_never_pass(bits: u32) {
            let [a, b, c, d] = bits.to_be_bytes();
            let high = u16::from_be_bytes([a, b]);
            let low = u16::from_be_bytes([c, d]);
            for wrapped in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low),
            ] {
                prop_assert!(check(wrapped.into()).is_err(), "{wrapped}");
            }
        }

        /// Nothing that the standard library calls special passes.
        #[test]
        fn no_special_address_passes(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            if check(v4.into()).is_ok() {
                prop_assert!(!(v4.is_loopback() || v4.is_private() || v4.is_link_local()
                    || v4.is_multicast() || v4.is_broadcast() || v4.is_documentation()
                    || v4.is_unspecified()));
            }
        }
    }
}
