//! `/v1/keys`, `/v1/users` and `/v1/workers`: who and what has authority, and taking it away.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{KeyId, Role, UserId, WorkerId};

/// A reason has at most this many characters.
pub const REASON_CHARS: usize = 500;

/// Why something is done; it goes to the audit log. The body of `POST /v1/keys/rotate`,
/// `POST /v1/keys/{kid}/revoke`, `POST /v1/users/{user}/suspend`, `POST /v1/users/{user}/restore` and
/// `POST /v1/workers/{name}/revoke`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// For people: 1 to [`REASON_CHARS`] characters.
    pub reason: String,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It signs. One key does.
    Signing,
    /// It signs no more, and what it signed is believed until the overlap ends.
    Verifying,
    /// Its overlap is over: nothing that it signed can still be valid.
    Retired,
    /// Nothing that it signed is believed.
    Revoked,
}

impl KeyState {
    /// The name used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Verifying => "verifying",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key that signs capabilities, or did (`GET /v1/keys`, newest first).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyInfo {
    /// The key.
    pub kid: KeyId,
    /// Where it stands.
    pub state: KeyState,
    /// When it began to sign.
    pub signs_from: DateTime<Utc>,
    /// When it stopped: nothing was signed by it from then on.
    pub stopped_at: Option<DateTime<Utc>>,
    /// Until when what it signed is believed.
    pub retires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Why it was revoked.
    pub reason: Option<String>,
}

/// What a revocation has done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokeKeyReply {
    /// The key that is revoked.
    pub revoked: KeyInfo,
    /// The key that signs.
    pub signing: KeyInfo,
    /// Attempts that held a token of it, and were taken back. Their tasks run again.
    pub attempts_ended: u64,
}

/// A user of the org (`GET /v1/users`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserInfo {
    /// The user.
    pub user: UserId,
    /// Who issued their token.
    pub issuer: String,
    /// Who they are there.
    pub external_id: String,
    /// Their mail address.
    pub email: Option<String>,
    /// The role of their last token.
    pub role: Role,
    /// Since when they are suspended.
    pub suspended_at: Option<DateTime<Utc>>,
}

/// What a suspension has done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SuspendReply {
    /// The user, who is suspended.
    pub user: UserInfo,
    /// Runs of theirs that were cancelled.
    pub runs_cancelled: u64,
}

/// What revoking a worker has done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokeWorkerReply {
    /// The worker or plane.
    pub worker: WorkerId,
    /// Since when its token opens nothing.
    pub revoked_at: DateTime<Utc>,
    /// Its attempts that were taken back. Their tasks run again.
    pub attempts_ended: u64,
}
