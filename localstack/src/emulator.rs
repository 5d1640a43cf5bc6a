//! LocalStack, as the script has started it.

use trace_aws::{Aws, Keys, Patience, PlainHttp};
use trace_contracts::Secret;
use url::Url;

/// Says where LocalStack is.
const VARIABLE: &str = "TRACE_TEST_LOCALSTACK";
/// The region that everything here is in.
pub const REGION: &str = "us-east-1";
/// For whoever is not under test.
pub const PATIENCE: Patience = Patience {
    attempt: std::time::Duration::from_secs(30),
    operation: std::time::Duration::from_secs(60),
    tries: 3,
};

/// A running LocalStack.
#[derive(Debug, Clone)]
pub struct Emulator {
    endpoint: Url,
}

impl Emulator {
    /// The one that the script has started.
    ///
    /// # Panics
    /// When there is none: nothing here is skipped for want of it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "it is said in the environment, for tests alone")]
    pub fn here() -> Self {
        let endpoint = std::env::var(VARIABLE).unwrap_or_else(|_| {
            panic!("{VARIABLE} does not say where LocalStack is: run `make localstack`, which starts one")
        });
        Self { endpoint: endpoint.parse().unwrap_or_else(|error| panic!("{VARIABLE}={endpoint}: {error}")) }
    }

    /// Where it is.
    #[must_use]
    pub const fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// How it is reached.
    #[must_use]
    pub fn aws(&self) -> Aws {
        reached_at(&self.endpoint)
    }

    /// A client of Secrets Manager for the test itself.
    #[must_use]
    pub fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.aws().sdk(PATIENCE))
    }

    /// A client of SQS for the test itself.
    #[must_use]
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.aws().sdk(PATIENCE))
    }
}

/// LocalStack behind an address, such as a proxy's.
pub(crate) fn reached_at(endpoint: &Url) -> Aws {
    let keys = Keys { access_key_id: "test".to_owned(), secret_access_key: Secret::new("test".to_owned()) };
    // Unwrap safety: the region is one, and the address is of this machine.
    Aws::new(REGION, Some(endpoint.clone()), Some(keys), PlainHttp::Refuse).expect("loopback")
}
