//! Keys for the object store that reach what a capability does, and no further.

pub mod policy;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use trace_contracts::{AttemptId, KeyId, OrgId, Secret, TaskId};

pub use policy::{ManifestPrefixes, SessionPolicy, session_policies};

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

/// Why the store gave no session, or could not end one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This installation has none to give.
    #[error("this installation hands out no object store credentials: read inputs through the query service")]
    NotOffered,
    /// The store, or whoever mints for it, failed.
    #[error("the object store gave no session: {0}")]
    Unavailable(String),
}

/// Mints sessions of the object store: STS in AWS, the embedded store's own sessions on one machine.
#[async_trait]
pub trait CredentialMinter: Send + Sync {
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
