//! Network addresses that must not be called on behalf of tenants.
//!
//! Invariants: of IPv6 only global unicast (`2000::/3`) is open, less the blocks in it that represent other
//! addresses or none. So mappings, tunnels and translations are closed without being listed. Of IPv4
//! everything is open that the registries of special purposes (RFC 6890 and its successors) leave. Pure:
//! names are resolved elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Closed blocks of IPv4: base address, length of the prefix, kind.
const CLOSED_V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::UNSPECIFIED, 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared (CGNAT)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // Azure's host agent, which has an address of the public network.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "metadata"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "reserved"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmark"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved or broadcast"),
];

/// Closed blocks inside `2000::/3`.
const CLOSED_V6: &[(Ipv6Addr, u32, &str)] = &[
    // Teredo, benchmarks, ORCHID, anycast of protocols.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved (Teredo and others)"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "reserved"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];

const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Returns the kind of a closed address; `None` for one that may be called.
pub(super) fn closed_reason(address: IpAddr, allow_loopback: bool) -> Option<&'static str> {
    if allow_loopback && address.is_loopback() {
        return None;
    }
    match address {
        IpAddr::V4(address) => {
            let within =
                |base: Ipv4Addr, length: u32| (address.to_bits() ^ base.to_bits()).leading_zeros() >= length;
            CLOSED_V4.iter().find(|(base, length, _)| within(*base, *length)).map(|(_, _, what)| *what)
        }
        IpAddr::V6(address) => {
            let within =
                |base: Ipv6Addr, length: u32| (address.to_bits() ^ base.to_bits()).leading_zeros() >= length;
            if !within(GLOBAL_V6.0, GLOBAL_V6.1) {
                return Some("not global unicast");
            }
            CLOSED_V6.iter().find(|(base, length, _)| within(*base, *length)).map(|(_, _, what)| *what)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_closed(text: &str) -> bool {
        closed_reason(text.parse().unwrap(), false).is_some()
    }

    #[test]
    fn closed_blocks_are_closed_to_their_edges() {
        let closed = [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::808:808",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "4000::1",
        ];
        let open: Vec<_> = closed.into_iter().filter(|text| !is_closed(text)).collect();
        assert!(open.is_empty(), "open: {open:?}");
    }

    #[test]
    fn what_lies_beside_them_is_open() {
        let open = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
            "3ffe::1",
        ];
        let closed: Vec<_> = open.into_iter().filter(|text| is_closed(text)).collect();
        assert!(closed.is_empty(), "closed: {closed:?}");
    }

    #[test]
    fn the_setting_opens_loopback_and_nothing_else() {
        for (text, open) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.1", false),
            ("169.254.169.254", false),
            ("2002:7f00:1::", false),
        ] {
            assert_eq!(closed_reason(text.parse().unwrap(), true).is_none(), open, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_ipv6_spelling_of_an_ipv4_address_is_open(v4: u32) {
            let (high, low) = ((u128::from(v4) >> 16), u128::from(v4) & 0xffff);
            for bits in [
                u128::from(v4),
                (0xffff << 32) | u128::from(v4),
                (0x0064_ff9b << 96) | u128::from(v4),
                (0x0064_ff9b_0001 << 80) | u128::from(v4),
                (0x2002 << 112) | (high << 96) | (low << 80) | 1,
                (0x2001 << 112) | u128::from(!v4),
            ] {
                prop_assert!(closed_reason(IpAddr::V6(Ipv6Addr::from_bits(bits)), true).is_some() || bits == 1);
            }
        }

        #[test]
        fn the_standard_library_agrees(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified() || v4.is_multicast();
            prop_assert!(!special || closed_reason(IpAddr::V4(v4), false).is_some());
        }
    }
}
