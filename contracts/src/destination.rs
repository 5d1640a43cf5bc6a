//! Where a task may reach outside: a host and a port, read so that every part reads the same.
//!
//! A host is what the whole chain of client, gateway and resolver could read in two ways, so one
//! spelling is taken and all others are refused: names are letters, digits and hyphens (internationalised
//! ones in their `xn--` form), addresses have the one notation that they are printed in. Letters may come
//! in upper case, because names are compared without case; they are lower-case from here on.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Deref,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::text_form::text_form;

/// Egress grants that one attempt has at most.
pub const MAX_EGRESS_GRANTS: usize = 32;

/// A DNS name has at most this many bytes.
const MAX_NAME_BYTES: usize = 253;
/// A label of a DNS name has at most this many bytes.
const MAX_LABEL_BYTES: usize = 63;
/// The longest host, in brackets, with a colon and a port.
const MAX_TEXT_BYTES: usize = MAX_NAME_BYTES + 8;

/// A DNS name: labels of lower-case letters, digits and inner hyphens, without a dot at the end, and nothing
/// that any resolver or C library would read as an address. No underscores: names of hosts have none
/// (RFC 952, RFC 1123), and TLS certificates are not issued for them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// A host: a name, or an address in its canonical notation (RFC 5952 for IPv6, without brackets).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, which only the gateway resolves.
    Name(HostName),
    /// An address.
    Address(IpAddr),
}

/// `host:port`, such as `api.example.com:443` or `[2001:db8::1]:443`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The TCP port, never 0.
    port: u16,
}

/// One destination that an attempt may reach through the egress gateway, and how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressGrant {
    /// The destination, exactly.
    pub destination: Destination,
    /// Bytes in both directions together, over the whole attempt.
    pub max_bytes: u64,
    /// Requests and tunnels, over the whole attempt.
    pub max_requests: u32,
}

/// Why a text is not a host or a destination. Says nothing of the text: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidDestination {
    /// Nothing where a host belongs.
    #[error("there is no host: write HOST:PORT, such as api.example.com:443")]
    Empty,
    /// Longer than any host and port.
    #[error("it is too long: a host's name has at most 253 bytes, and a label of it at most 63")]
    TooLong,
    /// A character outside ASCII.
    #[error("a host is plain ASCII: write an internationalised name in its `xn--` form")]
    NotAscii,
    /// `user@host`.
    #[error("a destination names no user: leave out what is before `@`")]
    UserInfo,
    /// `%`, in an escape or a zone id.
    #[error("a host has no `%`: neither escapes nor zone ids are taken")]
    Percent,
    /// A scheme, path, query or fragment.
    #[error("a destination is HOST:PORT alone, without a scheme, path or query")]
    Url,
    /// A control character or a space.
    #[error("a host has no spaces and no control characters")]
    Whitespace,
    /// Another character that no host has, `_` and `*` among them.
    #[error("a host's name has letters, digits, hyphens and dots, and nothing else")]
    Character,
    /// `a..b`, `.a`, `-a.b`.
    #[error("a label of a host's name is not empty and neither starts nor ends with a hyphen")]
    Label,
    /// `a.`
    #[error("a host's name has no dot at its end")]
    TrailingDot,
    /// A number or dotted numbers that some programs read as an address.
    #[error(
        "it looks like an address and is not written like one: an IPv4 address is four decimal numbers without leading zeros"
    )]
    AlmostAddress,
    /// Not how this address is printed.
    #[error("an IPv6 address is written in its shortest form (RFC 5952), such as 2001:db8::1")]
    AddressNotation,
    /// Brackets that are not around an IPv6 address, or lack their other half; an IPv6 address without them.
    #[error("brackets belong around an IPv6 address with a port, as in [2001:db8::1]:443, and nowhere else")]
    Brackets,
    /// No port.
    #[error("there is no port: write HOST:PORT, such as api.example.com:443")]
    NoPort,
    /// A port that is none.
    #[error("a port is a number from 1 to 65535 without a sign or leading zeros")]
    Port,
}

impl InvalidDestination {
    /// A name for programs and audit rows; stable.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Empty => "host_empty",
            Self::TooLong => "host_too_long",
            Self::NotAscii => "host_not_ascii",
            Self::UserInfo => "host_userinfo",
            Self::Percent => "host_percent",
            Self::Url => "host_is_url",
            Self::Whitespace => "host_whitespace",
            Self::Character => "host_character",
            Self::Label => "host_label",
            Self::TrailingDot => "host_trailing_dot",
            Self::AlmostAddress => "host_almost_address",
            Self::AddressNotation => "host_address_notation",
            Self::Brackets => "host_brackets",
            Self::NoPort => "port_missing",
            Self::Port => "port_invalid",
        }
    }
}

impl Destination {
    /// A destination; `None` when the port is 0.
    #[must_use]
    pub fn new(host: Host, port: u16) -> Option<Self> {
        if port == 0 { None } else { Some(Self { host, port }) }
    }

    /// Reads `HOST` or `HOST:PORT`; an IPv6 address needs its brackets only with a port.
    ///
    /// # Errors
    /// As for the parts.
    pub fn parse_with_default_port(unverified: &str, port: u16) -> Result<Self, InvalidDestination> {
        let bracketed = unverified.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host: Result<Host, _> = match bracketed {
            Some(address) if address.contains(':') => address.parse(),
            Some(_) => Err(InvalidDestination::Brackets),
            None => unverified.parse(),
        };
        match host {
            Ok(host) => Self::new(host, port).ok_or(InvalidDestination::Port),
            // One colon, or something after brackets: there is a port.
            Err(_) if bracketed.is_none() && (unverified.starts_with('[') || has_one_colon(unverified)) => {
                unverified.parse()
            }
            Err(error) => Err(error),
        }
    }

    /// The TCP port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

fn has_one_colon(text: &str) -> bool {
    text.split_once(':').is_some_and(|(_, rest)| !rest.contains(':'))
}

/// A port as it is written: digits without a sign or leading zeros, from 1 to 65535.
///
/// # Errors
/// Everything else.
pub fn parse_port(unverified: &str) -> Result<u16, InvalidDestination> {
    let digits = (1..=5).contains(&unverified.len()) && unverified.bytes().all(|b| b.is_ascii_digit());
    if !digits || unverified.starts_with('0') {
        return Err(InvalidDestination::Port);
    }
    unverified.parse().map_err(|_| InvalidDestination::Port)
}

/// What no host has, in the order in which it is most telling.
fn check_characters(unverified: &str) -> Result<(), InvalidDestination> {
    let has = |wanted: fn(&char) -> bool| unverified.chars().any(|c| wanted(&c));
    if unverified.is_empty() {
        return Err(InvalidDestination::Empty);
    }
    if unverified.len() > MAX_TEXT_BYTES {
        return Err(InvalidDestination::TooLong);
    }
    if has(|c| !c.is_ascii()) {
        return Err(InvalidDestination::NotAscii);
    }
    if has(|c| c.is_ascii_control() || *c == ' ') {
        return Err(InvalidDestination::Whitespace);
    }
    if has(|c| *c == '@') {
        return Err(InvalidDestination::UserInfo);
    }
    if has(|c| "/?#\\".contains(*c)) {
        return Err(InvalidDestination::Url);
    }
    if has(|c| *c == '%') {
        return Err(InvalidDestination::Percent);
    }
    Ok(())
}

/// What C libraries and browsers take for the last part of an IPv4 address: `1`, `017`, `0x7f`, `0x`.
fn is_number(label: &str) -> bool {
    let hexadecimal =
        label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|b| b.is_ascii_digit())
}

fn check_label(label: &str) -> Result<(), InvalidDestination> {
    if label.len() > MAX_LABEL_BYTES {
        return Err(InvalidDestination::TooLong);
    }
    if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(InvalidDestination::Character);
    }
    if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
        return Err(InvalidDestination::Label);
    }
    Ok(())
}

fn parse_ipv6(unverified: &str) -> Result<Ipv6Addr, InvalidDestination> {
    let lower = unverified.to_ascii_lowercase();
    let address: Ipv6Addr = lower.parse().map_err(|_| InvalidDestination::AddressNotation)?;
    if address.to_string() == lower { Ok(address) } else { Err(InvalidDestination::AddressNotation) }
}

impl FromStr for HostName {
    type Err = InvalidDestination;

    fn from_str(unverified: &str) -> Result<Self, InvalidDestination> {
        check_characters(unverified)?;
        let name = unverified.to_ascii_lowercase();
        if name.len() > MAX_NAME_BYTES {
            return Err(InvalidDestination::TooLong);
        }
        if name.ends_with('.') {
            return Err(InvalidDestination::TrailingDot);
        }
        let mut last = "";
        for label in name.split('.') {
            check_label(label)?;
            last = label;
        }
        if is_number(last) { Err(InvalidDestination::AlmostAddress) } else { Ok(Self(name)) }
    }
}

impl FromStr for Host {
    type Err = InvalidDestination;

    fn from_str(unverified: &str) -> Result<Self, InvalidDestination> {
        check_characters(unverified)?;
        if unverified.contains(['[', ']']) {
            return Err(InvalidDestination::Brackets);
        }
        if unverified.contains(':') {
            return parse_ipv6(unverified).map(IpAddr::V6).map(Self::Address);
        }
        // Rust's parser takes four decimal numbers without leading zeros, and prints the same.
        match unverified.parse::<Ipv4Addr>() {
            Ok(address) => Ok(Self::Address(IpAddr::V4(address))),
            Err(_) => unverified.parse().map(Self::Name),
        }
    }
}

impl FromStr for Destination {
    type Err = InvalidDestination;

    fn from_str(unverified: &str) -> Result<Self, InvalidDestination> {
        check_characters(unverified)?;
        let (host, port) = match unverified.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or(InvalidDestination::Brackets)?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => port,
                    None if rest.is_empty() => return Err(InvalidDestination::NoPort),
                    None => return Err(InvalidDestination::Brackets),
                };
                if !address.contains(':') {
                    return Err(InvalidDestination::Brackets);
                }
                (address.parse()?, port)
            }
            None => {
                let (host, port) = unverified.rsplit_once(':').ok_or(InvalidDestination::NoPort)?;
                if host.contains(':') {
                    return Err(InvalidDestination::Brackets);
                }
                (host.parse()?, port)
            }
        };
        Ok(Self { host, port: parse_port(port)? })
    }
}

impl Deref for HostName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => fmt::Display::fmt(name, f),
            Self::Address(address) => fmt::Display::fmt(address, f),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

text_form!(HostName Host Destination);

/// Reads the egress grants of a token: as many as one attempt may have, and one a destination, so that no
/// reader has to choose between two budgets.
///
/// # Errors
/// When there are more, or two for one destination.
pub(crate) fn read_egress_grants<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<EgressGrant>, D::Error> {
    let grants = Vec::<EgressGrant>::deserialize(deserializer)?;
    if grants.len() > MAX_EGRESS_GRANTS {
        return Err(de::Error::custom(format!("an attempt has at most {MAX_EGRESS_GRANTS} egress grants")));
    }
    for (place, grant) in grants.iter().enumerate() {
        if grants[..place].iter().any(|other| other.destination == grant.destination) {
            return Err(de::Error::custom(format!("{} is granted twice", grant.destination)));
        }
    }
    Ok(grants)
}

#[cfg(test)]
mod tests;
