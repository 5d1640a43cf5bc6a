//! One audit row for each query, whatever became of it. Never the SQL, never data.

use std::time::Duration;

use serde_json::json;
use trace_contracts::{
    ErrorCode, Sha256,
    wire::plane::{AuditEntry, AuditVerdict, Plane},
};
use trace_plane::Refusal;

use crate::asking::{Asker, Done};

/// What is said of a query that was answered.
pub(crate) const OK: &str = "ok";

/// The row for a query of `asker` that ended in `outcome` after `took`.
pub(crate) fn entry(
    asker: &Asker,
    sql: &str,
    outcome: Result<&Done, &Refusal>,
    took: Duration,
) -> AuditEntry {
    let read = outcome.map(|done| done.tables.as_slice()).unwrap_or_default();
    let datasets: Vec<_> = asker
        .grants
        .iter()
        .filter(|(name, _)| read.contains(name))
        .map(|(name, grant)| json!({"name": name, "dataset": grant.dataset, "version": grant.version}))
        .collect();
    AuditEntry {
        plane: Plane::Query,
        org: asker.org,
        actor: asker.actor,
        action: "query".to_owned(),
        object: read.iter().map(|name| &**name).collect::<Vec<_>>().join(","),
        verdict: verdict(outcome),
        detail: json!({
            "reason": outcome.err().and_then(reason),
            "outcome": outcome.map_or_else(|refusal| code(refusal.code()), |_| json!(OK)),
            "datasets": datasets,
            "rows": outcome.map_or(0, |done| done.rows),
            "bytes": outcome.map_or(0, |done| done.bytes.len()),
            "sql_sha256": Sha256::of(sql.as_bytes()),
            "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }),
        kid: asker.kid.clone(),
    }
}

/// The row for an attempt whose capability is genuine and whose time is over.
pub(crate) fn refused(asker: &Asker, refusal: &Refusal) -> AuditEntry {
    AuditEntry {
        plane: Plane::Query,
        org: asker.org,
        actor: asker.actor,
        action: "query".to_owned(),
        object: String::new(),
        verdict: AuditVerdict::Deny,
        detail: json!({ "outcome": code(refusal.code()) }),
        kid: asker.kid.clone(),
    }
}

/// A query that ran and failed, or was too large, was allowed to be asked.
fn verdict(outcome: Result<&Done, &Refusal>) -> AuditVerdict {
    match outcome.map_err(Refusal::code) {
        Err(ErrorCode::SqlRefused | ErrorCode::Forbidden | ErrorCode::Revoked) => AuditVerdict::Deny,
        _ => AuditVerdict::Allow,
    }
}

/// What was denied: a name, which is not the SQL. Other refusals may quote the SQL, and say nothing.
fn reason(refusal: &Refusal) -> Option<&str> {
    (refusal.code() == ErrorCode::Forbidden).then(|| refusal.problem().detail.as_str())
}

fn code(code: ErrorCode) -> serde_json::Value {
    json!(code)
}
