//! Addresses that are not somewhere on the public Internet.
//!
//! The rows are IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190) in full,
//! those that are globally reachable among them, with multicast and the forms that were withdrawn. Of
//! IPv6, what is outside `2000::/3` is refused whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::rule::Block;

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8, block: Block) -> (Ipv4Net, Block) {
    (Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length), block)
}

const fn v6(segments: [u16; 8], length: u8, block: Block) -> (Ipv6Net, Block) {
    let [a, b, c, d, e, f, g, h] = segments;
    (Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length), block)
}

/// The more specific comes first where two overlap.
const IPV4: [(Ipv4Net, Block); 20] = [
    v4(0, 0, 0, 0, 8, Block::Unspecified),            // RFC 791, RFC 1122
    v4(10, 0, 0, 0, 8, Block::PrivateUse),            // RFC 1918
    v4(100, 64, 0, 0, 10, Block::SharedAddressSpace), // RFC 6598
    v4(127, 0, 0, 0, 8, Block::Loopback),             // RFC 1122
    v4(169, 254, 0, 0, 16, Block::LinkLocal),         // RFC 3927
    v4(172, 16, 0, 0, 12, Block::PrivateUse),         // RFC 1918
    v4(192, 0, 0, 0, 24, Block::ProtocolAssignments), // RFC 6890; RFC 7335, 7600, 7723, 8155, 7050 in it
    v4(192, 0, 2, 0, 24, Block::Documentation),       // RFC 5737
    v4(192, 31, 196, 0, 24, Block::As112),            // RFC 7535
    v4(192, 52, 193, 0, 24, Block::Amt),              // RFC 7450
    v4(192, 88, 99, 0, 24, Block::SixToFour),         // RFC 3068, withdrawn by RFC 7526
    v4(192, 168, 0, 0, 16, Block::PrivateUse),        // RFC 1918
    v4(192, 175, 48, 0, 24, Block::As112),            // RFC 7534
    v4(198, 18, 0, 0, 15, Block::Benchmarking),       // RFC 2544
    v4(198, 51, 100, 0, 24, Block::Documentation),    // RFC 5737
    v4(203, 0, 113, 0, 24, Block::Documentation),     // RFC 5737
    v4(233, 252, 0, 0, 24, Block::Documentation),     // RFC 6676, multicast
    v4(224, 0, 0, 0, 4, Block::Multicast),            // RFC 1112, RFC 5771
    v4(255, 255, 255, 255, 32, Block::Broadcast),     // RFC 919, RFC 8190
    v4(240, 0, 0, 0, 4, Block::Reserved),             // RFC 1112
];

/// The more specific comes first where two overlap.
const IPV6: [(Ipv6Net, Block); 27] = [
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Block::Loopback), // RFC 4291
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Block::Unspecified), // RFC 4291
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Block::Ipv4Mapped), // RFC 4291
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Block::Ipv4Translated), // RFC 2765, withdrawn by RFC 6145
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, Block::Ipv4Compatible), // RFC 4291, withdrawn there
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Block::Nat64), // RFC 6052
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Block::LocalNat64), // RFC 8215
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Block::DiscardOnly), // RFC 6666
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Block::DiscardOnly), // RFC 9780
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Block::Teredo), // RFC 4380
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Block::Benchmarking), // RFC 5180
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, Block::Amt),  // RFC 7450
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, Block::As112), // RFC 7535
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, Block::Orchid), // RFC 4843
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, Block::Orchid), // RFC 7343
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, Block::Orchid), // RFC 9374
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Block::ProtocolAssignments), // RFC 2928; RFC 7723, 8155, 9665 in it
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Block::Documentation), // RFC 3849
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Block::SixToFour), // RFC 3056
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, Block::As112), // RFC 7534
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Block::Documentation), // RFC 9637
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Block::SegmentRouting), // RFC 9602
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Block::UniqueLocal), // RFC 4193
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Block::LinkLocal), // RFC 4291
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Block::SiteLocal), // RFC 3513, withdrawn by RFC 3879
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Block::Multicast), // RFC 4291
    v6([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, Block::Unallocated), // RFC 3701, the former 6bone
];

/// What IANA has assigned to be routed (RFC 4291, RFC 3513).
const GLOBAL_UNICAST: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The kind of special-purpose block that an address is in; `None` for an address of the public Internet.
pub(super) fn special(address: IpAddr) -> Option<Block> {
    match address {
        IpAddr::V4(address) => {
            IPV4.iter().find(|(network, _)| network.contains(&address)).map(|(_, block)| *block)
        }
        IpAddr::V6(address) => {
            let listed = IPV6.iter().find(|(network, _)| network.contains(&address)).map(|(_, block)| *block);
            listed
                .or_else(|| super::embedded::is_isatap(address).then_some(Block::Isatap))
                .or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some(Block::Unallocated))
        }
    }
}
