//! The statements that a transition opens and settles with: each does for all of a batch, and for
//! several tables, what would otherwise be a way to the database and back for each.

use sqlx::PgConnection;
use trace_contracts::{OrgId, RunId};

use super::{
    Error,
    leases::{Columns, FenceColumns, LeaseRow, ShownFence},
    notify::News,
    ready::{Due, stored},
    runs::{self, LockedRow, OrgLimit, Progress},
};

/// Locks runs in the order of their ids, and then those leases of them whose fences are current, in
/// the order of attempts. So a completion waits for its runs before it looks at leases.
///
/// A lease that ended while the runs were waited for is not among them: PostgreSQL looks at a row
/// again when it locks it. None can be missed: whoever shows a fence was told of it after its claim
/// was committed.
///
/// # Errors
/// When the database fails.
pub async fn open(
    conn: &mut PgConnection,
    run_ids: &[i64],
    shown: &[ShownFence],
) -> Result<(Vec<LockedRow>, Vec<LeaseRow>), Error> {
    let FenceColumns { attempts, tokens, workers, tasks } = FenceColumns::of(shown);
    let found = sqlx::query!(
        r#"-- fences::open
        with locked as materialized (
            select run_id, org_id, state, tasks_total, tasks_open, tasks_succeeded, tasks_dead
            from runs where run_id = any($1) order by run_id for no key update
        ), orgs as materialized (
            select org_id, org_has_limit(org_id) as has_limit from (select distinct org_id from locked) o
        ), held as materialized (
            select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
                l.expires_at
            from unnest($2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[])
                as f(attempt_id, lease_token, worker_id, task_id)
            join leases l on l.attempt_id = f.attempt_id and l.lease_token = f.lease_token
                and l.worker_id = f.worker_id and l.task_id = f.task_id
            where l.expires_at > clock_timestamp() and (select count(*) from orgs) > 0
            order by l.attempt_id for update of l
        )
        select r.run_id as "run_id!", r.org_id as "org_id!", r.state as "state!",
            r.tasks_total as "tasks_total!", r.tasks_open as "tasks_open!",
            r.tasks_succeeded as "tasks_succeeded!", r.tasks_dead as "tasks_dead!",
            o.has_limit as "has_limit!", h.attempt_id as "attempt_id?", h.lease_token as "lease_token?",
            h.task_id as "task_id?", h.worker_id as "worker_id?", h.failures as "failures?",
            h.losses as "losses?", h.started_at as "started_at?", h.expires_at as "expires_at?"
        from locked r join orgs o on o.org_id = r.org_id left join held h on h.task_id >> 20 = r.run_id
        order by r.run_id, h.attempt_id"#,
        run_ids,
        &attempts,
        &tokens,
        &workers,
        &tasks
    )
    .fetch_all(conn)
    .await?;
    let mut locked: Vec<LockedRow> = Vec::new();
    let mut held = Vec::with_capacity(found.len());
    for row in found {
        let run = RunId::from_db(row.run_id);
        if locked.last().is_none_or(|last| last.run != run) {
            let progress = Progress {
                state: runs::state(&row.state)?,
                total: row.tasks_total,
                open: row.tasks_open,
                succeeded: row.tasks_succeeded,
                dead: row.tasks_dead,
            };
            let org_limit = if row.has_limit { OrgLimit::Some } else { OrgLimit::None };
            locked.push(LockedRow { run, org: OrgId::from_db(row.org_id), org_limit, progress });
        }
        let lease = (row.attempt_id, row.lease_token, row.task_id, row.worker_id);
        let rest = (row.failures, row.losses, row.started_at, row.expires_at);
        if let (Some(attempt_id), Some(lease_token), Some(task_id), Some(worker_id)) = lease
            && let (Some(failures), Some(losses), Some(started_at), Some(expires_at)) = rest
        {
            held.push(LeaseRow::try_from(Columns {
                attempt_id,
                lease_token,
                task_id,
                worker_id,
                failures,
                losses,
                started_at,
                expires_at,
            })?);
        }
    }
    Ok((locked, held))
}

/// What a transition leaves when it settles.
#[derive(Debug, Default)]
pub struct Settled<'a> {
    /// Locked runs that changed.
    pub runs: &'a [(RunId, Progress)],
    /// Tasks that are ready: under no limit, and of priority 0.
    pub ready: &'a [Due],
    /// What everybody is told when the transaction commits.
    pub news: &'a [News],
}

/// Writes what changed of runs, makes tasks ready, and leaves news.
///
/// # Errors
/// When the database fails, a run is gone although it was locked, or a task is ready already.
pub async fn settle(conn: &mut PgConnection, settled: &Settled<'_>) -> Result<(), Error> {
    let Settled { runs, ready, news } = settled;
    let advanced = sqlx::query_scalar!(
        r#"-- fences::settle
        with advanced as (
            update runs r set state = n.state, tasks_open = n.open, tasks_succeeded = n.succeeded,
                tasks_dead = n.dead, finished_at = case when n.state = 'running' then null else now() end
            from unnest($1::bigint[], $2::text[], $3::integer[], $4::integer[], $5::integer[])
                as n(run_id, state, open, succeeded, dead)
            where r.run_id = n.run_id
            returning r.run_id
        ), readied as (
            insert into ready (task_id, failures, losses)
            select * from unnest($6::bigint[], $7::smallint[], $8::smallint[])
        ), told as materialized (
            select pg_notify(n.channel, n.payload) from unnest($9::text[], $10::text[]) as n(channel, payload)
        )
        select (select count(*) from advanced) as "advanced!" where (select count(*) from told) >= 0"#,
        &runs.iter().map(|(run, _)| run.get()).collect::<Vec<_>>(),
        &runs.iter().map(|(_, progress)| progress.state.as_str().to_owned()).collect::<Vec<_>>(),
        &runs.iter().map(|(_, progress)| progress.open).collect::<Vec<_>>(),
        &runs.iter().map(|(_, progress)| progress.succeeded).collect::<Vec<_>>(),
        &runs.iter().map(|(_, progress)| progress.dead).collect::<Vec<_>>(),
        &ready.iter().map(|one| one.task.get()).collect::<Vec<_>>(),
        &ready.iter().map(|one| stored(one.failures)).collect::<Vec<_>>(),
        &ready.iter().map(|one| stored(one.losses)).collect::<Vec<_>>(),
        &news.iter().map(|one| one.channel.as_str().to_owned()).collect::<Vec<_>>(),
        &news.iter().map(|one| one.payload.clone()).collect::<Vec<_>>()
    )
    .fetch_one(conn)
    .await?;
    super::exactly("a run that advances", runs.len(), advanced.unsigned_abs())
}
