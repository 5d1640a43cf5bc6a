//! `launches` and `launch_events`: attempts in containers of their own. Everything here asks for a lease that
//! holds by the database's clock, so that a ticket is worth nothing once its attempt is over.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{LaunchNonce, LaunchTicket, wire::launch::Stage};

use super::{
    Error,
    attempts::Current,
    leases::{Columns, LeaseRow},
};

/// Removes launches of attempts that are over, some at a time. Others who do so at once take others.
///
/// # Errors
/// When the database fails.
pub async fn clear(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "-- launches::clear
        delete from launches where attempt_id in (
            select n.attempt_id from launches n
            where not exists (select from leases l where l.attempt_id = n.attempt_id)
            limit 100 for update skip locked
        )"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes a ticket down, in the place of one that nobody has redeemed; answers when it ends. `None` when it
/// was redeemed.
///
/// # Errors
/// When the database fails.
pub async fn issue(
    conn: &mut PgConnection,
    attempt: &Current,
    ticket: &LaunchTicket,
    valid: Duration,
) -> Result<Option<DateTime<Utc>>, Error> {
    let ticket = ticket.sha256();
    let ends = sqlx::query_scalar!(
        "-- launches::issue
        insert into launches (attempt_id, ticket_sha256, expires_at)
        values ($1, $2, now() + make_interval(secs => $3))
        on conflict (attempt_id) do update
        set ticket_sha256 = excluded.ticket_sha256, expires_at = excluded.expires_at
        where launches.nonce_sha256 is null
        returning expires_at",
        attempt.attempt().get(),
        &ticket.as_bytes()[..],
        valid.as_secs_f64()
    )
    .fetch_optional(conn)
    .await?;
    Ok(ends)
}

/// The lease behind a ticket that can be redeemed, or was; without a lock.
///
/// # Errors
/// When the database fails.
pub async fn lease_of(conn: &mut PgConnection, ticket: &LaunchTicket) -> Result<Option<LeaseRow>, Error> {
    let ticket = ticket.sha256();
    let found = sqlx::query_as!(
        Columns,
        "-- launches::lease_of
        select l.attempt_id, l.lease_token, l.task_id, l.worker_id, l.failures, l.losses, l.started_at,
            l.expires_at
        from launches n join leases l on l.attempt_id = n.attempt_id
        where n.ticket_sha256 = $1 and l.expires_at > now()
            and (n.nonce_sha256 is not null or n.expires_at > now())",
        &ticket.as_bytes()[..]
    )
    .fetch_optional(conn)
    .await?;
    found.map(LeaseRow::try_from).transpose()
}

/// What became of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redeemed {
    /// It belongs to this nonce, from now on or from before.
    Mine,
    /// It belongs to another.
    Another,
    /// It is none, or was not redeemed in time, or its attempt is over.
    Invalid,
}

/// Redeems a ticket. One statement, so that of two who do so at once one is first.
///
/// # Errors
/// When the database fails.
pub async fn redeem(
    conn: &mut PgConnection,
    ticket: &LaunchTicket,
    nonce: &LaunchNonce,
) -> Result<Redeemed, Error> {
    let (ticket, nonce) = (ticket.sha256(), nonce.sha256());
    let is_mine = sqlx::query_scalar!(
        r#"-- launches::redeem
        update launches n
        set nonce_sha256 = coalesce(n.nonce_sha256, $2), redeemed_at = coalesce(n.redeemed_at, now())
        from leases l
        where n.ticket_sha256 = $1 and l.attempt_id = n.attempt_id and l.expires_at > clock_timestamp()
            and (n.nonce_sha256 is not null or n.expires_at > clock_timestamp())
        returning n.nonce_sha256 = $2 as "is_mine!""#,
        &ticket.as_bytes()[..],
        &nonce.as_bytes()[..]
    )
    .fetch_optional(conn)
    .await?;
    Ok(match is_mine {
        Some(true) => Redeemed::Mine,
        Some(false) => Redeemed::Another,
        None => Redeemed::Invalid,
    })
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It is kept; so many bytes of the attempt are in all.
    Kept(u64),
    /// The nonce is not the one that redeemed the ticket, or the attempt is over.
    Invalid,
}

/// Keeps events that a runner reports, the first with number `first_seq`. Those that are there are dropped.
///
/// # Errors
/// When the database fails.
pub async fn report(
    conn: &mut PgConnection,
    ticket: &LaunchTicket,
    nonce: &LaunchNonce,
    first_seq: i64,
    events: &[String],
) -> Result<Reported, Error> {
    let (ticket, nonce) = (ticket.sha256(), nonce.sha256());
    let bytes = sqlx::query_scalar!(
        r#"-- launches::report
        with current as materialized (
            select n.attempt_id, n.reported_bytes from launches n join leases l on l.attempt_id = n.attempt_id
            where n.ticket_sha256 = $1 and n.nonce_sha256 = $2 and l.expires_at > clock_timestamp()
            for update of n
        ), kept as (
            insert into launch_events (attempt_id, seq, event)
            select c.attempt_id, $3 + e.n - 1, e.event
            from current c cross join unnest($4::text[]) with ordinality as e(event, n)
            on conflict (attempt_id, seq) do nothing
            returning octet_length(event) as bytes
        ), added as (
            select coalesce(sum(bytes), 0)::bigint as bytes from kept
        ), counted as (
            update launches n set reported_bytes = c.reported_bytes + a.bytes
            from current c, added a where n.attempt_id = c.attempt_id and a.bytes > 0
        )
        select c.reported_bytes + a.bytes as "bytes!" from current c, added a"#,
        &ticket.as_bytes()[..],
        &nonce.as_bytes()[..],
        first_seq,
        events
    )
    .fetch_optional(conn)
    .await?;
    match bytes {
        Some(bytes) => {
            let bytes = u64::try_from(bytes).map_err(|error| Error::corrupt("a report's size", error))?;
            Ok(Reported::Kept(bytes))
        }
        None => Ok(Reported::Invalid),
    }
}

/// Drops the events that the worker has taken, which are those below `taken`.
///
/// # Errors
/// When the database fails.
pub async fn drop_taken(conn: &mut PgConnection, attempt: &Current, taken: i64) -> Result<(), Error> {
    sqlx::query!(
        "-- launches::drop_taken
        delete from launch_events where attempt_id = $1 and seq < $2",
        attempt.attempt().get(),
        taken
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The events from number `from` on, with their numbers.
///
/// # Errors
/// When the database fails.
pub async fn events(
    conn: &mut PgConnection,
    attempt: &Current,
    from: i64,
    limit: i64,
) -> Result<Vec<(i64, String)>, Error> {
    let found = sqlx::query!(
        "-- launches::events
        select seq, event from launch_events where attempt_id = $1 and seq >= $2 order by seq limit $3",
        attempt.attempt().get(),
        from,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|row| (row.seq, row.event)).collect())
}

/// How far the launch of an attempt is; `None` without a ticket.
///
/// # Errors
/// When the database fails.
pub async fn stage(conn: &mut PgConnection, attempt: &Current) -> Result<Option<Stage>, Error> {
    let is_redeemed = sqlx::query_scalar!(
        r#"-- launches::stage
        select nonce_sha256 is not null as "is_redeemed!" from launches where attempt_id = $1"#,
        attempt.attempt().get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(is_redeemed.map(|is_redeemed| if is_redeemed { Stage::Redeemed } else { Stage::Ticketed }))
}
