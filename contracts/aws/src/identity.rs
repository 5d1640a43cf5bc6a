//! As whom AWS is called.

use std::fmt;

use aws_config::{Region, default_provider::credentials::DefaultCredentialsChain};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, future},
};
use tokio::sync::OnceCell;

use crate::Keys;

/// Who signs: whoever has these keys, or without them the identity that the machine has.
#[must_use]
pub fn identity(keys: Option<&Keys>, region: Region) -> SharedCredentialsProvider {
    match keys {
        Some(keys) => SharedCredentialsProvider::new(Credentials::new(
            keys.access_key_id.clone(),
            keys.secret_access_key.expose().clone(),
            None,
            None,
            "configuration",
        )),
        None => SharedCredentialsProvider::new(OfTheMachine::new(region)),
    }
}

/// The identity that the machine has: variables, a profile, the role of an ECS task or an EC2 instance. It is
/// looked for when it is first needed, and renewed by the SDK before it ends.
struct OfTheMachine {
    region: Region,
    chain: OnceCell<DefaultCredentialsChain>,
}

impl OfTheMachine {
    fn new(region: Region) -> Self {
        Self { region, chain: OnceCell::new() }
    }
}

impl fmt::Debug for OfTheMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfTheMachine")
    }
}

impl ProvideCredentials for OfTheMachine {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let region = self.region.clone();
            let make = || DefaultCredentialsChain::builder().region(region).build();
            self.chain.get_or_init(make).await.provide_credentials().await
        })
    }
}
