//! From a destination to the permit to dial it.

use trace_contracts::Destination;

use crate::{
    policy::{Admitted, Denied, Policy, Vetted},
    resolve::Resolver,
};

/// Decides; whatever dials out shares it.
pub struct Vetter {
    /// What is allowed.
    pub policy: Policy,
    /// Who resolves.
    pub resolver: Resolver,
}

impl Vetter {
    /// Judges the host, resolves it once, and judges every address.
    ///
    /// # Errors
    /// The rule that refuses it, and the addresses that were found.
    pub async fn vet(&self, destination: &Destination) -> Result<Vetted, Denied> {
        let addresses = match self.policy.admit(&destination.host)? {
            Admitted::Address(address) => vec![address],
            Admitted::Name(name) => self.resolver.addresses(name).await?,
        };
        self.policy.vet(destination, addresses)
    }
}
