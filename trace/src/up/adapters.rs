//! Between the embedded object store and the ports of the dispatcher: sessions one way, refusals the
//! other.

use std::sync::OnceLock;

use async_trait::async_trait;
use trace_contracts::{
    AttemptId,
    wire::plane::{Actor, AuditEntry, AuditVerdict, Plane},
};
use trace_dispatcher::credentials::{self, CredentialMinter, SessionKeys, SessionRequest};
use trace_plane::PlaneClient;

use crate::embedded::object_store::{Denial, DenialSink, MintRequest, SessionIssuer};

/// Bytes of a key that an audit entry holds; a hostile one may be as long as a request.
const MAX_OBJECT_BYTES: usize = 1024;

/// Mints sessions of the embedded object store.
pub(super) struct EmbeddedSessions(pub SessionIssuer);

#[async_trait]
impl CredentialMinter for EmbeddedSessions {
    async fn mint(&self, request: SessionRequest) -> Result<SessionKeys, credentials::Error> {
        let minted = self.0.mint(MintRequest {
            org: request.org,
            task: request.task,
            attempt: request.attempt,
            kid: request.kid,
            policy_json: request.policy.document,
            duration: request.duration,
        });
        let keys = minted.map_err(|error| credentials::Error::Unavailable(error.to_string()))?;
        Ok(SessionKeys {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
            expires_at: keys.expires_at,
        })
    }

    async fn revoke(&self, attempt: AttemptId) -> Result<(), credentials::Error> {
        self.0.revoke(attempt);
        Ok(())
    }
}

/// Writes the store's refusals to the audit log. The store starts before the dispatcher does, so
/// the way there is given later; no attempt can be refused before that.
#[derive(Default)]
pub(super) struct AuditedDenials(OnceLock<PlaneClient>);

impl AuditedDenials {
    /// From now on refusals are written with this client.
    pub fn write_with(&self, client: PlaneClient) {
        // It is called once; a second client would be as good as the first.
        let _ = self.0.set(client);
    }
}

#[async_trait]
impl DenialSink for AuditedDenials {
    async fn denied(&self, denial: Denial) {
        let entry = entry(denial);
        let Some(client) = self.0.get() else {
            tracing::error!(?entry, "the object store refused a request before there was an audit log");
            return;
        };
        if let Err(refusal) = client.audit(vec![entry]).await {
            tracing::error!(?refusal, "a refusal of the object store could not be written to the audit log");
        }
    }
}

fn entry(denial: Denial) -> AuditEntry {
    let mut object = format!("s3://{}/{}", denial.bucket, denial.key);
    object.truncate(object.floor_char_boundary(MAX_OBJECT_BYTES));
    AuditEntry {
        plane: Plane::ObjectStore,
        org: denial.org,
        actor: Actor::Attempt { task: denial.task, attempt: denial.attempt },
        action: denial.operation,
        object,
        verdict: AuditVerdict::Deny,
        detail: serde_json::json!({ "reason": denial.reason }),
        kid: Some(denial.kid),
    }
}

#[cfg(test)]
mod tests {
    use trace_contracts::{OrgId, TaskId};

    use super::*;

    #[test]
    fn a_refusal_is_told_with_who_and_what_and_not_at_any_length() {
        let denial = |key: &str| Denial {
            org: OrgId::from_db(1),
            task: TaskId::from_db((1 << 20) + 12),
            attempt: AttemptId::from_db(40),
            kid: "k1".parse().unwrap(),
            operation: "GetObject".to_owned(),
            bucket: "trace".to_owned(),
            key: key.to_owned(),
            reason: "outside of the session".to_owned(),
        };
        insta::assert_json_snapshot!(entry(denial("data/o2/secret.parquet")));
        let long = entry(denial(&"ä".repeat(4000)));
        assert!(long.object.len() <= MAX_OBJECT_BYTES && long.object.len() > MAX_OBJECT_BYTES - 4);
    }
}
