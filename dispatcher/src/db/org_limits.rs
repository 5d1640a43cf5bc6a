//! `org_limits`: what an admin has set, and what is in use of it.

use sqlx::PgConnection;
use trace_contracts::{
    OrgId,
    wire::limits::{OrgLimits, OrgUse},
};

use super::Error;

/// What is set for an org. Nobody can change it until the transaction ends.
///
/// # Errors
/// When the database fails, or the row can't be read.
pub async fn fixed(conn: &mut PgConnection, org: OrgId) -> Result<OrgLimits, Error> {
    sqlx::query!(
        r#"-- org_limits::fix
        select org_has_limit($1) as "has_limit!""#,
        org.get()
    )
    .fetch_one(&mut *conn)
    .await?;
    read(conn, org).await
}

/// What is set for an org.
///
/// # Errors
/// When the database fails, or the row can't be read.
pub async fn read(conn: &mut PgConnection, org: OrgId) -> Result<OrgLimits, Error> {
    let found = sqlx::query!(
        "-- org_limits::read
        select tasks_at_once, runs_an_hour, queued_tasks from org_limits where org_id = $1",
        org.get()
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = found else { return Ok(OrgLimits::default()) };
    let count = |column: Option<i32>| {
        column.map(u32::try_from).transpose().map_err(|error| Error::corrupt("an org's limit", error))
    };
    Ok(OrgLimits {
        tasks_at_once: count(row.tasks_at_once)?,
        runs_an_hour: count(row.runs_an_hour)?,
        queued_tasks: count(row.queued_tasks)?,
    })
}

/// Waits until every transaction that has asked [`fixed`], or locked a run of the org, has ended, and
/// lets no other one ask until this one ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection, org: OrgId) -> Result<(), Error> {
    sqlx::query!(
        "-- org_limits::lock
        select pg_advisory_xact_lock(hashtext('trace.org_limits'), $1::bigint::integer)",
        org.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Writes down what an admin sets. Under [`lock`].
///
/// # Errors
/// When the database fails.
pub async fn set(conn: &mut PgConnection, org: OrgId, limits: &OrgLimits) -> Result<(), Error> {
    let signed = |count: Option<u32>| count.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
    sqlx::query!(
        "-- org_limits::set
        with set as (
            insert into org_limits (org_id, tasks_at_once, runs_an_hour, queued_tasks) values ($1, $2, $3, $4)
            on conflict (org_id) do update set tasks_at_once = excluded.tasks_at_once,
                runs_an_hour = excluded.runs_an_hour, queued_tasks = excluded.queued_tasks
        )
        insert into limits_in_use (scope, key, max) values ('org', $1, $2)
        on conflict (scope, key) do update set max = excluded.max",
        org.get(),
        signed(limits.tasks_at_once),
        signed(limits.runs_an_hour),
        signed(limits.queued_tasks)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts what was ready or running before its org had a limit: leases get slots, and ready tasks are
/// held, so that they are admitted like all others. Claims are locked out, and every other transition of
/// the org, by [`lock`].
///
/// # Errors
/// When the database fails.
pub async fn count_everything(conn: &mut PgConnection, org: OrgId) -> Result<(), Error> {
    sqlx::query!(
        "-- org_limits::slot_leases
        insert into slots (task_id, org_id)
        select l.task_id, $1 from leases l join runs r on r.run_id = l.task_id >> 20
        where r.org_id = $1 and not exists (select from slots s where s.task_id = l.task_id)",
        org.get()
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "-- org_limits::hold_ready
        with taken as (
            delete from ready q using runs r
            where r.run_id = q.task_id >> 20 and r.org_id = $1
                and not exists (select from slots s where s.task_id = q.task_id)
            returning q.task_id, q.ready_at, q.rank, q.failures, q.losses
        )
        insert into held (task_id, org_id, priority, rank, held_at, failures, losses)
        select task_id, $1, coalesce(extract(epoch from ready_at - rank) / 60, 0)::smallint,
            coalesce(rank, ready_at), ready_at, failures, losses
        from taken",
        org.get()
    )
    .execute(&mut *conn)
    .await?;
    recount(conn, org).await
}

/// Counts an org's slots anew.
async fn recount(conn: &mut PgConnection, org: OrgId) -> Result<(), Error> {
    sqlx::query!(
        "-- org_limits::recount
        update limits_in_use set in_use = (select count(*) from slots where org_id = $1)
        where scope = 'org' and key = $1",
        org.get()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets what only the org's limit counted, once it has none: slots go, and what it alone held is
/// ready. Answers how many tasks that made ready.
///
/// # Errors
/// When the database fails.
pub async fn release_everything(conn: &mut PgConnection, org: OrgId) -> Result<u64, Error> {
    sqlx::query!(
        "-- org_limits::unslot
        delete from slots where org_id = $1 and dag_id = 0 and dataset_id = 0",
        org.get()
    )
    .execute(&mut *conn)
    .await?;
    let ready = sqlx::query!(
        "-- org_limits::unhold
        with taken as (
            delete from held where org_id = $1 and dag_id = 0 and dataset_id = 0
            returning task_id, priority, rank, failures, losses
        )
        insert into ready (task_id, failures, losses, rank)
        select task_id, failures, losses, case when priority <> 0 then rank end from taken",
        org.get()
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    recount(conn, org).await?;
    Ok(ready)
}

/// What is in use: the tasks that the running runs of an org have open, by their counters, and of these
/// the ones that are leased; and the runs of the last hour.
///
/// # Errors
/// When the database fails.
pub async fn in_use(conn: &mut PgConnection, org: OrgId) -> Result<OrgUse, Error> {
    let row = sqlx::query!(
        r#"-- org_limits::in_use
        select
            (select coalesce(sum(tasks_open), 0) from runs where org_id = $1 and state = 'running')
                as "open!",
            (select count(*) from leases l join runs r on r.run_id = l.task_id >> 20 where r.org_id = $1)
                as "leased!",
            (select in_use from limits_in_use where scope = 'org' and key = $1) as at_once,
            (select count(*) from (
                select created_at from runs where org_id = $1 order by run_id desc limit 10000
            ) newest where created_at > now() - interval '1 hour') as "runs!""#,
        org.get()
    )
    .fetch_one(conn)
    .await?;
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    Ok(OrgUse {
        tasks_at_once: row.at_once.map(i64::from).map(count),
        runs_last_hour: count(row.runs),
        queued_tasks: count(row.open - row.leased),
    })
}

/// Seconds until an org may start a run if it may start `most` an hour; `None` when it may now. Looks at
/// that many rows of an index at most.
///
/// # Errors
/// When the database fails.
pub async fn next_run_in(conn: &mut PgConnection, org: OrgId, most: u32) -> Result<Option<f64>, Error> {
    let seconds = sqlx::query_scalar!(
        r#"-- org_limits::next_run_in
        select extract(epoch from created_at + interval '1 hour' - clock_timestamp())::double precision as "seconds!"
        from runs where org_id = $1 order by run_id desc offset $2 limit 1"#,
        org.get(),
        i64::from(most) - 1
    )
    .fetch_optional(conn)
    .await?;
    Ok(seconds.filter(|seconds| *seconds > 0.0))
}

/// Tasks of an org that are due or will be and do not run.
///
/// # Errors
/// When the database fails.
pub async fn queued(conn: &mut PgConnection, org: OrgId) -> Result<u64, Error> {
    let queued = sqlx::query_scalar!(
        r#"-- org_limits::queued
        select (select coalesce(sum(tasks_open), 0) from runs where org_id = $1 and state = 'running')
            - (select count(*) from leases l join runs r on r.run_id = l.task_id >> 20 where r.org_id = $1)
            as "queued!""#,
        org.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(queued).unwrap_or_default())
}
