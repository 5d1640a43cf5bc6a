//! What is told to whoever keeps the audit log.

use async_trait::async_trait;
use trace_contracts::{AttemptId, KeyId, OrgId, TaskId};

/// One refusal, of a request that was signed with a session's own secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Whose data the attempt works on.
    pub org: OrgId,
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The key that signed the capability behind the session.
    pub kid: KeyId,
    /// The operation, such as `GetObject`.
    pub operation: String,
    /// The bucket that was asked for; empty where the operation has none.
    pub bucket: String,
    /// The key or the listed prefix, as it was asked for.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// Takes refusals. It is awaited before the refusal is answered, so it should be quick.
#[async_trait]
pub trait DenialSink: Send + Sync + 'static {
    /// Takes one.
    async fn denied(&self, denial: Denial);
}
