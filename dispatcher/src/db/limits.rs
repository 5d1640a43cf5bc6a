//! `limits_in_use`, `rate_buckets`, `slots` and `held`: what limits count and what they hold back. All of
//! them change under the lock of the org's admission ([`lock`]) only.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{DagId, DatasetId, Name, OrgId, TaskId};

use super::{Error, ready::stored};
use crate::{
    admission::{Admitted, Bucket, Lane, Limit, LimitKey, Queue, Waiting},
    dag::spec::{Period, Rate},
};

/// Makes other transactions that change what limits of this org count wait until this one ends. It comes
/// after the locks of runs, and nobody who holds it waits for anything that another may hold. One lock
/// for an org, and not one for each limit, because which limits are touched is only known once it is
/// decided who may go.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection, org: OrgId) -> Result<(), Error> {
    sqlx::query!(
        "-- limits::lock
        select pg_advisory_xact_lock(hashtext('trace.admission'), $1::bigint::integer)",
        org.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Gives the slots of tasks back that are neither ready nor leased any more; answers what each counted
/// under. One without a slot is left out.
///
/// # Errors
/// When the database fails.
pub async fn free(conn: &mut PgConnection, tasks: &[TaskId]) -> Result<Vec<Lane>, Error> {
    let found = sqlx::query!(
        "-- limits::free
        delete from slots where task_id = any($1) returning org_id, dag_id, dataset_id",
        &tasks.iter().map(|task| task.get()).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|row| lane(row.org_id, row.dag_id, row.dataset_id)).collect())
}

/// The lanes of an org in which tasks are held; as many index look-ups as there are lanes.
///
/// # Errors
/// When the database fails.
pub async fn lanes(conn: &mut PgConnection, org: OrgId) -> Result<BTreeSet<Lane>, Error> {
    let found = sqlx::query!(
        r#"-- limits::lanes
        with recursive lanes as (
            (select dataset_id, dag_id from held where org_id = $1 order by dataset_id, dag_id limit 1)
            union all
            select n.dataset_id, n.dag_id from lanes l cross join lateral (
                select h.dataset_id, h.dag_id from held h
                where h.org_id = $1 and (h.dataset_id, h.dag_id) > (l.dataset_id, l.dag_id)
                order by h.dataset_id, h.dag_id limit 1
            ) n
        )
        select dataset_id as "dataset_id!", dag_id as "dag_id!" from lanes"#,
        org.get()
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|row| lane(org.get(), row.dag_id, row.dataset_id)).collect())
}

/// The counters of these limits, and the moment by the database's clock.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn counters(
    conn: &mut PgConnection,
    keys: &BTreeSet<LimitKey>,
) -> Result<(BTreeMap<LimitKey, Limit>, DateTime<Utc>), Error> {
    let Columns { scopes, numbers } = Columns::of(keys.iter().copied());
    let found = sqlx::query!(
        r#"-- limits::counters
        select k.scope as "scope!", k.key as "key!", l.max, coalesce(l.in_use, 0) as "in_use!",
            clock_timestamp() as "now!"
        from unnest($1::text[], $2::bigint[]) as k(scope, key)
        left join limits_in_use l on l.scope = k.scope and l.key = k.key"#,
        &scopes,
        &numbers
    )
    .fetch_all(conn)
    .await?;
    let now = found.first().map_or_else(Utc::now, |row| row.now);
    let limits = found.into_iter().map(|row| {
        let max = row.max.map(number).transpose()?;
        Ok((key(&row.scope, row.key)?, Limit { max, in_use: number(row.in_use)? }))
    });
    Ok((limits.collect::<Result<_, Error>>()?, now))
}

/// The buckets of these jobs as they are now, of those that have a rate.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn buckets(
    conn: &mut PgConnection,
    jobs: &[DatasetId],
) -> Result<BTreeMap<DatasetId, Bucket>, Error> {
    let found = sqlx::query!(
        r#"-- limits::buckets
        select dataset_id, tasks as "tasks!", period_seconds as "period_seconds!", tokens,
            extract(epoch from clock_timestamp() - refilled_at)::double precision as "seconds!"
        from rate_buckets where dataset_id = any($1) and tasks is not null and period_seconds is not null"#,
        &jobs.iter().map(|job| job.get()).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    let buckets = found.into_iter().map(|row| {
        let rate = Rate { tasks: number(row.tasks)?, per: period(row.period_seconds)? };
        Ok((DatasetId::from_db(row.dataset_id), Bucket::after(rate, row.tokens, row.seconds)))
    });
    buckets.collect()
}

/// Remembers what is left in buckets.
///
/// # Errors
/// When the database fails.
pub async fn refill(conn: &mut PgConnection, buckets: &[(DatasetId, Bucket)]) -> Result<(), Error> {
    sqlx::query!(
        "-- limits::refill
        update rate_buckets b set tokens = n.tokens, refilled_at = clock_timestamp()
        from unnest($1::bigint[], $2::double precision[]) as n(dataset_id, tokens)
        where b.dataset_id = n.dataset_id",
        &buckets.iter().map(|(job, _)| job.get()).collect::<Vec<_>>(),
        &buckets.iter().map(|(_, bucket)| bucket.tokens()).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The first held tasks of lanes, of each at most so many.
///
/// # Errors
/// When the database fails.
pub async fn heads(conn: &mut PgConnection, lanes: &[(Lane, u32)]) -> Result<Vec<Queue>, Error> {
    let found = sqlx::query!(
        r#"-- limits::heads
        select l.n as "n!", h.task_id as "task_id!", h.rank as "rank!"
        from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) with ordinality
            as l(org_id, dataset_id, dag_id, room, n)
        cross join lateral (
            select task_id, rank from held h
            where h.org_id = l.org_id and h.dataset_id = l.dataset_id and h.dag_id = l.dag_id
            order by h.rank, h.task_id limit l.room
        ) h
        order by l.n, h.rank, h.task_id"#,
        &lanes.iter().map(|(lane, _)| lane.org.get()).collect::<Vec<_>>(),
        &lanes.iter().map(|(lane, _)| lane.job.map_or(0, DatasetId::get)).collect::<Vec<_>>(),
        &lanes.iter().map(|(lane, _)| lane.dag.map_or(0, DagId::get)).collect::<Vec<_>>(),
        &lanes.iter().map(|(_, room)| i64::from(*room)).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    let mut queues: Vec<Queue> =
        lanes.iter().map(|(lane, _)| Queue { lane: *lane, waiting: Vec::new() }).collect();
    for row in found {
        let queue = usize::try_from(row.n - 1).ok().and_then(|at| queues.get_mut(at));
        let queue = queue.ok_or_else(|| Error::corrupt("a lane's number", row.n))?;
        queue.waiting.push(Waiting { rank: row.rank, task: TaskId::from_db(row.task_id) });
    }
    Ok(queues)
}

/// A task that was not held before.
#[derive(Debug, Clone, Copy)]
pub struct NewTask {
    /// What it is under.
    pub lane: Lane,
    /// The task and its rank.
    pub waiting: Waiting,
    /// Its priority.
    pub priority: i16,
    /// Tries that count.
    pub failures: u32,
    /// Tries whose worker was lost.
    pub losses: u32,
}

/// Makes admitted tasks ready, and gives each a slot. Those that are not among `new` were held.
///
/// # Errors
/// When the database fails, or one of them is in none of the two places.
pub async fn admit(
    conn: &mut PgConnection,
    admitted: &[Admitted],
    new: &HashMap<TaskId, NewTask>,
) -> Result<(), Error> {
    let tasks: Vec<i64> = admitted.iter().map(|one| one.waiting().task.get()).collect();
    let fresh: Vec<&NewTask> = admitted.iter().filter_map(|one| new.get(&one.waiting().task)).collect();
    let made = sqlx::query!(
        "-- limits::admit
        with unheld as (
            delete from held where task_id = any($1) returning task_id, failures, losses, priority, rank
        ), fresh as (
            select * from unnest($5::bigint[], $6::smallint[], $7::smallint[], $8::smallint[], $9::timestamptz[])
                as f(task_id, failures, losses, priority, rank)
        ), slotted as (
            insert into slots (task_id, org_id, dag_id, dataset_id)
            select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
        )
        insert into ready (task_id, failures, losses, rank)
        select task_id, failures, losses, case when priority <> 0 then rank end from unheld
        union all
        select task_id, failures, losses, case when priority <> 0 then rank end from fresh",
        &tasks,
        &admitted.iter().map(|one| one.lane().org.get()).collect::<Vec<_>>(),
        &admitted.iter().map(|one| one.lane().dag.map_or(0, DagId::get)).collect::<Vec<_>>(),
        &admitted.iter().map(|one| one.lane().job.map_or(0, DatasetId::get)).collect::<Vec<_>>(),
        &fresh.iter().map(|one| one.waiting.task.get()).collect::<Vec<_>>(),
        &fresh.iter().map(|one| stored(one.failures)).collect::<Vec<_>>(),
        &fresh.iter().map(|one| stored(one.losses)).collect::<Vec<_>>(),
        &fresh.iter().map(|one| one.priority).collect::<Vec<_>>(),
        &fresh.iter().map(|one| one.waiting.rank).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a task that is admitted", tasks.len(), made)
}

/// Puts tasks into `held`.
///
/// # Errors
/// When the database fails, or one of them is held already.
pub async fn hold(conn: &mut PgConnection, tasks: &[&NewTask], since: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!(
        "-- limits::hold
        insert into held (task_id, org_id, dag_id, dataset_id, priority, rank, held_at, failures, losses)
        select h.task_id, h.org_id, h.dag_id, h.dataset_id, h.priority, h.rank, $9, h.failures, h.losses
        from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::timestamptz[],
            $7::smallint[], $8::smallint[])
            as h(task_id, org_id, dag_id, dataset_id, priority, rank, failures, losses)",
        &tasks.iter().map(|one| one.waiting.task.get()).collect::<Vec<_>>(),
        &tasks.iter().map(|one| one.lane.org.get()).collect::<Vec<_>>(),
        &tasks.iter().map(|one| one.lane.dag.map_or(0, DagId::get)).collect::<Vec<_>>(),
        &tasks.iter().map(|one| one.lane.job.map_or(0, DatasetId::get)).collect::<Vec<_>>(),
        &tasks.iter().map(|one| one.priority).collect::<Vec<_>>(),
        &tasks.iter().map(|one| one.waiting.rank).collect::<Vec<_>>(),
        &tasks.iter().map(|one| stored(one.failures)).collect::<Vec<_>>(),
        &tasks.iter().map(|one| stored(one.losses)).collect::<Vec<_>>(),
        since
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes counters by what was admitted and given back.
///
/// # Errors
/// When the database fails, or more was given back than was counted.
pub async fn count(conn: &mut PgConnection, changes: &BTreeMap<LimitKey, i32>) -> Result<(), Error> {
    let Columns { scopes, numbers } = Columns::of(changes.keys().copied());
    sqlx::query!(
        "-- limits::open
        insert into limits_in_use (scope, key) select * from unnest($1::text[], $2::bigint[])
        on conflict (scope, key) do nothing",
        &scopes,
        &numbers
    )
    .execute(&mut *conn)
    .await?;
    let changed = sqlx::query!(
        "-- limits::count
        update limits_in_use l set in_use = l.in_use + c.change
        from unnest($1::text[], $2::bigint[], $3::integer[]) as c(scope, key, change)
        where l.scope = c.scope and l.key = c.key",
        &scopes,
        &numbers,
        &changes.values().copied().collect::<Vec<_>>()
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a limit's counter", changes.len(), changed)
}

/// What the current version of a DAG says of one of its jobs.
#[derive(Debug, Clone)]
pub struct JobRow<'a> {
    /// The job.
    pub job: &'a Name,
    /// Its tasks at once.
    pub concurrency: Option<u32>,
    /// Its rate.
    pub rate: Option<Rate>,
}

/// Writes down the limits that the current version of a DAG says. What an older one said and this one
/// does not bounds nothing any more. The jobs have their datasets.
///
/// # Errors
/// When the database fails.
pub async fn declare(
    conn: &mut PgConnection,
    dag: DagId,
    concurrency: Option<u32>,
    jobs: &[JobRow<'_>],
) -> Result<(), Error> {
    let signed = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let names: Vec<String> = jobs.iter().map(|job| job.job.to_string()).collect();
    sqlx::query!(
        "-- limits::declare
        with said as (
            select 'dag' as scope, $1::bigint as key, $2::integer as max
            union all
            select 'job', d.dataset_id, j.max from datasets d
            left join unnest($3::text[], $4::integer[]) as j(job, max) on j.job = d.job
            where d.dag_id = $1
        )
        insert into limits_in_use (scope, key, max)
        select s.scope, s.key, s.max from said s
        where s.max is not null or exists (
            select from limits_in_use l where l.scope = s.scope and l.key = s.key and l.max is not null
        )
        on conflict (scope, key) do update set max = excluded.max
        where limits_in_use.max is distinct from excluded.max",
        dag.get(),
        concurrency.map(signed),
        &names,
        &jobs.iter().map(|job| job.concurrency.map(signed)).collect::<Vec<_>>() as &[Option<i32>]
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "-- limits::declare_rates
        insert into rate_buckets (dataset_id, tasks, period_seconds, tokens)
        select d.dataset_id, j.tasks, j.seconds, coalesce(j.tasks, 0) from datasets d
        left join unnest($2::text[], $3::integer[], $4::integer[]) as j(job, tasks, seconds) on j.job = d.job
        where d.dag_id = $1
            and (j.tasks is not null or exists (select from rate_buckets b where b.dataset_id = d.dataset_id))
        on conflict (dataset_id) do update set tasks = excluded.tasks,
            period_seconds = excluded.period_seconds, tokens = least(rate_buckets.tokens, excluded.tasks)
        where (rate_buckets.tasks, rate_buckets.period_seconds)
            is distinct from (excluded.tasks, excluded.period_seconds)",
        dag.get(),
        &names,
        &jobs.iter().map(|job| job.rate.map(|rate| signed(rate.tasks))).collect::<Vec<_>>()
            as &[Option<i32>],
        &jobs.iter().map(|job| job.rate.map(|rate| signed(rate.per.seconds()))).collect::<Vec<_>>()
            as &[Option<i32>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Orgs of which tasks are held.
///
/// # Errors
/// When the database fails.
pub async fn orgs_with_held(conn: &mut PgConnection) -> Result<Vec<OrgId>, Error> {
    let found = sqlx::query_scalar!(
        r#"-- limits::orgs_with_held
        with recursive orgs as (
            (select org_id from held order by org_id limit 1)
            union all
            select (select min(h.org_id) from held h where h.org_id > o.org_id) from orgs o
            where o.org_id is not null
        )
        select org_id as "org_id!" from orgs where org_id is not null"#
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(OrgId::from_db).collect())
}

/// Keys, a column each.
struct Columns {
    scopes: Vec<String>,
    numbers: Vec<i64>,
}

impl Columns {
    fn of(keys: impl Iterator<Item = LimitKey>) -> Self {
        let (scopes, numbers) = keys
            .map(|key| match key {
                LimitKey::Org(org) => ("org".to_owned(), org.get()),
                LimitKey::Dag(dag) => ("dag".to_owned(), dag.get()),
                LimitKey::Job(job) => ("job".to_owned(), job.get()),
            })
            .unzip();
        Self { scopes, numbers }
    }
}

fn key(scope: &str, number: i64) -> Result<LimitKey, Error> {
    match scope {
        "org" => Ok(LimitKey::Org(OrgId::from_db(number))),
        "dag" => Ok(LimitKey::Dag(DagId::from_db(number))),
        "job" => Ok(LimitKey::Job(DatasetId::from_db(number))),
        other => Err(Error::corrupt("a limit's scope", other)),
    }
}

fn lane(org: i64, dag: i64, job: i64) -> Lane {
    Lane { org: OrgId::from_db(org), dag: DagId::new(dag), job: DatasetId::new(job) }
}

fn number(count: i32) -> Result<u32, Error> {
    u32::try_from(count).map_err(|error| Error::corrupt("a count", error))
}

fn period(seconds: i32) -> Result<Period, Error> {
    let period = Period::ALL.into_iter().find(|period| i64::from(period.seconds()) == i64::from(seconds));
    period.ok_or_else(|| Error::corrupt("a rate's period", seconds))
}
