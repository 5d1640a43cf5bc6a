//! Sessions of STS: `AssumeRole` with a session policy.
//!
//! A session can do what both the role and the session policy allow. It can't be ended: it runs out,
//! after fifteen minutes at the earliest.

mod failure;
mod name;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_sts::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    operation::assume_role::AssumeRoleOutput,
};
use chrono::DateTime;
use serde::Deserialize;
use trace_contracts::{AttemptId, Secret};
use url::Url;

use super::{
    CredentialMinter, Error, Rules, SessionKeys, SessionRequest,
    arn::{KmsKeyArn, RoleArn, StoreNames},
};
use crate::config::ObjectStore;
use failure::Failure;

/// AWS mints no shorter session.
pub const SHORTEST: Duration = Duration::from_secs(900);
/// What every role allows, and what one role that assumes another is held to.
const EVERY_ROLES: Duration = Duration::from_secs(3600);
/// Tries of one call, which the SDK spaces by itself.
const TRIES: u32 = 4;
/// Before the second try; doubled, and a random part of it.
const PAUSE: Duration = Duration::from_millis(200);
/// One try.
const TRY: Duration = Duration::from_secs(3);
/// All of them: callers of the dispatcher wait for ten seconds.
const CALL: Duration = Duration::from_secs(8);

/// How sessions are had from STS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The role whose sessions tasks get. The dispatcher's own identity, which is the one of
    /// `object_store`, must be allowed to assume it.
    pub role_arn: RoleArn,
    /// What the role's trust policy asks for as `sts:ExternalId`.
    #[serde(default)]
    pub external_id: Option<Secret<String>>,
    /// The key of KMS that the bucket's objects are encrypted with; absent where it is none of KMS. Sessions may
    /// have S3 use it, and use it for nothing else.
    #[serde(default)]
    pub kms_key: Option<KmsKeyArn>,
    /// The region to call; the object store's when absent.
    #[serde(default)]
    pub region: Option<String>,
    /// The address to call, for emulators; AWS's own for the region when absent.
    #[serde(default, deserialize_with = "crate::config::optional_url")]
    pub endpoint: Option<Url>,
    /// The role's `MaxSessionDuration`, in seconds: no longer session is asked for.
    #[serde(default = "every_roles")]
    pub longest_seconds: u64,
}

const fn every_roles() -> u64 {
    EVERY_ROLES.as_secs()
}

impl Config {
    /// What is wrong with it as a whole.
    #[must_use]
    pub fn wrong(&self) -> Option<String> {
        let key = self.kms_key.as_ref()?;
        let (role, key) = (self.role_arn.partition().as_str(), key.partition().as_str());
        (role != key).then(|| {
            format!(
                "`credentials.sts.kms_key` is in the partition {key} and `role_arn` in {role}: they are one"
            )
        })
    }
}

/// Mints sessions of one role.
#[derive(Debug)]
pub struct Sts {
    client: Client,
    role: RoleArn,
    external_id: Option<Secret<String>>,
    kms_key: Option<KmsKeyArn>,
    /// Seconds; lowered when the role turns out to allow less.
    longest: AtomicU64,
}

impl Sts {
    /// A client of STS. Nothing is sent yet.
    #[must_use]
    pub fn new(config: &Config, identity: &ObjectStore) -> Self {
        let region = Region::new(config.region.as_ref().unwrap_or(&identity.region).clone());
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(TRY)
            .operation_attempt_timeout(TRY)
            .operation_timeout(CALL)
            .build();
        let mut builder = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(trace_aws::identity(identity.keys.as_ref(), region.clone()))
            .region(region)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES).with_initial_backoff(PAUSE));
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        Self {
            client: Client::from_conf(builder.build()),
            role: config.role_arn.clone(),
            external_id: config.external_id.clone(),
            kms_key: config.kms_key.clone(),
            longest: AtomicU64::new(config.longest_seconds.max(SHORTEST.as_secs())),
        }
    }

    async fn assume(&self, request: &SessionRequest, duration: Duration) -> Result<SessionKeys, Failure> {
        let seconds = i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
        let output = self
            .client
            .assume_role()
            .role_arn(self.role.as_str())
            .role_session_name(name::session_name(request.attempt, request.task, request.org))
            .set_external_id(self.external_id.as_ref().map(|id| id.expose().clone()))
            .policy(&request.policy.document)
            .duration_seconds(seconds)
            .send()
            .await
            .map_err(|error| Failure::of(&error))?;
        keys(output)
    }

    /// Remembers that the role allows less than was asked for; answers what to ask for instead.
    fn lower(&self, refused: Duration) -> Option<Duration> {
        let lower = [EVERY_ROLES, SHORTEST].into_iter().find(|lower| *lower < refused)?;
        self.longest.fetch_min(lower.as_secs(), Ordering::Relaxed);
        tracing::warn!(
            role = %self.role, asked = refused.as_secs(), now = lower.as_secs(),
            "the role allows no sessions of that length; set `credentials.sts.longest_seconds` to its MaxSessionDuration, or raise that"
        );
        Some(lower)
    }
}

fn keys(output: AssumeRoleOutput) -> Result<SessionKeys, Failure> {
    let missing = || Failure::Passing("the answer has no credentials in it".to_owned());
    let keys = output.credentials.ok_or_else(missing)?;
    let expires_at = DateTime::from_timestamp(keys.expiration.secs(), 0).ok_or_else(missing)?;
    Ok(SessionKeys {
        access_key_id: keys.access_key_id,
        secret_access_key: Secret::new(keys.secret_access_key),
        session_token: Secret::new(keys.session_token),
        expires_at,
    })
}

#[async_trait]
impl CredentialMinter for Sts {
    fn rules(&self) -> Rules {
        let longest = Duration::from_secs(self.longest.load(Ordering::Relaxed));
        let names = StoreNames { partition: self.role.partition().clone(), kms_key: self.kms_key.clone() };
        Rules { names, shortest: SHORTEST, longest }
    }

    async fn mint(&self, request: SessionRequest) -> Result<SessionKeys, Error> {
        let mut duration = self.rules().within(request.duration);
        loop {
            let failure = match self.assume(&request, duration).await {
                Ok(keys) => return Ok(keys),
                Err(failure) => failure,
            };
            let is_too_long = matches!(failure, Failure::TooLong(_));
            match is_too_long.then(|| self.lower(duration)).flatten() {
                Some(lower) => duration = lower,
                None => return Err(failure.explain(&self.role, request.policy.chars(), duration)),
            }
        }
    }

    /// STS has no way to end a session.
    async fn revoke(&self, _attempt: AttemptId) -> Result<(), Error> {
        Ok(())
    }
}
