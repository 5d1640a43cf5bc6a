//! `leases`: what runs.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, ClaimId, LeaseToken, PartitionKey, RunId, TaskId, WorkerId, wire::worker::Fence,
};
use uuid::Uuid;

use super::Error;

/// A lease with what its task is.
#[derive(Debug, Clone)]
pub struct LeaseRow {
    /// The attempt.
    pub attempt: AttemptId,
    /// The fence.
    pub lease_token: LeaseToken,
    /// The task.
    pub task: TaskId,
    /// The run.
    pub run: RunId,
    /// The job's index in the spec.
    pub job: usize,
    /// The partition.
    pub partition: PartitionKey,
    /// Who holds it.
    pub worker: WorkerId,
    /// The claim that made it.
    pub claim: ClaimId,
    /// Tries before this one that count.
    pub failures: u32,
    /// Tries before this one whose worker was lost.
    pub losses: u32,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ends, unless extended.
    pub expires_at: DateTime<Utc>,
}

/// A fence as a worker showed it.
#[derive(Debug, Clone, Copy)]
pub struct ShownFence {
    /// The worker, proven by its identity.
    pub worker: WorkerId,
    /// What it showed.
    pub fence: Fence,
}

/// The columns of a lease and its task, as the macros yield them.
struct Columns {
    attempt_id: i64,
    lease_token: Uuid,
    task_id: i64,
    run_id: i64,
    job_no: i32,
    partition: String,
    worker_id: i64,
    claim_id: Uuid,
    failures: i32,
    losses: i32,
    started_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl TryFrom<Columns> for LeaseRow {
    type Error = Error;

    fn try_from(columns: Columns) -> Result<Self, Error> {
        Ok(Self {
            attempt: AttemptId::from_db(columns.attempt_id),
            lease_token: LeaseToken::from_uuid(columns.lease_token),
            task: TaskId::from_db(columns.task_id),
            run: RunId::from_db(columns.run_id),
            job: super::job_index(columns.job_no)?,
            partition: super::partition(&columns.partition)?,
            worker: WorkerId::from_db(columns.worker_id),
            claim: ClaimId::from_uuid(columns.claim_id),
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

/// What a claim is given: the numbers of its rows among those that are taken.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Who claims.
    pub worker: WorkerId,
    /// The claim.
    pub claim: ClaimId,
    /// At most this many.
    pub max: u32,
}

/// Makes other transactions with one of these claims wait until this one ends, so that the same
/// claim sent twice at once is answered from one set of leases.
///
/// # Errors
/// When the database fails.
pub async fn lock_claims(conn: &mut PgConnection, claims: &[Uuid]) -> Result<(), Error> {
    sqlx::query!(
        "-- leases::lock_claims
        select pg_advisory_xact_lock(key) from (
            select distinct hashtextextended(claim_id::text, 0) as key
            from unnest($1::uuid[]) as c(claim_id) order by 1
        ) keys",
        claims
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The leases that these claims made and that still hold.
///
/// # Errors
/// When the database fails.
pub async fn of_claims(conn: &mut PgConnection, claims: &[Uuid]) -> Result<Vec<LeaseRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- leases::leases_of_claims
        select l.attempt_id, l.lease_token, l.task_id, t.run_id, t.job_no, t.partition, l.worker_id, l.claim_id,
            l.failures, l.losses, l.started_at, l.expires_at
        from leases l join tasks t on t.task_id = l.task_id
        where l.claim_id = any($1) and l.expires_at > now()
        order by l.attempt_id",
        claims
    )
    .fetch_all(conn)
    .await?;
    rows(found)
}

/// Moves tasks that are due from `ready` to `leases`, oldest first, and deals them out to the slots
/// in their order. With `only`, no other tasks than these.
///
/// The rows are found and deleted by their place (`ctid`), which is stable because rows of `ready`
/// are never updated; so the plan stays the same whatever the tables' statistics say.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    conn: &mut PgConnection,
    slots: &[Slot],
    only: Option<&[i64]>,
    lease_seconds: f64,
) -> Result<Vec<LeaseRow>, Error> {
    let mut last = 0;
    let ranges: Vec<(i64, i64)> = slots
        .iter()
        .map(|slot| {
            let first = last + 1;
            last += i64::from(slot.max);
            (first, last)
        })
        .collect();
    let found = sqlx::query_as!(
        Columns,
        r#"-- leases::claim
        with slots as (
            select * from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[])
                as s(worker_id, claim_id, first, last)
        ), taken as (
            delete from ready where ctid = any (array(
                select ctid from ready
                where not_before <= now() and ($5::bigint[] is null or task_id = any($5))
                order by task_id limit $6 for update skip locked
            ))
            returning task_id, failures, losses
        ), numbered as (
            select *, row_number() over (order by task_id) as n from taken
        ), leased as (
            insert into leases (attempt_id, task_id, worker_id, claim_id, lease_token, failures, losses, expires_at)
            select nextval('attempt_ids'), n.task_id, s.worker_id, s.claim_id, gen_random_uuid(),
                n.failures, n.losses, now() + make_interval(secs => $7)
            from numbered n join slots s on n.n between s.first and s.last
            returning *
        )
        select l.attempt_id as "attempt_id!", l.lease_token as "lease_token!", l.task_id as "task_id!",
            t.run_id as "run_id!", t.job_no as "job_no!", t.partition as "partition!",
            l.worker_id as "worker_id!", l.claim_id as "claim_id!", l.failures as "failures!",
            l.losses as "losses!", l.started_at as "started_at!", l.expires_at as "expires_at!"
        from leased l join tasks t on t.task_id = l.task_id"#,
        &slots.iter().map(|slot| slot.worker.get()).collect::<Vec<_>>(),
        &slots.iter().map(|slot| slot.claim.get()).collect::<Vec<_>>(),
        &ranges.iter().map(|range| range.0).collect::<Vec<_>>(),
        &ranges.iter().map(|range| range.1).collect::<Vec<_>>(),
        only as Option<&[i64]>,
        last,
        lease_seconds
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
    let (attempts, tokens, workers) = columns_of(shown);
    let found = sqlx::query!(
        "-- leases::extend
        with held as (
            select l.attempt_id
            from unnest($1::bigint[], $2::uuid[], $3::bigint[]) as f(attempt_id, lease_token, worker_id)
            join leases l on l.attempt_id = f.attempt_id and l.lease_token = f.lease_token
                and l.worker_id = f.worker_id
            where l.expires_at > clock_timestamp()
            order by l.attempt_id for no key update of l
        )
        update leases l set expires_at = now() + make_interval(secs => $4)
        from held where held.attempt_id = l.attempt_id
        returning l.attempt_id, l.lease_token, l.worker_id, l.expires_at",
        &attempts,
        &tokens,
        &workers,
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

/// The leases whose fences are current, without a lock: for what is prepared before a transaction.
///
/// # Errors
/// When the database fails.
pub async fn peek(conn: &mut PgConnection, shown: &[ShownFence]) -> Result<Vec<LeaseRow>, Error> {
    let (attempts, tokens, workers) = columns_of(shown);
    let found = sqlx::query_as!(
        Columns,
        "-- leases::peek
        select l.attempt_id, l.lease_token, l.task_id, t.run_id, t.job_no, t.partition, l.worker_id, l.claim_id,
            l.failures, l.losses, l.started_at, l.expires_at
        from unnest($1::bigint[], $2::uuid[], $3::bigint[]) as f(attempt_id, lease_token, worker_id)
        join leases l on l.attempt_id = f.attempt_id and l.lease_token = f.lease_token
            and l.worker_id = f.worker_id
        join tasks t on t.task_id = l.task_id
        where l.expires_at > now()",
        &attempts,
        &tokens,
        &workers
    )
    .fetch_all(conn)
    .await?;
    rows(found)
}

/// The leases whose fences are current, locked until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn hold(conn: &mut PgConnection, shown: &[ShownFence]) -> Result<Vec<LeaseRow>, Error> {
    let (attempts, tokens, workers) = columns_of(shown);
    let found = sqlx::query_as!(
        Columns,
        "-- leases::hold
        select l.attempt_id, l.lease_token, l.task_id, t.run_id, t.job_no, t.partition, l.worker_id, l.claim_id,
            l.failures, l.losses, l.started_at, l.expires_at
        from unnest($1::bigint[], $2::uuid[], $3::bigint[]) as f(attempt_id, lease_token, worker_id)
        join leases l on l.attempt_id = f.attempt_id and l.lease_token = f.lease_token
            and l.worker_id = f.worker_id
        join tasks t on t.task_id = l.task_id
        where l.expires_at > clock_timestamp()
        order by l.attempt_id for update of l",
        &attempts,
        &tokens,
        &workers
    )
    .fetch_all(conn)
    .await?;
    rows(found)
}

/// Attempts whose lease has run out, and the runs that they belong to; without a lock.
///
/// # Errors
/// When the database fails.
pub async fn expired(conn: &mut PgConnection, limit: i64) -> Result<Vec<(AttemptId, RunId)>, Error> {
    let found = sqlx::query!(
        "-- leases::expired
        select l.attempt_id, t.run_id from leases l join tasks t on t.task_id = l.task_id
        where l.expires_at <= clock_timestamp() limit $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.iter().map(|row| (AttemptId::from_db(row.attempt_id), RunId::from_db(row.run_id))).collect())
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
        select l.attempt_id, l.lease_token, l.task_id, t.run_id, t.job_no, t.partition, l.worker_id, l.claim_id,
            l.failures, l.losses, l.started_at, l.expires_at
        from leases l join tasks t on t.task_id = l.task_id
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
    let found = sqlx::query_as!(
        Columns,
        "-- leases::hold_run
        select l.attempt_id, l.lease_token, l.task_id, t.run_id, t.job_no, t.partition, l.worker_id, l.claim_id,
            l.failures, l.losses, l.started_at, l.expires_at
        from leases l join tasks t on t.task_id = l.task_id
        where t.run_id = $1
        order by l.attempt_id for update of l",
        run.get()
    )
    .fetch_all(conn)
    .await?;
    rows(found)
}

/// The lease of an attempt, if it holds.
///
/// # Errors
/// When the database fails.
pub async fn current(conn: &mut PgConnection, attempt: AttemptId) -> Result<Option<LeaseRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- leases::current
        select l.attempt_id, l.lease_token, l.task_id, t.run_id, t.job_no, t.partition, l.worker_id, l.claim_id,
            l.failures, l.losses, l.started_at, l.expires_at
        from leases l join tasks t on t.task_id = l.task_id
        where l.attempt_id = $1 and l.expires_at > now()",
        attempt.get()
    )
    .fetch_optional(conn)
    .await?;
    found.map(LeaseRow::try_from).transpose()
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

fn columns_of(shown: &[ShownFence]) -> (Vec<i64>, Vec<Uuid>, Vec<i64>) {
    let attempts = shown.iter().map(|one| one.fence.attempt.get()).collect();
    let tokens = shown.iter().map(|one| one.fence.lease_token.get()).collect();
    let workers = shown.iter().map(|one| one.worker.get()).collect();
    (attempts, tokens, workers)
}
