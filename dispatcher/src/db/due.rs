//! What the background looks at.

use sqlx::PgConnection;

use super::Error;

/// What is due, and when the next thing will be.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Due {
    /// A task is ready now.
    pub ready: bool,
    /// Seconds until the next delayed task is due; negative when one is.
    pub next_ready: Option<f64>,
    /// Seconds until the next lease runs out, unless it is extended; negative when one has.
    pub next_expiry: Option<f64>,
    /// Limits hold tasks back.
    pub held: bool,
    /// Seconds until a rate lets a held task go; the look at what is held tells it.
    pub next_start: Option<f64>,
    /// Claims are remembered that nobody asks again for.
    pub stale_claims: bool,
    /// Something runs whose authority is over: a dispatcher stopped before it had taken it back.
    pub unauthorised: bool,
}

/// What is due by the database's clock.
///
/// # Errors
/// When the database fails.
pub async fn due(conn: &mut PgConnection) -> Result<Due, Error> {
    let row = sqlx::query!(
        r#"-- due::due
        select exists (select from ready) as "ready!",
            (select extract(epoch from min(not_before) - now())::double precision from delayed) as next_ready,
            (select extract(epoch from min(expires_at) - now())::double precision from leases) as next_expiry,
            exists (select from held) as "held!",
            exists (select from claims where claimed_at < now() - interval '1 hour') as "stale_claims!",
            exists (select from leases where started_at <
                    (select max(stopped_at) from signing_keys where revoked_at is not null))
                or exists (select from users u join runs r on r.triggered_by = u.user_id
                    where u.suspended_at is not null and r.state = 'running')
                or exists (select from workers w join leases l on l.worker_id = w.worker_id
                    where w.revoked_at is not null)
                or exists (select from egress_rules where state <> 'holds') as "unauthorised!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(Due {
        ready: row.ready,
        next_ready: row.next_ready,
        next_expiry: row.next_expiry,
        held: row.held,
        next_start: None,
        stale_claims: row.stale_claims,
        unauthorised: row.unauthorised,
    })
}

/// Asks for nothing, to see that the database answers.
///
/// # Errors
/// When it does not.
pub async fn ping(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        r#"-- due::ping
        select 1 as "one!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}
