//! `leases`: what runs.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{AttemptId, ClaimId, LeaseToken, RunId, TaskId, WorkerId, wire::worker::Fence};
use uuid::Uuid;

use super::Error;
use crate::attempt_ids::Reserved;

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
struct Columns {
    attempt_id: i64,
    lease_token: Uuid,
    task_id: i64,
    worker_id: i64,
    failures: i16,
    losses: i16,
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

/// A claim that wants tasks.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Who claims.
    pub worker: WorkerId,
    /// The claim.
    pub claim: ClaimId,
    /// At most this many.
    pub max: u32,
}

/// Makes other claims of every dispatcher wait until this transaction ends. So claims need no row
/// locks and skip nothing, and a claim sent twice at once is answered from one set of leases.
///
/// The transaction will not wait for the disk: see [`crate::attempt_ids`].
///
/// The planner is told to use the key of `ready` whatever the statistics of a table that is empty
/// at one moment and full at the next say.
///
/// # Errors
/// When the database fails.
pub async fn lock_claims(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "-- leases::lock_claims
        select pg_advisory_xact_lock(hashtext('trace.claims')) as locked,
            set_config('enable_seqscan', 'off', true) as seqscan,
            set_config('enable_bitmapscan', 'off', true) as bitmapscan,
            set_config('synchronous_commit', 'off', true) as synchronous_commit"
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Numbers of attempts that are reserved at once.
pub const ATTEMPT_BLOCK: i64 = 10_000;

/// Reserves [`ATTEMPT_BLOCK`] numbers for attempts, for ever; answers the first.
///
/// # Errors
/// When the database fails.
pub async fn reserve_attempts(conn: &mut PgConnection) -> Result<i64, Error> {
    let first = sqlx::query_scalar!(
        r#"-- leases::reserve_attempts
        select nextval('attempt_ids') as "first!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(first)
}

/// A claim that was answered before.
#[derive(Debug)]
pub struct Claimed {
    /// Who claimed.
    pub worker: WorkerId,
    /// The claim.
    pub claim: ClaimId,
    /// The attempts that it was given.
    pub attempts: Vec<i64>,
}

/// Those of these claims that were answered before.
///
/// # Errors
/// When the database fails.
pub async fn claimed(conn: &mut PgConnection, claims: &[Uuid]) -> Result<Vec<Claimed>, Error> {
    let found = sqlx::query!(
        "-- leases::claimed
        select claim_id, worker_id, attempts from claims where claim_id = any($1)",
        claims
    )
    .fetch_all(conn)
    .await?;
    let rows = found.into_iter().map(|row| Claimed {
        worker: WorkerId::from_db(row.worker_id),
        claim: ClaimId::from_uuid(row.claim_id),
        attempts: row.attempts,
    });
    Ok(rows.collect())
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

/// Moves ready tasks to `leases`, deals them out to the slots in turns, and remembers which claim was
/// given what. With `only`, no other tasks than these. Claims must be
/// locked ([`lock_claims`]). Answers each lease with the claim that it belongs to.
///
/// Tasks of priority 0 are taken by their numbers; those with a priority come before them by their
/// ranks, or after them, as long as the ones have waited. Each order has its own index, and of each no
/// more rows are looked at than are claimed.
///
/// The rows are found and deleted by their place (`ctid`), which is stable because rows of `ready`
/// are never updated.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    conn: &mut PgConnection,
    slots: &[Slot],
    only: Option<&[i64]>,
    ids: &mut Reserved,
    lease_seconds: f64,
) -> Result<Vec<(ClaimId, LeaseRow)>, Error> {
    let mut turns = turns(slots);
    turns.truncate(ids.left());
    let most = i64::try_from(turns.len()).unwrap_or(i64::MAX);
    let found = sqlx::query!(
        r#"-- leases::claim
        with slots as (
            select * from unnest($1::bigint[], $2::uuid[]) with ordinality as s(worker_id, claim_id, no)
        ), taken as (
            delete from ready where ctid = any (array(
                select ctid from (
                    (select ctid, ready_at as rank, task_id from ready
                    where rank is null and ($4::bigint[] is null or task_id = any($4))
                    order by task_id limit $5)
                    union all
                    (select ctid, rank, task_id from ready
                    where rank is not null and ($4::bigint[] is null or task_id = any($4))
                    order by rank, task_id limit $5)
                ) next
                order by rank, task_id limit $5
            ))
            returning task_id, failures, losses
        ), dealt as (
            select n.task_id, n.failures, n.losses, s.worker_id, s.claim_id, $7 + n.n - 1 as attempt_id
            from (select *, row_number() over (order by task_id) as n from taken) n
            join slots s on s.no = ($3::integer[])[n.n]
        ), remembered as (
            insert into claims (claim_id, worker_id, attempts)
            select claim_id, worker_id, array_agg(attempt_id order by attempt_id) from dealt group by 1, 2
        ), leased as (
            insert into leases (attempt_id, task_id, worker_id, lease_token, failures, losses, expires_at)
            select attempt_id, task_id, worker_id, gen_random_uuid(), failures, losses,
                now() + make_interval(secs => $6)
            from dealt
            returning attempt_id, lease_token, started_at, expires_at
        )
        select d.attempt_id as "attempt_id!", l.lease_token as "lease_token!", d.task_id as "task_id!",
            d.worker_id as "worker_id!", d.claim_id as "claim_id!", d.failures as "failures!",
            d.losses as "losses!", l.started_at as "started_at!", l.expires_at as "expires_at!"
        from leased l join dealt d on d.attempt_id = l.attempt_id
        order by d.attempt_id"#,
        &slots.iter().map(|slot| slot.worker.get()).collect::<Vec<_>>(),
        &slots.iter().map(|slot| slot.claim.get()).collect::<Vec<_>>(),
        &turns,
        only as Option<&[i64]>,
        most,
        lease_seconds,
        ids.next()
    )
    .fetch_all(conn)
    .await?;
    ids.used(found.len());
    found
        .into_iter()
        .map(|row| {
            let columns = Columns {
                attempt_id: row.attempt_id,
                lease_token: row.lease_token,
                task_id: row.task_id,
                worker_id: row.worker_id,
                failures: row.failures,
                losses: row.losses,
                started_at: row.started_at,
                expires_at: row.expires_at,
            };
            Ok((ClaimId::from_uuid(row.claim_id), LeaseRow::try_from(columns)?))
        })
        .collect()
}

/// Who gets the first task, the second and so on: slots take turns, numbered from 1, and each is
/// passed over once it has all that it wants. So the workers that wait share what there is.
fn turns(slots: &[Slot]) -> Vec<i32> {
    let rounds = slots.iter().map(|slot| slot.max).max().unwrap_or_default();
    let round = |round| (1..).zip(slots).filter(move |(_, slot)| round < slot.max).map(|(no, _)| no);
    (0..rounds).flat_map(round).collect()
}

/// Forgets claims that nobody asks again for.
///
/// # Errors
/// When the database fails.
pub async fn forget_claims(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("-- leases::forget_claims\ndelete from claims where claimed_at < now() - interval '1 hour'")
        .execute(conn)
        .await?;
    Ok(())
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

/// The leases whose fences are current, without a lock: for what is prepared before a transaction.
///
/// # Errors
/// When the database fails.
pub async fn peek(conn: &mut PgConnection, shown: &[ShownFence]) -> Result<Vec<LeaseRow>, Error> {
    let FenceColumns { attempts, tokens, workers, tasks } = FenceColumns::of(shown);
    let found = sqlx::query_as!(
        Columns,
        "-- leases::peek
        select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
            l.expires_at
        from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[])
            as f(attempt_id, lease_token, worker_id, task_id)
        join leases l on l.attempt_id = f.attempt_id and l.lease_token = f.lease_token
            and l.worker_id = f.worker_id and l.task_id = f.task_id
        where l.expires_at > now()",
        &attempts,
        &tokens,
        &workers,
        &tasks
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
    let FenceColumns { attempts, tokens, workers, tasks } = FenceColumns::of(shown);
    let found = sqlx::query_as!(
        Columns,
        "-- leases::hold
        select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
            l.expires_at
        from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[])
            as f(attempt_id, lease_token, worker_id, task_id)
        join leases l on l.attempt_id = f.attempt_id and l.lease_token = f.lease_token
            and l.worker_id = f.worker_id and l.task_id = f.task_id
        where l.expires_at > clock_timestamp()
        order by l.attempt_id for update of l",
        &attempts,
        &tokens,
        &workers,
        &tasks
    )
    .fetch_all(conn)
    .await?;
    rows(found)
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

/// The lease of an attempt, if it holds.
///
/// # Errors
/// When the database fails.
pub async fn current(conn: &mut PgConnection, attempt: AttemptId) -> Result<Option<LeaseRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- leases::current
        select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
            l.expires_at
        from leases l
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_take_turns_until_each_has_what_it_wants() {
        let slot = |max| Slot { worker: WorkerId::from_db(1), claim: ClaimId::random(), max };
        assert_eq!(turns(&[slot(3), slot(1), slot(2)]), [1, 2, 3, 1, 3, 1]);
        assert_eq!(turns(&[slot(0), slot(2)]), [2, 2]);
        assert!(turns(&[]).is_empty());
    }
}
