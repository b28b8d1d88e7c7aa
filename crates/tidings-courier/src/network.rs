//! Which addresses deliveries may go to.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network: `10.1.0.0/16`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: write 10.1.0.0/16, fd00::/8 or 127.0.0.1")]
pub struct NetworkError(pub String);

/// What is no public address of version 4.
const SPECIAL_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];
/// The public addresses of version 6: with that, loopback, link-local, unique local, multicast, mapped ones and those
/// that a gateway translates are none.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// And among those: protocols and Teredo, documentation twice, and 6to4, which has an address of version 4 in it.
const SPECIAL_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether deliveries may go there: it is public, or one of these networks has it.
pub(crate) fn may_reach(address: IpAddr, allow: &[Network]) -> bool {
    is_public(address) || allow.iter().any(|network| network.contains(address))
}

fn is_public(address: IpAddr) -> bool {
    let is_in = |(network, prefix): (IpAddr, u8)| Network { address: network, prefix }.contains(address);
    match address {
        IpAddr::V4(_) => !SPECIAL_V4.iter().any(|(network, prefix)| is_in(((*network).into(), *prefix))),
        IpAddr::V6(_) => {
            is_in((GLOBAL_V6.0.into(), GLOBAL_V6.1))
                && !SPECIAL_V6.iter().any(|(network, prefix)| is_in(((*network).into(), *prefix)))
        }
    }
}

impl Network {
    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_prefix(u128::from(own.to_bits()), u128::from(other.to_bits()), 32 - self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                same_prefix(own.to_bits(), other.to_bits(), 128 - self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Whether two addresses differ in the last `rest` bits alone.
fn same_prefix(own: u128, other: u128, rest: u8) -> bool {
    (own ^ other).checked_shr(rest.into()).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| prefix.parse::<u8>().map_err(|_| error()))?;
        let network = Network { address, prefix };
        // An address that is not the network's first may be meant as something else.
        let first = prefix <= longest && network.host_bits() == 0;
        first.then_some(network).ok_or_else(error)
    }
}

impl Network {
    fn host_bits(&self) -> u128 {
        let (bits, length) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let mask = 1_u128.checked_shl(length - u32::from(self.prefix)).map_or(u128::MAX, |bit| bit - 1);
        bits & mask
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn only_public_addresses_are_reached() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
        ] {
            assert!(!may_reach(address(text), &[]), "{text}");
        }
        for text in [
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "2003::1",
            "2001:4860::8888",
        ] {
            assert!(may_reach(address(text), &[]), "{text}");
        }
    }

    #[test]
    fn an_allowed_network_opens_what_it_names() {
        let allow: Vec<Network> =
            ["127.0.0.0/8", "fd12::/16", "192.168.1.7"].map(|text| text.parse().expect(text)).into();
        for (text, expected) in [
            ("127.9.9.9", true),
            ("::ffff:127.0.0.1", false),
            ("::1", false),
            ("fd12:1::1", true),
            ("fd13::1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(may_reach(address(text), &allow), expected, "{text}");
        }
        let all: Network = "0.0.0.0/0".parse().expect("a network");
        assert!(may_reach(address("10.0.0.1"), &[all]) && !may_reach(address("::1"), &[all]));
        let all: Network = "::/0".parse().expect("a network");
        assert!(may_reach(address("::1"), &[all]));
    }

    #[test]
    fn reads_networks() {
        for (text, printed) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("fd00::/8", "fd00::/8"),
        ] {
            assert_eq!(text.parse::<Network>().expect(text).to_string(), printed);
        }
        for bad in
            ["", "localhost", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0.0/", "10.0/8", "fd00::1/8"]
        {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError(bad.to_owned())));
        }
    }
}
