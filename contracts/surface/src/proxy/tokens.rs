//! What opens the egress gateway to an attempt.

use async_trait::async_trait;
use trace_contracts::Secret;

/// Why there is no token for the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// The attempt may reach nothing outside, or not any more.
    #[error("{0}")]
    Refused(String),
    /// The dispatcher can't be asked right now.
    #[error(
        "the dispatcher can't be asked right now whether this task may reach anything outside; try again"
    )]
    Away,
}

/// Where tokens for the gateway come from. Code in a sandbox never sees them.
#[async_trait]
pub trait EgressTokens: Send + Sync {
    /// A token that the gateway takes now.
    ///
    /// # Errors
    /// See [`NoToken`].
    async fn current(&self) -> Result<Secret<String>, NoToken>;
}
