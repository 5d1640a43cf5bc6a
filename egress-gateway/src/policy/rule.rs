//! Every reason to refuse, each with a name for audit rows, programs and tests.

use std::fmt;

use trace_contracts::destination::InvalidDestination;

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The attempt is over, or the key behind its capability was revoked.
    Revoked,
    /// What was asked for is no destination.
    Unreadable(InvalidDestination),
    /// The request itself is one that this proxy does not forward.
    Request(Malformed),
    /// The destination is not among the grants of the capability.
    NotGranted,
    /// The grant's requests are used up.
    RequestBudget,
    /// The grant's bytes are used up.
    ByteBudget,
    /// The attempt has as many requests and tunnels at once as it may.
    AttemptLimit,
    /// The gateway remembers as many attempts as it can.
    Crowded,
    /// The operator denies the host.
    DeniedHost,
    /// The operator denies the network.
    DeniedNetwork,
    /// The name has no meaning in the public DNS.
    SpecialName,
    /// A cloud's metadata service, by name or by address. No policy allows it.
    CloudMetadata,
    /// The address is in a special-purpose block.
    Special(Block),
    /// The name does not resolve.
    NameNotFound,
    /// No answer in time, or no server to ask.
    NameUnanswered,
    /// The name is an alias of an alias and so on, for too long.
    LongAliasChain,
    /// The name has more addresses than anything needs.
    TooManyAddresses,
    /// Nothing accepted a connection.
    Unreached,
    /// The destination answered with something that is no answer, or not in time.
    BadAnswer,
    /// What came through the tunnel first is no TLS ClientHello.
    NotTls,
    /// The ClientHello names no server, and the destination is a name.
    ServerNameAbsent,
    /// The ClientHello names another server.
    ServerNameDiffers,
}

/// Why a request is not forwarded whatever its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Absolute-form with another scheme than `http`.
    Scheme,
    /// The `Host` header names another host than the address does, or there are several.
    HostDiffers,
    /// A `CONNECT` with a body.
    ConnectBody,
}

/// The kinds of special-purpose block; the table with networks and RFCs is in `registry.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Block {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    PrivateUse,
    /// RFC 6598.
    SharedAddressSpace,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `fc00::/7`.
    UniqueLocal,
    /// `fec0::/10`.
    SiteLocal,
    /// Assigned to protocols.
    ProtocolAssignments,
    /// For examples.
    Documentation,
    /// For measurements.
    Benchmarking,
    /// AS112 sinks.
    As112,
    /// Automatic multicast tunnelling.
    Amt,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `240.0.0.0/4`.
    Reserved,
    /// `255.255.255.255`.
    Broadcast,
    /// `::ffff:0:0/96`.
    Ipv4Mapped,
    /// `::/96`.
    Ipv4Compatible,
    /// `::ffff:0:0:0/96`.
    Ipv4Translated,
    /// `64:ff9b::/96`.
    Nat64,
    /// `64:ff9b:1::/48`.
    LocalNat64,
    /// `2002::/16`, and the relays' anycast address.
    SixToFour,
    /// `2001::/32`.
    Teredo,
    /// An interface identifier that holds an IPv4 address.
    Isatap,
    /// Dropped by routers.
    DiscardOnly,
    /// Identifiers of hosts that are no addresses.
    Orchid,
    /// Segment routing.
    SegmentRouting,
    /// Outside what is assigned to be routed at all.
    Unallocated,
}

/// What the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The rule: it follows from the request and the capability alone, which the caller has.
    Rule,
    /// That the destination can't be reached, and not why: the reason would tell of names, addresses and
    /// ports in networks that the caller can't see.
    Unreachable,
}

impl Rule {
    /// What the caller is told.
    pub(crate) const fn told(self) -> Told {
        match self {
            Self::DeniedHost
            | Self::DeniedNetwork
            | Self::SpecialName
            | Self::CloudMetadata
            | Self::Special(_)
            | Self::NameNotFound
            | Self::NameUnanswered
            | Self::LongAliasChain
            | Self::TooManyAddresses
            | Self::Unreached
            | Self::BadAnswer => Told::Unreachable,
            _ => Told::Rule,
        }
    }

    /// The name; stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable(error) => error.rule(),
            Self::Request(malformed) => malformed.as_str(),
            Self::Revoked => "revoked",
            Self::NotGranted => "not_granted",
            Self::RequestBudget => "request_budget",
            Self::ByteBudget => "byte_budget",
            Self::AttemptLimit => "attempt_limit",
            Self::Crowded => "crowded",
            Self::DeniedHost => "denied_host",
            Self::DeniedNetwork => "denied_network",
            Self::SpecialName => "special_name",
            Self::CloudMetadata => "cloud_metadata",
            Self::Special(block) => block.as_str(),
            Self::NameNotFound => "name_not_found",
            Self::NameUnanswered => "name_unanswered",
            Self::LongAliasChain => "long_alias_chain",
            Self::TooManyAddresses => "too_many_addresses",
            Self::Unreached => "unreached",
            Self::BadAnswer => "bad_answer",
            Self::NotTls => "not_tls",
            Self::ServerNameAbsent => "server_name_absent",
            Self::ServerNameDiffers => "server_name_differs",
        }
    }
}

impl Malformed {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::HostDiffers => "host_differs",
            Self::ConnectBody => "connect_body",
        }
    }
}

impl Block {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::PrivateUse => "private_use",
            Self::SharedAddressSpace => "shared_address_space",
            Self::LinkLocal => "link_local",
            Self::UniqueLocal => "unique_local",
            Self::SiteLocal => "site_local",
            Self::ProtocolAssignments => "protocol_assignments",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::As112 => "as112",
            Self::Amt => "amt",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Broadcast => "broadcast",
            Self::Ipv4Mapped => "ipv4_mapped",
            Self::Ipv4Compatible => "ipv4_compatible",
            Self::Ipv4Translated => "ipv4_translated",
            Self::Nat64 => "nat64",
            Self::LocalNat64 => "local_nat64",
            Self::SixToFour => "six_to_four",
            Self::Teredo => "teredo",
            Self::Isatap => "isatap",
            Self::DiscardOnly => "discard_only",
            Self::Orchid => "orchid",
            Self::SegmentRouting => "segment_routing",
            Self::Unallocated => "unallocated",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
