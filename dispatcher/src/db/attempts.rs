//! `attempts`: what ran.

use sqlx::PgConnection;
use trace_contracts::{AttemptId, WorkerId, wire::worker::Fence};

use super::{
    Error,
    leases::{FenceColumns, FenceKey, ShownFence},
};
use crate::lease::Held;

/// How a held lease ends.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The lease.
    pub held: &'a Held,
    /// `succeeded`, or the failure's reason.
    pub outcome: &'a str,
    /// Why, for people.
    pub detail: Option<&'a str>,
}

/// An attempt that ended, found by its fence.
#[derive(Debug, Clone)]
pub struct EndedRow {
    /// The fence.
    pub fence: FenceKey,
    /// `succeeded`, or the failure's reason.
    pub outcome: String,
    /// Why, for people.
    pub detail: Option<String>,
}

/// Moves leases to `attempts`, for attempts that end without a commit.
///
/// # Errors
/// When the database fails, or one of the leases is gone although it was held.
pub async fn end(conn: &mut PgConnection, endings: &[Ending<'_>]) -> Result<(), Error> {
    let attempts: Vec<i64> = endings.iter().map(|ending| ending.held.attempt.get()).collect();
    let outcomes: Vec<String> = endings.iter().map(|ending| ending.outcome.to_owned()).collect();
    let details: Vec<Option<String>> =
        endings.iter().map(|ending| ending.detail.map(ToOwned::to_owned)).collect();
    let moved = sqlx::query!(
        "-- attempts::end
        with ending as (
            select * from unnest($1::bigint[], $2::text[], $3::text[]) as e(attempt_id, outcome, detail)
        ), ended as (
            delete from leases where attempt_id = any($1)
            returning attempt_id, task_id, worker_id, lease_token, started_at
        )
        insert into attempts (attempt_id, task_id, worker_id, lease_token, started_at, outcome, detail)
        select d.attempt_id, d.task_id, d.worker_id, d.lease_token, d.started_at, e.outcome, e.detail
        from ended d join ending e on e.attempt_id = d.attempt_id",
        &attempts,
        &outcomes,
        &details as &[Option<String>]
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a lease that ends", endings.len(), moved)
}

/// The attempts that ended under these fences, with a commit or without.
///
/// # Errors
/// When the database fails.
pub async fn ended(conn: &mut PgConnection, shown: &[ShownFence]) -> Result<Vec<EndedRow>, Error> {
    let FenceColumns { attempts, tokens, workers, tasks } = FenceColumns::of(shown);
    let found = sqlx::query!(
        r#"-- attempts::ended
        with f as (
            select * from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[])
                as f(attempt_id, lease_token, worker_id, task_id)
        )
        select a.attempt_id as "attempt_id!", a.lease_token as "lease_token!", a.worker_id as "worker_id!",
            a.outcome as "outcome!", a.detail
        from f join attempts a on a.attempt_id = f.attempt_id and a.lease_token = f.lease_token
            and a.worker_id = f.worker_id and a.task_id = f.task_id
        union all
        select c.attempt_id, c.lease_token, c.worker_id, 'succeeded', null
        from f join commits c on c.task_id = f.task_id and c.attempt_id = f.attempt_id
            and c.lease_token = f.lease_token and c.worker_id = f.worker_id"#,
        &attempts,
        &tokens,
        &workers,
        &tasks
    )
    .fetch_all(conn)
    .await?;
    let rows = found.into_iter().map(|row| EndedRow {
        fence: (AttemptId::from_db(row.attempt_id), row.lease_token, WorkerId::from_db(row.worker_id)),
        outcome: row.outcome,
        detail: row.detail,
    });
    Ok(rows.collect())
}

/// Whether the fence is that of a lease that holds; for what only adds, such as log lines.
///
/// # Errors
/// When the database fails.
pub async fn is_current(conn: &mut PgConnection, shown: &ShownFence) -> Result<Option<Current>, Error> {
    let Fence { task, attempt, lease_token } = shown.fence;
    let found = sqlx::query_scalar!(
        "-- attempts::is_current
        select attempt_id from leases
        where attempt_id = $1 and lease_token = $2 and worker_id = $3 and task_id = $4
            and expires_at > clock_timestamp()
        for share",
        attempt.get(),
        lease_token.get(),
        shown.worker.get(),
        task.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|attempt| Current(AttemptId::from_db(attempt))))
}

/// Proof that an attempt's lease held when it was looked at and stays until the transaction ends.
#[derive(Debug)]
pub struct Current(AttemptId);

impl Current {
    /// The attempt.
    #[must_use]
    pub const fn attempt(&self) -> AttemptId {
        self.0
    }
}
