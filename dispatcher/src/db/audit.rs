//! `audit`, which is only ever appended to; a trigger refuses anything else.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, KeyId, OrgId, TaskId, UserId,
    wire::plane::{Actor, AuditEntry, AuditRecord, AuditVerdict, Plane},
};

use super::Error;

/// Appends entries in the caller's transaction.
///
/// # Errors
/// When the database fails.
pub async fn append(conn: &mut PgConnection, entries: &[AuditEntry]) -> Result<(), Error> {
    let actors: Vec<(Option<i64>, Option<i64>, Option<i64>)> =
        entries.iter().map(|entry| columns(entry.actor)).collect();
    sqlx::query!(
        "-- audit::append
        insert into audit (org_id, plane, user_id, task_id, attempt_id, action, object, verdict, detail, kid)
        select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[],
            $6::text[], $7::text[], $8::text[], $9::jsonb[], $10::text[])",
        &entries.iter().map(|entry| entry.org.get()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.plane.as_str().to_owned()).collect::<Vec<_>>(),
        &actors.iter().map(|actor| actor.0).collect::<Vec<_>>() as &[Option<i64>],
        &actors.iter().map(|actor| actor.1).collect::<Vec<_>>() as &[Option<i64>],
        &actors.iter().map(|actor| actor.2).collect::<Vec<_>>() as &[Option<i64>],
        &entries.iter().map(|entry| entry.action.clone()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.object.clone()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| verdict(entry.verdict).to_owned()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.detail.clone()).collect::<Vec<Value>>(),
        &entries.iter().map(|entry| entry.kid.as_ref().map(ToString::to_string)).collect::<Vec<_>>()
            as &[Option<String>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An entry's row.
struct Row {
    audit_id: i64,
    at: DateTime<Utc>,
    org_id: i64,
    plane: String,
    user_id: Option<i64>,
    task_id: Option<i64>,
    attempt_id: Option<i64>,
    action: String,
    object: String,
    verdict: String,
    detail: Value,
    kid: Option<String>,
}

impl TryFrom<Row> for AuditRecord {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let entry = AuditEntry {
            plane: plane(&row.plane)?,
            org: OrgId::from_db(row.org_id),
            actor: actor(row.user_id, row.task_id, row.attempt_id),
            action: row.action,
            object: row.object,
            verdict: if row.verdict == "allow" { AuditVerdict::Allow } else { AuditVerdict::Deny },
            detail: row.detail,
            kid: row.kid.as_deref().map(super::keys::kid).transpose()?,
        };
        Ok(Self { audit_id: row.audit_id, at: row.at, entry })
    }
}

/// An org's entries after number `after`, oldest first.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn page(
    conn: &mut PgConnection,
    org: OrgId,
    after: i64,
    limit: i64,
) -> Result<Vec<AuditRecord>, Error> {
    let found = sqlx::query_as!(
        Row,
        "-- audit::page
        select audit_id, at, org_id, plane, user_id, task_id, attempt_id, action, object, verdict, detail, kid
        from audit where org_id = $1 and audit_id > $2 order by audit_id limit $3",
        org.get(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(AuditRecord::try_from).collect()
}

/// What was done and refused under capabilities that a key signed, in every org, after number `after`,
/// oldest first.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn of_key(
    conn: &mut PgConnection,
    kid: &KeyId,
    after: i64,
    limit: i64,
) -> Result<Vec<AuditRecord>, Error> {
    let found = sqlx::query_as!(
        Row,
        "-- audit::of_key
        select audit_id, at, org_id, plane, user_id, task_id, attempt_id, action, object, verdict, detail, kid
        from audit where kid = $1 and audit_id > $2 order by audit_id limit $3",
        kid.as_str(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(AuditRecord::try_from).collect()
}

const fn columns(actor: Actor) -> (Option<i64>, Option<i64>, Option<i64>) {
    match actor {
        Actor::User { user } => (Some(user.get()), None, None),
        Actor::Attempt { task, attempt } => (None, Some(task.get()), Some(attempt.get())),
        Actor::Platform => (None, None, None),
    }
}

fn actor(user: Option<i64>, task: Option<i64>, attempt: Option<i64>) -> Actor {
    let attempt = attempt.and_then(AttemptId::new).zip(task.and_then(TaskId::new));
    match (user.and_then(UserId::new), attempt) {
        (Some(user), _) => Actor::User { user },
        (None, Some((attempt, task))) => Actor::Attempt { task, attempt },
        (None, None) => Actor::Platform,
    }
}

const fn verdict(verdict: AuditVerdict) -> &'static str {
    match verdict {
        AuditVerdict::Allow => "allow",
        AuditVerdict::Deny => "deny",
    }
}

fn plane(text: &str) -> Result<Plane, Error> {
    [Plane::Dispatcher, Plane::Query, Plane::ObjectStore, Plane::Sandbox, Plane::Egress]
        .into_iter()
        .find(|plane| plane.as_str() == text)
        .ok_or_else(|| Error::corrupt("a plane", text))
}
