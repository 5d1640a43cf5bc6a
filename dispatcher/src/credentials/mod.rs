//! Keys for the object store that reach what a capability does, and no further.
//!
//! | what | where |
//! |---|---|
//! | what a capability means to the store | [`policy`], [`pack`] |
//! | sessions of AWS, or of whatever speaks STS | [`sts`] |
//! | one attempt's sessions, minted once and renewed in time | [`issue`] |
//! | presigned reads, where inputs do not fit into sessions | [`addresses`] |

pub mod addresses;
pub mod arn;
pub mod issue;
pub mod pack;
pub mod policy;
pub mod sts;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use trace_contracts::{AttemptId, KeyId, OrgId, Secret, TaskId};

pub use arn::{Partition, StoreNames};
pub use pack::Packed;
pub use policy::{ManifestPrefixes, SessionPolicy, session_policies};

/// Where sessions come from, as an operator configures it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nowhere: tasks read through the query service alone.
    #[default]
    None,
    /// STS: a role that the dispatcher assumes for each session.
    Sts(Box<sts::Config>),
}

/// A session to mint.
#[derive(Debug, Clone)]
pub struct SessionRequest {
    /// Whose data, for the store's audit entries.
    pub org: OrgId,
    /// The task, for the store's audit entries.
    pub task: TaskId,
    /// The attempt that it is for.
    pub attempt: AttemptId,
    /// The key that signed the capability it was asked for with, for the store's audit entries.
    pub kid: KeyId,
    /// What it may do.
    pub policy: SessionPolicy,
    /// How long it holds.
    pub duration: Duration,
}

/// The keys of a session.
#[derive(Debug, Clone)]
pub struct SessionKeys {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
    /// Session token.
    pub session_token: Secret<String>,
    /// When they expire.
    pub expires_at: DateTime<Utc>,
}

/// What a store's sessions can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What a policy calls what it is about.
    pub names: StoreNames,
    /// The shortest session.
    pub shortest: Duration,
    /// The longest session.
    pub longest: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        Self { names: StoreNames::default(), shortest: Duration::from_secs(1), longest: hours(12) }
    }
}

impl Rules {
    /// The session's length that is nearest to the wanted one.
    #[must_use]
    pub fn within(&self, wanted: Duration) -> Duration {
        wanted.min(self.longest).max(self.shortest)
    }
}

/// Why the store gave no session, or could not end one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// This installation has none to give.
    #[error("this installation hands out no object store credentials: read inputs through the query service")]
    NotOffered,
    /// The store, or whoever mints for it, can't be reached or failed.
    #[error("the object store gave no session: {0}")]
    Unavailable(String),
    /// Too many sessions were asked for, and waiting did not help.
    #[error("the object store mints too many sessions just now: {0}")]
    Throttled(String),
    /// The policy has too much in it, by whatever the store measures.
    #[error("a session policy of {chars} characters is too large for the object store: {reason}")]
    PolicyTooLarge {
        /// The policy's length.
        chars: usize,
        /// What the store says, with a percentage where it gives one.
        reason: String,
    },
    /// Nothing that waiting changes: an operator has to.
    #[error("the object store's sessions are set up wrong: {0}")]
    Setup(String),
}

/// Mints sessions of the object store: STS in AWS, the embedded store's own sessions on one machine.
#[async_trait]
pub trait CredentialMinter: Send + Sync {
    /// What sessions can be.
    fn rules(&self) -> Rules {
        Rules::default()
    }

    /// Mints one session, limited by its policy.
    ///
    /// # Errors
    /// See [`Error`].
    async fn mint(&self, request: SessionRequest) -> Result<SessionKeys, Error>;

    /// Ends every session of an attempt, where the store can; safe to repeat. Where it can't (STS),
    /// sessions run out by themselves, and manifests make that harmless.
    ///
    /// # Errors
    /// See [`Error`].
    async fn revoke(&self, attempt: AttemptId) -> Result<(), Error>;
}

/// Gives no sessions: tasks read through the query service alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueryServiceOnly;

#[async_trait]
impl CredentialMinter for QueryServiceOnly {
    async fn mint(&self, _request: SessionRequest) -> Result<SessionKeys, Error> {
        Err(Error::NotOffered)
    }

    async fn revoke(&self, _attempt: AttemptId) -> Result<(), Error> {
        Ok(())
    }
}
