//! `signing_keys`: which keys sign capabilities or did, and what holds tokens of revoked ones.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{AttemptId, KeyId, TaskId, UserId};

use super::Error;

/// A key's public half and its times.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// The key.
    pub kid: KeyId,
    /// The public half.
    pub point: Point,
    /// When it began to sign.
    pub signs_from: DateTime<Utc>,
    /// When it stopped.
    pub stopped_at: Option<DateTime<Utc>>,
    /// Until when what it signed is believed.
    pub retires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Why it was revoked.
    pub reason: Option<String>,
    /// Whether its time is up, by the database's clock.
    pub is_retired: bool,
    /// What the root of trust says of it.
    pub certificate: Option<String>,
    /// When its certificate ends.
    pub certified_until: Option<DateTime<Utc>>,
}

/// What the root of trust says of a key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// As it is published.
    pub text: String,
    /// Not believed from then on.
    pub until: DateTime<Utc>,
}

/// The key that signs.
#[derive(Debug, Clone)]
pub struct SigningRow {
    /// The key.
    pub kid: KeyId,
    /// Seconds until what it signs may not be believed to its end any more; negative from then on, and where
    /// nobody certifies it.
    pub certified_seconds: Option<f64>,
    /// For how many seconds it has signed.
    pub age_seconds: f64,
}

/// A point on P-256, its coordinates in Base64 for addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The first coordinate.
    pub x: String,
    /// The second one.
    pub y: String,
}

/// Lets nobody else change keys, and no claim commit, until this transaction ends: an attempt that is not
/// there yet when the key that signs is changed gets its token from the next key.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "-- keys::lock
        select pg_advisory_xact_lock(hashtext('trace.keys')) as keys,
            pg_advisory_xact_lock(hashtext('trace.claims')) as claims"
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Every key, the one that signs first, then by when they stopped.
///
/// # Errors
/// When the database fails.
pub async fn all(conn: &mut PgConnection) -> Result<Vec<KeyRow>, Error> {
    let found = sqlx::query!(
        r#"-- keys::all
        select kid, x, y, signs_from, stopped_at, retires_at, revoked_at, reason, certificate, certified_until,
            coalesce(retires_at <= now(), false) as "is_retired!"
        from signing_keys order by stopped_at desc nulls first, signs_from desc"#
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(KeyRow {
                kid: kid(&row.kid)?,
                point: Point { x: row.x, y: row.y },
                signs_from: row.signs_from,
                stopped_at: row.stopped_at,
                retires_at: row.retires_at,
                revoked_at: row.revoked_at,
                reason: row.reason,
                is_retired: row.is_retired,
                certificate: row.certificate,
                certified_until: row.certified_until,
            })
        })
        .collect()
}

/// The key that signs.
///
/// # Errors
/// When the database fails.
pub async fn signing(conn: &mut PgConnection) -> Result<Option<KeyId>, Error> {
    Ok(signing_row(conn, 0.0).await?.map(|row| row.kid))
}

/// The same with its times. What it signs is to be believed for `life_seconds`.
///
/// # Errors
/// When the database fails.
pub async fn signing_row(conn: &mut PgConnection, life_seconds: f64) -> Result<Option<SigningRow>, Error> {
    let found = sqlx::query!(
        r#"-- keys::signing_row
        select kid, extract(epoch from clock_timestamp() - signs_from)::double precision as "age_seconds!",
            extract(epoch from certified_until - clock_timestamp())::double precision - $1 as certified_seconds
        from signing_keys where stopped_at is null"#,
        life_seconds
    )
    .fetch_optional(conn)
    .await?;
    found
        .map(|row| {
            Ok(SigningRow {
                kid: kid(&row.kid)?,
                certified_seconds: row.certified_seconds,
                age_seconds: row.age_seconds,
            })
        })
        .transpose()
}

/// The key that signs from now on. Whoever signed has to be stopped before.
///
/// # Errors
/// When the database fails, or another key signs.
pub async fn start(
    conn: &mut PgConnection,
    new: &KeyId,
    point: &Point,
    certificate: Option<&Certificate>,
) -> Result<(), Error> {
    sqlx::query!(
        "-- keys::start
        insert into signing_keys (kid, x, y, signs_from, certificate, certified_until)
        values ($1, $2, $3, clock_timestamp(), $4, $5)",
        new.as_str(),
        point.x,
        point.y,
        certificate.map(|certificate| certificate.text.as_str()),
        certificate.map(|certificate| certificate.until)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stops the key that signs; what it signed is believed for so many seconds more. Answers the key.
///
/// # Errors
/// When the database fails.
pub async fn stop(conn: &mut PgConnection, overlap_seconds: f64) -> Result<Option<KeyId>, Error> {
    let stopped = sqlx::query_scalar!(
        "-- keys::stop
        update signing_keys k
        set stopped_at = t.at, retires_at = t.at + make_interval(secs => $1)
        from (select clock_timestamp() as at) t
        where k.stopped_at is null returning k.kid",
        overlap_seconds
    )
    .fetch_optional(conn)
    .await?;
    stopped.as_deref().map(kid).transpose()
}

/// Revokes a key that has stopped; one that was revoked before stays as it is. Answers whether there is
/// such a key.
///
/// # Errors
/// When the database fails.
pub async fn revoke(
    conn: &mut PgConnection,
    key: &KeyId,
    by: UserId,
    reason: &str,
) -> Result<Revoked, Error> {
    let before = sqlx::query_scalar!(
        r#"-- keys::revoke
        with key as (
            select kid, revoked_at from signing_keys where kid = $1 for update
        ), revoked as (
            update signing_keys k set revoked_at = clock_timestamp(), revoked_by = $2, reason = $3
            from key where key.kid = k.kid and key.revoked_at is null
        )
        select revoked_at is not null as "before!" from key"#,
        key.as_str(),
        by.get(),
        reason
    )
    .fetch_optional(conn)
    .await?;
    Ok(match before {
        None => Revoked::Unknown,
        Some(true) => Revoked::Before,
        Some(false) => Revoked::Now,
    })
}

/// What became of a key that is to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// It was.
    Now,
    /// It had been before.
    Before,
    /// There is no such key.
    Unknown,
}

/// Those of these keys that are revoked.
///
/// # Errors
/// When the database fails.
pub async fn revoked(conn: &mut PgConnection, keys: &[String]) -> Result<Vec<KeyId>, Error> {
    let found = sqlx::query_scalar!(
        "-- keys::revoked
        select kid from signing_keys where kid = any($1) and revoked_at is not null",
        keys
    )
    .fetch_all(conn)
    .await?;
    found.iter().map(|found| kid(found)).collect()
}

/// Attempts that run and may hold a token of a revoked key: those that began before the key stopped.
///
/// # Errors
/// When the database fails.
pub async fn holders_of_revoked(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(AttemptId, TaskId)>, Error> {
    let found = sqlx::query!(
        "-- keys::holders_of_revoked
        select attempt_id, task_id from leases
        where started_at < (select max(stopped_at) from signing_keys where revoked_at is not null)
        order by attempt_id limit $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.iter().map(|row| (AttemptId::from_db(row.attempt_id), TaskId::from_db(row.task_id))).collect())
}

/// A key's id as a column holds it.
///
/// # Errors
/// When it holds something else.
pub(super) fn kid(text: &str) -> Result<KeyId, Error> {
    text.parse().map_err(|error| Error::corrupt("a key's id", error))
}
