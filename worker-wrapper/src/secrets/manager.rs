//! Secrets of AWS Secrets Manager, named `/ENVIRONMENT/ORG/NAME`, such as `/dev/o1/warehouse`.
//!
//! `ORG` is the org's id, which is given out once and never `platform`: that folder holds the services' own secrets.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use serde::{Deserialize, Deserializer, de};
use tokio::time::Instant;
use trace_aws::{Aws, Failure, Kind, Patience};
use trace_contracts::{Name, OrgId, Secret};

use super::{Error, SecretStore, value};

const SERVICE: &str = "Secrets Manager";
const CALL: &str = "GetSecretValue";
/// An attempt waits for its secrets no longer than this, and is tried again elsewhere.
const PATIENCE: Patience =
    Patience { attempt: Duration::from_secs(3), operation: Duration::from_secs(8), tries: 3 };
/// A value is believed for an hour at most.
const MAX_CACHE_SECONDS: u64 = 3_600;
/// Values remembered; past that all are forgotten.
const MAX_REMEMBERED: usize = 1_000;

/// Where Secrets Manager is, and what of it is this platform's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How it is reached.
    pub aws: Aws,
    /// The first part of every secret's name, such as `dev`.
    pub environment: Environment,
    /// How long a value is used without asking again, in seconds: so much later a rotated one counts.
    #[serde(default = "default_cache_seconds", deserialize_with = "cache_seconds")]
    pub cache_seconds: u64,
}

/// The name of an environment: lower-case letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment(String);

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let unverified = String::deserialize(deserializer)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if unverified.is_empty() || unverified.len() > 32 || !unverified.bytes().all(plain) {
            let why = "an environment has lower-case letters, digits and `-`, such as `dev`, 32 at most";
            return Err(de::Error::custom(why));
        }
        Ok(Self(unverified))
    }
}

const fn default_cache_seconds() -> u64 {
    60
}

fn cache_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        seconds @ ..=MAX_CACHE_SECONDS => Ok(seconds),
        _ => Err(de::Error::custom(
            "`cache_seconds` is an hour at most: a rotated secret counts so much later",
        )),
    }
}

/// One secret: read by one at a time, so that many attempts at once ask for it once.
type Place = Arc<tokio::sync::Mutex<Option<Held>>>;

struct Held {
    value: Secret<String>,
    until: Instant,
}

/// Reads secrets of Secrets Manager, and remembers them for a short while.
pub struct SecretsManager {
    client: Client,
    environment: Environment,
    cache: Duration,
    held: Mutex<HashMap<(OrgId, Name), Place>>,
}

impl SecretsManager {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            client: Client::new(&config.aws.sdk(PATIENCE)),
            environment: config.environment.clone(),
            cache: Duration::from_secs(config.cache_seconds),
            held: Mutex::default(),
        }
    }

    fn place(&self, org: OrgId, name: &Name) -> Place {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MAX_REMEMBERED && !held.contains_key(&(org, name.clone())) {
            held.clear();
        }
        Arc::clone(held.entry((org, name.clone())).or_default())
    }

    async fn fetch(&self, org: OrgId, name: &Name) -> Result<Secret<String>, Error> {
        let id = format!("/{}/{org}/{name}", self.environment.0);
        let answer = self.client.get_secret_value().secret_id(&id).send().await;
        let answer = answer.map_err(|error| explain(name, &id, &Failure::of(SERVICE, CALL, &error)))?;
        let Some(text) = answer.secret_string else {
            let why =
                format!("is not text: in {SERVICE}, {id} holds bytes, and `SecretString` is what is read");
            return Err(Error::unavailable(name, why));
        };
        value::parse(text.into_bytes()).map_err(|why| Error::unavailable(name, why))
    }
}

/// The log has what the service said; the task's owner is told what to do.
fn explain(name: &Name, id: &str, failure: &Failure) -> Error {
    tracing::error!(secret = id, error = %failure, "a secret can't be read");
    let log = "the log of the worker says more";
    match failure.kind() {
        Kind::Away => Error::away(name, format!("{SERVICE} gives no answer; {log}")),
        Kind::Throttled => Error::away(name, format!("{SERVICE} takes no more calls just now; {log}")),
        Kind::Identity => Error::away(
            name,
            format!("{SERVICE} does not know this worker's identity, or its keys have expired; {log}"),
        ),
        Kind::Missing => {
            let how = "an operator of the platform creates it there";
            Error::unavailable(name, format!("is not there: {SERVICE} has no {id}; {how}"))
        }
        Kind::Denied => {
            let how =
                "an operator of the platform allows `secretsmanager:GetSecretValue` on it, see docs/aws.md";
            Error::unavailable(
                name,
                format!("may not be read by this worker: {SERVICE} denies {id}; {how}; {log}"),
            )
        }
        Kind::Refused => Error::unavailable(name, format!("is not given out: {SERVICE} refuses {id}; {log}")),
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn value(&self, org: OrgId, name: &Name) -> Result<Secret<String>, Error> {
        let place = self.place(org, name);
        let mut held = place.lock().await;
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.until) {
            return Ok(held.value.clone());
        }
        // What is past its time is not used while the service is away: it may have been taken back.
        *held = None;
        let until = Instant::now() + self.cache;
        let value = self.fetch(org, name).await?;
        *held = Some(Held { value: value.clone(), until });
        Ok(value)
    }
}
