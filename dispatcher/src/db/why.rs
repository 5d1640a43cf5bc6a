//! What `why` reads. Nothing here locks.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, DagId, DatasetId, OrgId, RunId, TaskId, UserId, WorkerId,
    wire::{user::RunState, why::LastAttempt},
};

use super::Error;
use crate::{
    admission::{Lane, LimitKey, Waiting},
    why::{
        cause::{Details, Workers},
        roots::{Standing, Standings},
    },
};

/// A run, and the moment of reading by the database's clock.
#[derive(Debug, Clone, Copy)]
pub struct RunRow {
    /// Where it stands.
    pub state: RunState,
    /// Who cancelled it, if somebody did and it is known.
    pub cancelled_by: Option<UserId>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// A task that limits hold back.
#[derive(Debug, Clone, Copy)]
pub struct HeldRow {
    /// What it is under.
    pub lane: Lane,
    /// Where it stands in line.
    pub waiting: Waiting,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A run of this org.
///
/// # Errors
/// When the database fails, or the row can't be read.
pub async fn run(conn: &mut PgConnection, org: OrgId, run: RunId) -> Result<Option<RunRow>, Error> {
    let found = sqlx::query!(
        r#"-- why::run
        select state, cancelled_by, finished_at, clock_timestamp() as "now!"
        from runs where run_id = $1 and org_id = $2"#,
        run.get(),
        org.get()
    )
    .fetch_optional(conn)
    .await?;
    found
        .map(|row| {
            let state = [RunState::Running, RunState::Succeeded, RunState::Failed, RunState::Cancelled]
                .into_iter()
                .find(|state| state.as_str() == row.state)
                .ok_or_else(|| Error::corrupt("a run's state", &row.state))?;
            let cancelled_by = row.cancelled_by.and_then(UserId::new);
            Ok(RunRow { state, cancelled_by, finished_at: row.finished_at, now: row.now })
        })
        .transpose()
}

/// Where every task of a run stands that has a row.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn standings(conn: &mut PgConnection, run: RunId) -> Result<Standings, Error> {
    let (first, last) = TaskId::span(run);
    let found = sqlx::query!(
        r#"-- why::standings
        select task_id as "task_id!", place as "place!" from (
            select task_id, 'ready' as place from ready where task_id between $1 and $2
            union all select task_id, 'held' from held where task_id between $1 and $2
            union all select task_id, 'delayed' from delayed where task_id between $1 and $2
            union all select task_id, 'running' from leases where task_id between $1 and $2
            union all select task_id, 'succeeded' from commits where task_id between $1 and $2
            union all select task_id, state from task_ends where task_id between $1 and $2
        ) places"#,
        first,
        last
    )
    .fetch_all(conn)
    .await?;
    let standing = |place: &str| match place {
        "ready" => Ok(Standing::Ready),
        "held" => Ok(Standing::Held),
        "delayed" => Ok(Standing::Delayed),
        "running" => Ok(Standing::Running),
        "succeeded" => Ok(Standing::Succeeded),
        "dead" => Ok(Standing::Dead),
        "cancelled" => Ok(Standing::Cancelled),
        other => Err(Error::corrupt("a task's place", other)),
    };
    found.iter().map(|row| Ok((TaskId::from_db(row.task_id).ordinal(), standing(&row.place)?))).collect()
}

/// A task in `ready`, and what is known of workers.
///
/// # Errors
/// When the database fails.
pub async fn ready(conn: &mut PgConnection, task: TaskId) -> Result<Option<Details>, Error> {
    let found = sqlx::query!(
        r#"-- why::ready
        select ready_at, (select max(last_claim_at) from workers where revoked_at is null) as last_claim,
            (select max(claimed_at) from claims) as last_lease,
            (select count(*) from leases where expires_at > now()) as "running!"
        from ready where task_id = $1"#,
        task.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| Details::Ready {
        since: row.ready_at,
        workers: Workers {
            last_claim: row.last_claim,
            last_lease: row.last_lease,
            running: u64::try_from(row.running).unwrap_or_default(),
        },
    }))
}

/// A task in `held`.
///
/// # Errors
/// When the database fails.
pub async fn held(conn: &mut PgConnection, task: TaskId) -> Result<Option<HeldRow>, Error> {
    let found = sqlx::query!(
        "-- why::held
        select org_id, dag_id, dataset_id, rank, held_at from held where task_id = $1",
        task.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| HeldRow {
        lane: Lane {
            org: OrgId::from_db(row.org_id),
            dag: DagId::new(row.dag_id),
            job: DatasetId::new(row.dataset_id),
        },
        waiting: Waiting { rank: row.rank, task },
        since: row.held_at,
    }))
}

/// Where a held task stands in the line for a limit, from 1.
///
/// # Errors
/// When the database fails.
pub async fn position(conn: &mut PgConnection, line: LimitKey, own: Waiting) -> Result<u64, Error> {
    let (org, dag, job) = match line {
        LimitKey::Org(org) => (Some(org.get()), None, None),
        LimitKey::Dag(dag) => (None, Some(dag.get()), None),
        LimitKey::Job(job) => (None, None, Some(job.get())),
    };
    let before = sqlx::query_scalar!(
        r#"-- why::position
        select count(*) as "before!" from held
        where ($1::bigint is null or org_id = $1) and ($2::bigint is null or dag_id = $2)
            and ($3::bigint is null or dataset_id = $3) and (rank, task_id) < ($4::timestamptz, $5::bigint)"#,
        org,
        dag,
        job,
        own.rank,
        own.task.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(before).unwrap_or_default() + 1)
}

/// A task in `delayed`.
///
/// # Errors
/// When the database fails.
pub async fn delayed(conn: &mut PgConnection, task: TaskId) -> Result<Option<Details>, Error> {
    let until =
        sqlx::query_scalar!("-- why::delayed\nselect not_before from delayed where task_id = $1", task.get())
            .fetch_optional(&mut *conn)
            .await?;
    let Some(until) = until else { return Ok(None) };
    Ok(Some(Details::Delayed { until, last: last_attempt(conn, task).await? }))
}

/// How the last attempt of a task ended.
///
/// # Errors
/// When the database fails.
pub async fn last_attempt(conn: &mut PgConnection, task: TaskId) -> Result<Option<LastAttempt>, Error> {
    let found = sqlx::query!(
        "-- why::last_attempt
        select attempt_id, outcome, detail, ended_at from attempts
        where task_id = $1 order by attempt_id desc limit 1",
        task.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| LastAttempt {
        attempt: AttemptId::from_db(row.attempt_id),
        reason: row.outcome,
        detail: row.detail,
        at: row.ended_at,
    }))
}

/// A task in `leases`.
///
/// # Errors
/// When the database fails.
pub async fn leased(conn: &mut PgConnection, task: TaskId) -> Result<Option<Details>, Error> {
    let found = sqlx::query!(
        "-- why::leased
        select l.attempt_id, w.name, l.started_at, l.expires_at
        from leases l join workers w on w.worker_id = l.worker_id where l.task_id = $1",
        task.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| Details::Leased {
        attempt: AttemptId::from_db(row.attempt_id),
        worker: row.name,
        since: row.started_at,
        until: row.expires_at,
    }))
}

/// A task in `commits`.
///
/// # Errors
/// When the database fails.
pub async fn committed(conn: &mut PgConnection, task: TaskId) -> Result<Option<Details>, Error> {
    let found = sqlx::query!(
        "-- why::committed\nselect attempt_id, committed_at from commits where task_id = $1",
        task.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found
        .map(|row| Details::Committed { attempt: AttemptId::from_db(row.attempt_id), at: row.committed_at }))
}

/// Notes that a worker asks for tasks. It is worth nothing after a crash, so it waits for no disk.
///
/// # Errors
/// When the database fails.
pub async fn seen(conn: &mut PgConnection, worker: WorkerId) -> Result<(), Error> {
    sqlx::query!(
        "-- why::seen
        update workers set last_claim_at = now() where worker_id = $1",
        worker.get()
    )
    .execute(conn)
    .await?;
    Ok(())
}
