//! `egress-gateway check`: what the decision would be, without connecting.

use std::{fmt, net::IpAddr};

use serde::Serialize;
use trace_contracts::Destination;

use crate::{
    policy::{Admitted, Denied, Policy, Rule},
    resolve::Resolver,
};

/// The port where none is given.
const HTTPS: u16 = 443;

/// What would be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it would be dialled.
    pub verdict: Allowed,
    /// By which rule.
    pub rule: &'static str,
    /// What it resolves to.
    pub addresses: Vec<IpAddr>,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// It would be dialled.
    Allow,
    /// It would be refused.
    Deny,
}

impl Verdict {
    fn denied(denied: Denied) -> Self {
        Self { verdict: Allowed::Deny, rule: denied.rule.as_str(), addresses: denied.addresses }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.verdict == Allowed::Allow { "allow" } else { "deny" };
        write!(f, "{verdict} ({})", self.rule)?;
        self.addresses.iter().try_for_each(|address| write!(f, " {address}"))
    }
}

/// Judges `HOST[:PORT]` as if it were granted. Names are looked up; without a resolver they count as
/// unanswered.
pub async fn check(unverified: &str, policy: &Policy, resolver: Option<&Resolver>) -> Verdict {
    let judged = async {
        let destination =
            Destination::parse_with_default_port(unverified, HTTPS).map_err(Rule::Unreadable)?;
        let addresses = match policy.admit(&destination.host)? {
            Admitted::Address(address) => vec![address],
            Admitted::Name(name) => match resolver {
                Some(resolver) => resolver.addresses(name).await?,
                None => return Err(Rule::NameUnanswered.into()),
            },
        };
        policy.vet(&destination, addresses)
    };
    match judged.await {
        Ok(vetted) => Verdict {
            verdict: Allowed::Allow,
            rule: vetted.permission().as_str(),
            addresses: vetted.addresses().iter().map(std::net::SocketAddr::ip).collect(),
        },
        Err(denied) => Verdict::denied(denied),
    }
}
