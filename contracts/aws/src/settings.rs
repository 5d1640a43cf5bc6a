//! Where AWS is, and how long it may take.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use serde::{Deserialize, Deserializer, de};
use trace_contracts::Secret;
use trace_plane::outgoing::{PlainHttp, is_of_this_machine};
use url::Url;

use crate::identity::identity;

/// How one service of AWS is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Unverified")]
pub struct Aws {
    region: String,
    endpoint: Option<Url>,
    keys: Option<Keys>,
}

/// Keys of an identity, where the machine itself has none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unverified {
    region: String,
    #[serde(default, deserialize_with = "some_url")]
    endpoint: Option<Url>,
    #[serde(default)]
    keys: Option<Keys>,
    #[serde(default)]
    plain_http: PlainHttp,
}

/// Why the settings were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No region.
    #[error("`{0}` is no region of AWS, such as `eu-central-1`")]
    Region(String),
    /// An endpoint that is not HTTP.
    #[error("`{0}` is no address of AWS: expected https://HOST/")]
    Address(String),
    /// An endpoint without TLS.
    #[error(
        "`{0}` would be called without TLS, and it is not on this machine: use https, or set `plain_http: allow` where you know who listens on the way"
    )]
    PlainHttp(String),
}

impl Aws {
    /// AWS itself in a region, or what speaks like it at `endpoint`. Without keys the identity is the one that
    /// the machine has.
    ///
    /// # Errors
    /// When the region is none, or the endpoint would be called without TLS although it is not on this machine.
    pub fn new(
        region: &str,
        endpoint: Option<Url>,
        keys: Option<Keys>,
        plain_http: PlainHttp,
    ) -> Result<Self, Error> {
        let is_of_a_region = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if region.is_empty() || region.len() > 32 || !region.bytes().all(is_of_a_region) {
            return Err(Error::Region(region.chars().take(40).collect()));
        }
        if let Some(endpoint) = &endpoint {
            check(endpoint, plain_http)?;
        }
        Ok(Self { region: region.to_owned(), endpoint, keys })
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// What every client of the SDK is made of. Nothing is sent yet.
    #[must_use]
    pub fn sdk(&self, patience: Patience) -> SdkConfig {
        let region = Region::new(self.region.clone());
        let credentials = identity(self.keys.as_ref(), region.clone());
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(patience.attempt.min(CONNECT))
            .operation_attempt_timeout(patience.attempt)
            .operation_timeout(patience.operation)
            .build();
        let retries = RetryConfig::standard().with_max_attempts(patience.tries).with_initial_backoff(PAUSE);
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .credentials_provider(credentials)
            .timeout_config(timeouts)
            .retry_config(retries);
        if let Some(endpoint) = &self.endpoint {
            sdk = sdk.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        sdk.build()
    }
}

/// A connection is made within this time.
const CONNECT: Duration = Duration::from_secs(3);
/// Before the second try; doubled, and a random part of it.
const PAUSE: Duration = Duration::from_millis(200);

/// How long calls may take, and how often they are tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// One try.
    pub attempt: Duration,
    /// All of them.
    pub operation: Duration,
    /// At most so many.
    pub tries: u32,
}

impl TryFrom<Unverified> for Aws {
    type Error = Error;

    fn try_from(unverified: Unverified) -> Result<Self, Error> {
        let Unverified { region, endpoint, keys, plain_http } = unverified;
        Self::new(&region, endpoint, keys, plain_http)
    }
}

fn check(endpoint: &Url, plain_http: PlainHttp) -> Result<(), Error> {
    if endpoint.host().is_none() {
        return Err(Error::Address(endpoint.to_string()));
    }
    match endpoint.scheme() {
        "https" => Ok(()),
        "http" if is_of_this_machine(endpoint) || plain_http == PlainHttp::Allow => Ok(()),
        "http" => Err(Error::PlainHttp(endpoint.to_string())),
        _ => Err(Error::Address(endpoint.to_string())),
    }
}

fn some_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let unverified = String::deserialize(deserializer)?;
    unverified.parse().map(Some).map_err(|_| de::Error::custom(Error::Address(unverified)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Aws, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_region_is_enough_and_secrets_are_not_shown() {
        let aws = read(r#"{"region": "eu-central-1"}"#).unwrap();
        assert_eq!((aws.region(), aws.keys.is_none()), ("eu-central-1", true));
        let keys = r#"{"region": "x", "keys": {"access_key_id": "AKIA", "secret_access_key": "hunter2"}}"#;
        let shown = format!("{:?}", read(keys).unwrap());
        assert!(shown.contains("AKIA") && !shown.contains("hunter2"), "{shown}");
        assert!(read(r#"{"region": "x", "regoin": "y"}"#).is_err());
        assert!(read(r#"{"region": "a b"}"#).unwrap_err().contains("no region"));
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_allowed() {
        let at = |endpoint: &str, rest: &str| {
            read(&format!(r#"{{"region": "x", "endpoint": "{endpoint}"{rest}}}"#))
        };
        for here in
            ["http://127.0.0.1:4566", "http://127.8.9.10/", "http://[::1]:1/", "http://localhost:4566"]
        {
            assert!(at(here, "").is_ok(), "{here}");
        }
        for away in
            ["http://10.0.0.1/", "http://sqs.example/", "http://localhost.example/", "http://0.0.0.0/"]
        {
            assert!(at(away, "").unwrap_err().contains("without TLS"), "{away}");
            assert!(at(away, r#", "plain_http": "allow""#).is_ok(), "{away}");
        }
        assert!(at("https://vpce-1.sqs.eu-central-1.vpce.amazonaws.com", "").is_ok());
        for bad in ["ftp://127.0.0.1/", "unix:/x", "x"] {
            assert!(at(bad, "").is_err(), "{bad}");
        }
    }
}
