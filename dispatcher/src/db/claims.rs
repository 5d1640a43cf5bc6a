//! `claims`, and the way from `ready` to `leases`.

use sqlx::PgConnection;
use trace_contracts::{ClaimId, WorkerId};
use uuid::Uuid;

use super::{
    Error,
    leases::{Columns, LeaseRow},
};
use crate::attempt_ids::Reserved;

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
pub async fn lock(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "-- claims::lock
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
        r#"-- claims::reserve_attempts
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
pub async fn answered(conn: &mut PgConnection, claims: &[Uuid]) -> Result<Vec<Claimed>, Error> {
    let found = sqlx::query!(
        "-- claims::answered
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

/// Whether claims were answered at once.
#[derive(Debug)]
pub enum AtOnce {
    /// They were: each lease with the claim that it belongs to.
    Taken(Vec<(ClaimId, LeaseRow)>),
    /// One of them was answered before, and nothing was taken for any.
    AnsweredBefore,
}

/// What [`lock`], [`answered`] and [`take`] do for claims of whatever is ready, in one statement that is a
/// transaction by itself (`migrations/0004_claim.sql`).
///
/// # Errors
/// When the database fails. The numbers that may have been used then are not used again.
pub async fn take_at_once(
    conn: &mut PgConnection,
    slots: &[Slot],
    ids: &mut Reserved,
    lease_seconds: f64,
) -> Result<AtOnce, Error> {
    let mut turns = turns(slots);
    turns.truncate(ids.left());
    let found = sqlx::query!(
        r#"-- claims::take_at_once
        select answered as "answered!", attempt_id, lease_token, task_id, worker_id, claim_id, failures, losses,
            started_at, expires_at
        from claim_tasks($1, $2, $3, $4, $5)"#,
        &slots.iter().map(|slot| slot.worker.get()).collect::<Vec<_>>(),
        &slots.iter().map(|slot| slot.claim.get()).collect::<Vec<_>>(),
        &turns,
        ids.next(),
        lease_seconds
    )
    .fetch_all(conn)
    .await;
    // An answer that is lost does not say what was committed.
    ids.used(found.as_ref().map_or(turns.len(), Vec::len));
    let mut taken = Vec::new();
    for row in found? {
        if row.answered {
            return Ok(AtOnce::AnsweredBefore);
        }
        let absent = || Error::corrupt("a claim", "a lease lacks a column");
        let columns = Columns {
            attempt_id: row.attempt_id.ok_or_else(absent)?,
            lease_token: row.lease_token.ok_or_else(absent)?,
            task_id: row.task_id.ok_or_else(absent)?,
            worker_id: row.worker_id.ok_or_else(absent)?,
            failures: row.failures.ok_or_else(absent)?,
            losses: row.losses.ok_or_else(absent)?,
            started_at: row.started_at.ok_or_else(absent)?,
            expires_at: row.expires_at.ok_or_else(absent)?,
        };
        let claim = row.claim_id.ok_or_else(absent)?;
        taken.push((ClaimId::from_uuid(claim), LeaseRow::try_from(columns)?));
    }
    Ok(AtOnce::Taken(taken))
}

/// Moves ready tasks to `leases`, deals them out to the slots in turns, and remembers which claim was
/// given what. With `only`, no other tasks than these. Claims must be
/// locked ([`lock`]). Answers each lease with the claim that it belongs to.
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
pub async fn take(
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
        r#"-- claims::take
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
pub async fn forget(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("-- claims::forget\ndelete from claims where claimed_at < now() - interval '1 hour'")
        .execute(conn)
        .await?;
    Ok(())
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
