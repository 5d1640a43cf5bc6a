//! A launch ticket has two redeemers: one of them is no runner of ours, and nobody can tell which.

use serde_json::json;
use trace_contracts::{
    OrgId,
    wire::{
        plane::{Actor, AuditEntry, AuditVerdict, Plane},
        worker::FailureReason,
    },
};

use crate::{
    App, db,
    db::leases::LeaseRow,
    task::{self, take_back::take_back},
};

/// What is done with a ticket, in the audit log.
pub const REDEEM: &str = "launch.redeem";

/// What the audit log says of a ticket.
#[must_use]
pub fn entry(org: OrgId, lease: &LeaseRow, verdict: AuditVerdict, why: &str) -> AuditEntry {
    AuditEntry {
        plane: Plane::Dispatcher,
        org,
        actor: Actor::Attempt { task: lease.task, attempt: lease.attempt },
        action: REDEEM.to_owned(),
        object: lease.attempt.to_string(),
        verdict,
        detail: json!({ "why": why }),
        kid: None,
    }
}

/// Ends an attempt whose ticket was shown by a second redeemer: what either of them was given is worth nothing
/// from the commit on. The task runs again, with another ticket. In one transaction with what the audit log
/// says of it; an attempt that is over by then is left as it is.
///
/// # Errors
/// When the database fails. Nothing has changed then.
pub async fn end_stolen(app: &App, org: OrgId, lease: &LeaseRow) -> Result<(), task::Error> {
    let why = "a second runner showed the launch ticket of this attempt";
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    db::audit::append(&mut tx, &[entry(org, lease, AuditVerdict::Deny, why)]).await?;
    let attempt = [(lease.attempt, lease.task)];
    take_back(&mut tx, &app.core, &attempt, FailureReason::TicketStolen, why).await?;
    tx.commit().await.map_err(db::Error::from)?;
    tracing::warn!(attempt = %lease.attempt, task = %lease.task, "{why}; it was ended");
    Ok(())
}
