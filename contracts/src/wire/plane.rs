//! `/internal`, for planes (query service, object store, egress gateway): is an attempt alive, what
//! does a manifest say, who is this user, and the audit log. A plane shows its own identity.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    AttemptId, DatasetId, DatasetVersionId, KeyId, Name, OrgId, Problem, Role, Sha256, TaskId, UserId,
    WorkerId,
};

/// `POST /internal/liveness`: which of these attempts are over, which keys revoked, which users suspended?
/// Waits until one is, or `wait_ms` is up. With `wait_ms: 0` it is the first look; with a wait it is the feed
/// that a plane keeps open for exactly what it holds something for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivenessRequest {
    /// Up to [`limit::LIVENESS_ATTEMPTS`](super::limit::LIVENESS_ATTEMPTS).
    pub attempts: Vec<AttemptId>,
    /// The keys that signed what the plane was shown; as many at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyId>,
    /// Users for whom something runs; as many at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserId>,
    /// How long to wait for news, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
}

/// What of the request has lost its authority.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LivenessReply {
    /// Attempts without a lease: end what runs for them and refuse their tokens for good.
    pub dead: Vec<AttemptId>,
    /// Revoked: end what runs under tokens that they signed, and refuse these for good.
    #[serde(default)]
    pub revoked_keys: Vec<KeyId>,
    /// Suspended: end what runs for them.
    #[serde(default)]
    pub suspended_users: Vec<UserId>,
}

/// `POST /internal/users/resolve`: a verified user's token, as the registry sees the user now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveUserRequest {
    /// The user's own token: the dispatcher verifies it again.
    pub token: crate::Secret<String>,
}

/// What is answered: about the user. A refusal of the plane that asks is a problem with a status of its own,
/// so that the plane can tell whose fault it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UserResolution {
    /// The user may not, or their token proves nothing: what the plane tells them.
    Refused {
        /// With the code of a refusal, such as `forbidden` for somebody who is suspended.
        refused: Problem,
    },
    /// The user is known.
    Known(ResolveUserReply),
}

/// A user, and what they may read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResolveUserReply {
    /// The user.
    pub user: UserId,
    /// Their org.
    pub org: OrgId,
    /// Their role.
    pub role: Role,
    /// Every published dataset that they may read, at its current version.
    pub datasets: Vec<ReadableDataset>,
}

/// A dataset that a user may read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadableDataset {
    /// Its published name, which is the table's name in SQL.
    pub name: Name,
    /// The dataset.
    pub dataset: DatasetId,
    /// The current version.
    pub version: DatasetVersionId,
    /// The version's manifest.
    pub manifest: Sha256,
}

/// `POST /internal/identities/resolve`: whose token is it that a plane was shown?
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveIdentityRequest {
    /// The token of a worker or plane.
    pub token: crate::Secret<String>,
}

/// What is answered: about whoever showed the token, not about the plane that asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IdentityResolution {
    /// It is nobody's, or was revoked.
    Refused {
        /// With the code of a refusal.
        refused: Problem,
    },
    /// It is a worker's or a plane's.
    Known(ResolvedIdentity),
}

/// A worker or plane of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedIdentity {
    /// Its number.
    pub identity: WorkerId,
    /// The name that it was given.
    pub name: String,
    /// The platform's own org, in whose audit log it stands what it does.
    pub org: OrgId,
}

/// `POST /internal/audit`: what a plane did or refused. Written before the answer goes out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRequest {
    /// Up to [`limit::BATCH_ITEMS`](super::limit::BATCH_ITEMS).
    pub entries: Vec<AuditEntry>,
}

/// One entry of the audit log. The dispatcher adds the time and the number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Which plane.
    pub plane: Plane,
    /// Whose data or whose task.
    pub org: OrgId,
    /// Who did it.
    pub actor: Actor,
    /// What, such as `query` or `credentials.mint`.
    pub action: String,
    /// To what, such as a dataset's name or a key; never data.
    pub object: String,
    /// Allowed or denied.
    pub verdict: AuditVerdict,
    /// Figures and ids: rows, bytes, hash of the SQL. Never SQL, data or secrets.
    #[serde(default)]
    pub detail: serde_json::Value,
    /// The key that signed the capability behind it; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<KeyId>,
}

/// The planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// The dispatcher.
    Dispatcher,
    /// The query service.
    Query,
    /// The object store.
    ObjectStore,
    /// The sandbox of the worker.
    Sandbox,
    /// The egress gateway.
    Egress,
}

impl Plane {
    /// The name used in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Query => "query",
            Self::ObjectStore => "object_store",
            Self::Sandbox => "sandbox",
            Self::Egress => "egress",
        }
    }
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A user.
    User {
        /// The user.
        user: UserId,
    },
    /// An attempt at a task.
    Attempt {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: AttemptId,
    },
    /// The platform itself.
    Platform,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    /// It was done.
    Allow,
    /// It was refused.
    Deny,
}

/// One entry as it is read back (`GET /v1/audit`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The entry's number; grows.
    pub audit_id: i64,
    /// When it was written, by the database's clock.
    pub at: DateTime<Utc>,
    /// The entry.
    #[serde(flatten)]
    pub entry: AuditEntry,
}
