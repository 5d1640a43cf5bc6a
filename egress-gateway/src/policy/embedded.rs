//! IPv4 addresses inside IPv6 addresses: what a translator, a tunnel or the kernel on the way would reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An interface identifier of ISATAP (RFC 5214, 6.1): `[02]00:5efe` and an IPv4 address.
pub(super) const fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., high, low, _, _] = address.segments();
    (high & !0x0200) == 0 && low == 0x5efe
}

/// Every IPv4 address that something could read out of this one.
pub(super) fn ipv4(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return Vec::new() };
    if address.is_loopback() || address.is_unspecified() {
        return Vec::new();
    }
    let o = address.octets();
    let last = Ipv4Addr::new(o[12], o[13], o[14], o[15]);
    match address.segments() {
        // Mapped, compatible, translated (RFC 4291, RFC 2765) and NAT64's well-known prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            vec![last]
        }
        // NAT64's local prefix (RFC 8215), in each length within it that RFC 6052, 2.2 knows.
        [0x64, 0xff9b, 1, ..] => vec![
            Ipv4Addr::new(o[6], o[7], o[9], o[10]),
            Ipv4Addr::new(o[7], o[9], o[10], o[11]),
            Ipv4Addr::new(o[9], o[10], o[11], o[12]),
            last,
        ],
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![Ipv4Addr::new(o[2], o[3], o[4], o[5])],
        // Teredo (RFC 4380): the server, and the client with its bits flipped.
        [0x2001, 0, ..] => vec![Ipv4Addr::new(o[4], o[5], o[6], o[7]), Ipv4Addr::from_bits(!last.to_bits())],
        _ if is_isatap(address) => vec![last],
        _ => Vec::new(),
    }
}
