//! The decision: may these addresses be dialled for this destination?
//!
//! ```text
//! Destination ─► host rules ─► resolve, once ─► every address judged ─► Vetted ─► dial
//! ```
//! [`Vetted`] has private fields and is made here alone. Whoever dials takes it, and nothing else: no
//! name is looked up twice, so there is no second answer that nobody judged.

mod embedded;
pub mod file;
mod names;
mod registry;
pub mod rule;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use trace_contracts::{Destination, Host, HostName};
use trace_controls::{Protection, stands};

pub use self::{
    file::File,
    rule::{Block, Malformed, Rule},
};

/// A name has at most this many addresses.
const MAX_ADDRESSES: usize = 32;

/// Where clouds serve credentials, and their resolvers, to whoever asks from inside. Some of these lie in
/// blocks that an operator could allow, and one (Azure's) in public space.
const METADATA_V4: [Ipv4Addr; 8] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google, Azure, Oracle, DigitalOcean, OpenStack
    Ipv4Addr::new(169, 254, 169, 253), // AWS, the resolver
    Ipv4Addr::new(169, 254, 170, 2),   // AWS, containers
    Ipv4Addr::new(169, 254, 170, 23),  // AWS, pods
    Ipv4Addr::new(169, 254, 42, 42),   // Scaleway
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
    Ipv4Addr::new(168, 63, 129, 16),   // Azure, the host
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle
];
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253), // AWS, the resolver
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS, pods
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),   // Scaleway
];

/// What the operator and the registries say.
#[derive(Debug, Clone, Default)]
pub struct Policy(File);

/// Why addresses may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// All of them are on the public Internet.
    Public,
    /// Some are not, and the operator allows these.
    AllowedPrivate,
}

/// The permit to dial: addresses that were judged for a destination. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vetted {
    destination: Destination,
    addresses: Vec<SocketAddr>,
    permission: Permission,
}

/// A refusal, with the addresses that were found before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub rule: Rule,
    /// What the name resolved to, for the audit log alone.
    pub addresses: Vec<IpAddr>,
}

/// What has to be done to know the addresses of a host that may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted<'a> {
    /// Look this name up.
    Name(&'a HostName),
    /// It is one.
    Address(IpAddr),
}

impl Permission {
    /// The name; stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::AllowedPrivate => "allowed_private",
        }
    }
}

impl From<Rule> for Denied {
    fn from(rule: Rule) -> Self {
        Self { rule, addresses: Vec::new() }
    }
}

impl Vetted {
    /// For which destination.
    #[must_use]
    pub const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What may be dialled.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Why.
    #[must_use]
    pub const fn permission(&self) -> Permission {
        self.permission
    }
}

impl Policy {
    /// The registries, and what an operator's file adds.
    #[must_use]
    pub const fn new(file: File) -> Self {
        Self(file)
    }

    /// Says what private places are allowed, so that nobody overlooks it.
    pub fn log(&self) {
        let (hosts, networks) = (&self.0.allow_private.hosts, &self.0.allow_private.networks);
        if !hosts.is_empty() || !networks.is_empty() {
            tracing::warn!(?hosts, ?networks, "the operator's file allows private places");
        }
    }

    /// Judges a host before anything is looked up.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn admit<'a>(&self, host: &'a Host) -> Result<Admitted<'a>, Rule> {
        let name = match host {
            Host::Address(address) => return Ok(Admitted::Address(*address)),
            Host::Name(name) => name,
        };
        if stands(Protection::CloudMetadata) && names::is_metadata(name) {
            return Err(Rule::CloudMetadata);
        }
        if self.0.deny.has_host(name) {
            return Err(Rule::DeniedHost);
        }
        if names::is_special(name) && !self.0.allow_private.has_host(name) {
            return Err(Rule::SpecialName);
        }
        Ok(Admitted::Name(name))
    }

    /// Judges every address that a destination has. One that is refused refuses all: a name that is half
    /// private is somebody's attempt.
    ///
    /// # Errors
    /// The rule that refuses one of them.
    pub fn vet(&self, destination: &Destination, addresses: Vec<IpAddr>) -> Result<Vetted, Denied> {
        let judged = self.judge_all(&addresses);
        match judged {
            Ok(permission) => Ok(Vetted {
                destination: destination.clone(),
                addresses: addresses
                    .into_iter()
                    .map(|address| SocketAddr::new(address, destination.port()))
                    .collect(),
                permission,
            }),
            Err(rule) => Err(Denied { rule, addresses }),
        }
    }

    fn judge_all(&self, addresses: &[IpAddr]) -> Result<Permission, Rule> {
        if addresses.is_empty() {
            return Err(Rule::NameNotFound);
        }
        if addresses.len() > MAX_ADDRESSES {
            return Err(Rule::TooManyAddresses);
        }
        let mut permission = Permission::Public;
        for address in addresses {
            if self.judge(*address)? == Permission::AllowedPrivate {
                permission = Permission::AllowedPrivate;
            }
        }
        Ok(permission)
    }

    /// Judges one address, and what is embedded in it.
    fn judge(&self, address: IpAddr) -> Result<Permission, Rule> {
        let embedded = embedded::ipv4(address);
        let seen = || std::iter::once(address).chain(embedded.iter().copied().map(IpAddr::V4));
        if stands(Protection::CloudMetadata) && seen().any(is_metadata) {
            return Err(Rule::CloudMetadata);
        }
        if seen().any(|address| contains(&self.0.deny.networks, address)) {
            return Err(Rule::DeniedNetwork);
        }
        let block = registry::special(address).filter(|_| stands(Protection::PublicAddresses));
        let Some(block) = block else { return Ok(Permission::Public) };
        if !contains(&self.0.allow_private.networks, address) {
            return Err(Rule::Special(block));
        }
        // A translator's network may be allowed; what lies behind it is judged for itself.
        for address in embedded {
            self.judge(IpAddr::V4(address))?;
        }
        Ok(Permission::AllowedPrivate)
    }
}

fn contains(networks: &[ipnet::IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => METADATA_V4.contains(&address),
        IpAddr::V6(address) => METADATA_V6.contains(&address),
    }
}
