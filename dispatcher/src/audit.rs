//! The audit log, as the dispatcher itself writes it. What a user did is written in the transaction
//! that does it, so that neither is there without the other.

use serde_json::{Value, json};
use sqlx::PgConnection;
use trace_contracts::{
    OrgId, UserId,
    wire::plane::{Actor, AuditEntry, AuditVerdict, Plane},
};

use crate::{
    db,
    permissions::{Act, Permit},
};

/// Objects are names, ids and addresses; a longer text is cut.
const MAX_OBJECT_CHARS: usize = 200;

/// Records what a user does, in the transaction that does it.
///
/// `object` is what it is done to, such as a DAG's name; `detail` holds figures and ids.
///
/// # Errors
/// When the database fails.
pub async fn record<A: Act>(
    tx: &mut PgConnection,
    permit: &Permit<A>,
    object: &str,
    detail: Value,
) -> Result<(), db::Error> {
    let entry = AuditEntry {
        plane: Plane::Dispatcher,
        org: permit.org(),
        actor: Actor::User { user: permit.user() },
        action: A::ACTION.as_str().to_owned(),
        object: cut(object),
        verdict: AuditVerdict::Allow,
        detail,
        kid: None,
    };
    db::audit::append(tx, &[entry]).await
}

/// What was refused to a user.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The user.
    pub user: UserId,
    /// Their org.
    pub org: OrgId,
    /// What they asked for.
    pub action: &'a str,
    /// To what.
    pub object: &'a str,
    /// Why, for people.
    pub why: &'a str,
}

/// Records a refusal. It has a transaction of its own, because the refused one changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn refused(conn: &mut PgConnection, refused: &Refused<'_>) -> Result<(), db::Error> {
    let entry = AuditEntry {
        plane: Plane::Dispatcher,
        org: refused.org,
        actor: Actor::User { user: refused.user },
        action: refused.action.to_owned(),
        object: cut(refused.object),
        verdict: AuditVerdict::Deny,
        detail: json!({ "why": refused.why }),
        kid: None,
    };
    db::audit::append(conn, &[entry]).await
}

fn cut(object: &str) -> String {
    object.chars().take(MAX_OBJECT_CHARS).collect()
}
