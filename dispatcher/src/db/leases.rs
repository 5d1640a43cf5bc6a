//! `leases`: what runs.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{AttemptId, KeyId, LeaseToken, RunId, TaskId, WorkerId, wire::worker::Fence};
use uuid::Uuid;

use super::{
    Error,
    notify::{Channel, IDS_PER_PAYLOAD},
};

/// A lease.
#[derive(Debug, Clone)]
pub struct LeaseRow {
    /// The attempt.
    pub attempt: AttemptId,
    /// The fence.
    pub lease_token: LeaseToken,
    /// The task, and with it the run.
    pub task: TaskId,
    /// Who holds it.
    pub worker: WorkerId,
    /// Tries before this one that count.
    pub failures: u32,
    /// Tries before this one whose worker was lost.
    pub losses: u32,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ends, unless extended.
    pub expires_at: DateTime<Utc>,
}

impl LeaseRow {
    /// The run that the task belongs to.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.task.run()
    }
}

/// A fence as a worker showed it.
#[derive(Debug, Clone, Copy)]
pub struct ShownFence {
    /// The worker, proven by its identity.
    pub worker: WorkerId,
    /// What it showed.
    pub fence: Fence,
}

/// The columns of a lease, as the macros yield them.
pub(super) struct Columns {
    pub(super) attempt_id: i64,
    pub(super) lease_token: Uuid,
    pub(super) task_id: i64,
    pub(super) worker_id: i64,
    pub(super) failures: i16,
    pub(super) losses: i16,
    pub(super) started_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
}

impl TryFrom<Columns> for LeaseRow {
    type Error = Error;

    fn try_from(columns: Columns) -> Result<Self, Error> {
        Ok(Self {
            attempt: AttemptId::from_db(columns.attempt_id),
            lease_token: LeaseToken::from_uuid(columns.lease_token),
            task: TaskId::from_db(columns.task_id),
            worker: WorkerId::from_db(columns.worker_id),
            failures: super::count(columns.failures)?,
            losses: super::count(columns.losses)?,
            started_at: columns.started_at,
            expires_at: columns.expires_at,
        })
    }
}

fn rows(columns: Vec<Columns>) -> Result<Vec<LeaseRow>, Error> {
    columns.into_iter().map(LeaseRow::try_from).collect()
}

/// The leases of these attempts that still hold.
///
/// # Errors
/// When the database fails.
pub async fn holding(conn: &mut PgConnection, attempts: &[i64]) -> Result<Vec<LeaseRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- leases::holding
        select attempt_id, lease_token, task_id, worker_id, failures, losses, started_at, expires_at
        from leases where attempt_id = any($1) and expires_at > now() order by attempt_id",
        attempts
    )
    .fetch_all(conn)
    .await?;
    rows(found)
}

/// An attempt and the fence that was shown for it.
pub type FenceKey = (AttemptId, Uuid, WorkerId);

/// Extends the leases whose fences are current; answers their new ends. Locks in the order of
/// attempts, as every transaction does that locks several.
///
/// # Errors
/// When the database fails.
pub async fn extend(
    conn: &mut PgConnection,
    shown: &[ShownFence],
    lease_seconds: f64,
) -> Result<Vec<(FenceKey, DateTime<Utc>)>, Error> {
    let FenceColumns { attempts, tokens, workers, tasks } = FenceColumns::of(shown);
    let found = sqlx::query!(
        "-- leases::extend
        with held as (
            select l.attempt_id
            from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[])
                as f(attempt_id, lease_token, worker_id, task_id)
            join leases l on l.attempt_id = f.attempt_id and l.lease_token = f.lease_token
                and l.worker_id = f.worker_id and l.task_id = f.task_id
            where l.expires_at > clock_timestamp()
            order by l.attempt_id for no key update of l
        )
        update leases l set expires_at = now() + make_interval(secs => $5)
        from held where held.attempt_id = l.attempt_id
        returning l.attempt_id, l.lease_token, l.worker_id, l.expires_at",
        &attempts,
        &tokens,
        &workers,
        &tasks,
        lease_seconds
    )
    .fetch_all(conn)
    .await?;
    let key = |attempt, token, worker| (AttemptId::from_db(attempt), token, WorkerId::from_db(worker));
    let ends = found.iter().map(|row| (key(row.attempt_id, row.lease_token, row.worker_id), row.expires_at));
    Ok(ends.collect())
}

impl ShownFence {
    /// What the fence is looked up by.
    #[must_use]
    pub const fn key(&self) -> FenceKey {
        (self.fence.attempt, self.fence.lease_token.get(), self.worker)
    }
}

/// Tells everybody that the authority of these attempts is over, as far as their fences are current;
/// answers their leases, without a lock. One statement, which may be a transaction by itself: news are
/// worth nothing after a crash, so it does not wait for the disk.
///
/// # Errors
/// When the database fails.
pub async fn cut(conn: &mut PgConnection, shown: &[ShownFence]) -> Result<Vec<LeaseRow>, Error> {
    let FenceColumns { attempts, tokens, workers, tasks } = FenceColumns::of(shown);
    let found = sqlx::query!(
        r#"-- leases::cut
        with current as materialized (
            select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
                l.expires_at, row_number() over () as n
            from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[])
                as f(attempt_id, lease_token, worker_id, task_id)
            join leases l on l.attempt_id = f.attempt_id and l.lease_token = f.lease_token
                and l.worker_id = f.worker_id and l.task_id = f.task_id
            where l.expires_at > now()
        ), told as materialized (
            select pg_notify($5, string_agg(attempt_id::text, ',')) from current group by (n - 1) / $6
        )
        select attempt_id as "attempt_id!", lease_token as "lease_token!", task_id as "task_id!",
            worker_id as "worker_id!", failures as "failures!", losses as "losses!",
            started_at as "started_at!", expires_at as "expires_at!",
            set_config('synchronous_commit', 'off', true) as unwaited
        from current where (select count(*) from told) >= 0"#,
        &attempts,
        &tokens,
        &workers,
        &tasks,
        Channel::Cut.as_str(),
        i64::try_from(IDS_PER_PAYLOAD).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await?;
    let columns = found.into_iter().map(|row| Columns {
        attempt_id: row.attempt_id,
        lease_token: row.lease_token,
        task_id: row.task_id,
        worker_id: row.worker_id,
        failures: row.failures,
        losses: row.losses,
        started_at: row.started_at,
        expires_at: row.expires_at,
    });
    rows(columns.collect())
}

/// Attempts whose lease has run out, and their tasks; without a lock.
///
/// # Errors
/// When the database fails.
pub async fn expired(conn: &mut PgConnection, limit: i64) -> Result<Vec<(AttemptId, TaskId)>, Error> {
    let found = sqlx::query!(
        "-- leases::expired
        select attempt_id, task_id from leases where expires_at <= clock_timestamp() limit $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.iter().map(|row| (AttemptId::from_db(row.attempt_id), TaskId::from_db(row.task_id))).collect())
}

/// Those of these attempts whose lease has run out, locked. One that was extended since is not
/// among them.
///
/// # Errors
/// When the database fails.
pub async fn hold_expired(conn: &mut PgConnection, attempts: &[i64]) -> Result<Vec<LeaseRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- leases::hold_expired
        select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
            l.expires_at
        from leases l
        where l.attempt_id = any($1) and l.expires_at <= clock_timestamp()
        order by l.attempt_id for update of l",
        attempts
    )
    .fetch_all(conn)
    .await?;
    rows(found)
}

/// Every lease of a run, locked.
///
/// # Errors
/// When the database fails.
pub async fn hold_run(conn: &mut PgConnection, run: RunId) -> Result<Vec<LeaseRow>, Error> {
    let (first, last) = TaskId::span(run);
    let found = sqlx::query_as!(
        Columns,
        "-- leases::hold_run
        select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
            l.expires_at
        from leases l
        where l.task_id between $1 and $2
        order by l.attempt_id for update of l",
        first,
        last
    )
    .fetch_all(conn)
    .await?;
    rows(found)
}

/// The leases of these attempts, locked, whether or not they have run out.
///
/// # Errors
/// When the database fails.
pub async fn hold_attempts(conn: &mut PgConnection, attempts: &[i64]) -> Result<Vec<LeaseRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- leases::hold_attempts
        select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
            l.expires_at
        from leases l
        where l.attempt_id = any($1)
        order by l.attempt_id for update of l",
        attempts
    )
    .fetch_all(conn)
    .await?;
    rows(found)
}

/// The lease of an attempt, if it holds and the key is not revoked that signed what was shown for it.
///
/// # Errors
/// When the database fails.
pub async fn current_under(
    conn: &mut PgConnection,
    attempt: AttemptId,
    kid: &KeyId,
) -> Result<Option<LeaseRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- leases::current_under
        select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
            l.expires_at
        from leases l
        where l.attempt_id = $1 and l.expires_at > now()
            and not exists (select from signing_keys k where k.kid = $2 and k.revoked_at is not null)",
        attempt.get(),
        kid.as_str()
    )
    .fetch_optional(conn)
    .await?;
    found.map(LeaseRow::try_from).transpose()
}

/// Attempts of a worker that is revoked, or of all that are, and their tasks; without a lock.
///
/// # Errors
/// When the database fails.
pub async fn of_revoked_workers(
    conn: &mut PgConnection,
    worker: Option<WorkerId>,
    limit: i64,
) -> Result<Vec<(AttemptId, TaskId)>, Error> {
    let found = sqlx::query!(
        "-- leases::of_revoked_workers
        select l.attempt_id, l.task_id from workers w join leases l on l.worker_id = w.worker_id
        where w.revoked_at is not null and ($1::bigint is null or w.worker_id = $1)
        order by l.attempt_id limit $2",
        worker.map(WorkerId::get),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.iter().map(|row| (AttemptId::from_db(row.attempt_id), TaskId::from_db(row.task_id))).collect())
}

/// Those of these attempts that have no lease that holds.
///
/// # Errors
/// When the database fails.
pub async fn dead(conn: &mut PgConnection, attempts: &[i64]) -> Result<Vec<AttemptId>, Error> {
    let found = sqlx::query_scalar!(
        r#"-- leases::dead
        select a.attempt_id as "attempt_id!" from unnest($1::bigint[]) as a(attempt_id)
        where not exists (
            select from leases l where l.attempt_id = a.attempt_id and l.expires_at > now()
        )"#,
        attempts
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().filter_map(AttemptId::new).collect())
}

/// Fences, a column each.
pub(super) struct FenceColumns {
    pub(super) attempts: Vec<i64>,
    pub(super) tokens: Vec<Uuid>,
    pub(super) workers: Vec<i64>,
    pub(super) tasks: Vec<i64>,
}

impl FenceColumns {
    pub(super) fn of(shown: &[ShownFence]) -> Self {
        Self {
            attempts: shown.iter().map(|one| one.fence.attempt.get()).collect(),
            tokens: shown.iter().map(|one| one.fence.lease_token.get()).collect(),
            workers: shown.iter().map(|one| one.worker.get()).collect(),
            tasks: shown.iter().map(|one| one.fence.task.get()).collect(),
        }
    }
}
