//! Sessions of the embedded object store, as `trace up` wires them.

use async_trait::async_trait;
use trace_contracts::AttemptId;
use trace_dispatcher::credentials::{CredentialMinter, Error, SessionKeys, SessionRequest};
use trace_object_store::{MintRequest, SessionIssuer};

/// Mints and ends sessions of the store.
pub struct Sessions(pub SessionIssuer);

#[async_trait]
impl CredentialMinter for Sessions {
    async fn mint(&self, request: SessionRequest) -> Result<SessionKeys, Error> {
        let minted = self.0.mint(MintRequest {
            org: request.org,
            task: request.task,
            attempt: request.attempt,
            kid: request.kid,
            policy_json: request.policy.document,
            duration: request.duration,
        });
        let keys = minted.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(SessionKeys {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
            expires_at: keys.expires_at,
        })
    }

    async fn revoke(&self, attempt: AttemptId) -> Result<(), Error> {
        self.0.revoke(attempt);
        Ok(())
    }
}
