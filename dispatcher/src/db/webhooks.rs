//! `webhooks`, `webhook_keys` and `webhook_circuits`: where deliveries go, and how receivers have done.

use sqlx::PgConnection;
use trace_contracts::{Destination, Name, OrgId, UserId, wire::webhook::WebhookInfo};
use uuid::Uuid;

use super::Error;

/// A webhook as its org sees it.
#[derive(Debug, Clone)]
pub struct WebhookRow {
    /// Its number, which only rows know it by.
    pub id: i64,
    /// Its name.
    pub name: Name,
    /// Where its deliveries go.
    pub destination: Destination,
    /// Which sealing key it was added under.
    pub sealed_by: Vec<u8>,
}

/// A webhook to be.
#[derive(Debug)]
pub struct NewWebhook<'a> {
    /// The org.
    pub org: OrgId,
    /// What DAGs call it.
    pub name: &'a Name,
    /// Where its deliveries go.
    pub destination: &'a Destination,
    /// What its target is sealed under.
    pub seal_id: Uuid,
    /// The path and query, sealed.
    pub target: &'a [u8],
    /// By which key.
    pub sealed_by: &'a [u8],
    /// Who adds it.
    pub added_by: UserId,
}

/// A key to be, sealed.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// What it is sealed under.
    pub id: Uuid,
    /// The key, sealed.
    pub sealed: &'a [u8],
}

/// A key that signs, sealed.
#[derive(Debug)]
pub struct KeyRow {
    /// Whose.
    pub webhook: i64,
    /// What it is sealed under.
    pub id: Uuid,
    /// The key, sealed.
    pub sealed: Vec<u8>,
}

/// Lets nobody else add or change webhooks of the org until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection, org: OrgId) -> Result<(), Error> {
    sqlx::query!(
        "-- webhooks::lock
        select pg_advisory_xact_lock(hashtext('trace.webhooks'), $1::bigint::integer)",
        org.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// The webhooks that an org has, by name.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn of_org(conn: &mut PgConnection, org: OrgId) -> Result<Vec<WebhookRow>, Error> {
    let found = sqlx::query!(
        "-- webhooks::of_org
        select webhook_id, name, destination, sealed_by
        from webhooks where org_id = $1 and removed_at is null order by name",
        org.get()
    )
    .fetch_all(conn)
    .await?;
    let row = found.into_iter().map(|row| {
        Ok(WebhookRow {
            id: row.webhook_id,
            name: super::name(&row.name)?,
            destination: destination(&row.destination)?,
            sealed_by: row.sealed_by,
        })
    });
    row.collect()
}

/// Whether a webhook of any org was sealed with another key.
///
/// # Errors
/// When the database fails.
pub async fn sealed_otherwise(conn: &mut PgConnection, fingerprint: &[u8]) -> Result<SealedBy, Error> {
    let other = sqlx::query_scalar!(
        r#"-- webhooks::sealed_otherwise
        select exists (select from webhooks where removed_at is null and sealed_by <> $1) as "other!""#,
        fingerprint
    )
    .fetch_one(conn)
    .await?;
    Ok(if other { SealedBy::Another } else { SealedBy::This })
}

/// Which key sealed what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedBy {
    /// This one, all of it.
    This,
    /// Another one, some of it.
    Another,
}

/// The webhooks of an org as people see them, by name.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn infos(
    conn: &mut PgConnection,
    org: OrgId,
    only: Option<&Name>,
) -> Result<Vec<WebhookInfo>, Error> {
    let found = sqlx::query!(
        r#"-- webhooks::infos
        select w.name, w.destination, w.added_by, w.added_at, w.disabled_why, c.failures,
            case when c.open_until > now() then c.open_until end as rests_until,
            (select max(k.signs_until) from webhook_keys k
                where k.webhook_id = w.webhook_id and k.signs_until > now()) as old_key_until,
            (select count(*) from due_deliveries d where d.webhook_id = w.webhook_id) as "due!"
        from webhooks w join webhook_circuits c using (webhook_id)
        where w.org_id = $1 and w.removed_at is null and ($2::text is null or w.name = $2)
        order by w.name"#,
        org.get(),
        only.map(|name| &**name) as Option<&str>
    )
    .fetch_all(conn)
    .await?;
    let infos = found.into_iter().map(|row| {
        Ok(WebhookInfo {
            name: super::name(&row.name)?,
            destination: destination(&row.destination)?,
            added_by: UserId::from_db(row.added_by),
            added_at: row.added_at,
            disabled: row.disabled_why,
            failures: u32::try_from(row.failures).unwrap_or_default(),
            rests_until: row.rests_until,
            old_key_until: row.old_key_until,
            due: u64::try_from(row.due).unwrap_or_default(),
        })
    });
    infos.collect()
}

/// Adds a webhook, which the org does not have. Under [`lock`].
///
/// # Errors
/// When the database fails.
pub async fn insert(conn: &mut PgConnection, new: &NewWebhook<'_>) -> Result<i64, Error> {
    let id = sqlx::query_scalar!(
        r#"-- webhooks::insert
        with added as (
            insert into webhooks (org_id, name, destination, seal_id, target, sealed_by, added_by)
            values ($1, $2, $3, $4, $5, $6, $7) returning webhook_id
        )
        insert into webhook_circuits (webhook_id) select webhook_id from added returning webhook_id"#,
        new.org.get(),
        &**new.name,
        new.destination.to_string(),
        new.seal_id,
        new.target,
        new.sealed_by,
        new.added_by.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(id)
}

/// Puts a key in the place of the one that signs, which goes on beside it for `overlap_seconds`. Keys before
/// that are gone.
///
/// # Errors
/// When the database fails.
pub async fn set_key(
    conn: &mut PgConnection,
    webhook: i64,
    new: &NewKey<'_>,
    overlap_seconds: u32,
) -> Result<(), Error> {
    sqlx::query!(
        "-- webhooks::retire_keys
        with gone as (
            delete from webhook_keys where webhook_id = $1 and (signs_until is not null or $2::float8 = 0)
        )
        update webhook_keys set signs_until = now() + make_interval(secs => $2::float8)
        where webhook_id = $1 and signs_until is null and $2::float8 > 0",
        webhook,
        f64::from(overlap_seconds)
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "-- webhooks::insert_key
        insert into webhook_keys (key_id, webhook_id, sealed) values ($1, $2, $3)",
        new.id,
        webhook,
        new.sealed
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The keys that sign for these webhooks now, each webhook's newest first.
///
/// # Errors
/// When the database fails.
pub async fn keys(conn: &mut PgConnection, webhooks: &[i64]) -> Result<Vec<KeyRow>, Error> {
    let found = sqlx::query!(
        "-- webhooks::keys
        select webhook_id, key_id, sealed from webhook_keys
        where webhook_id = any($1) and (signs_until is null or signs_until > now())
        order by webhook_id, signs_until desc nulls first",
        webhooks
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| KeyRow { webhook: row.webhook_id, id: row.key_id, sealed: row.sealed })
        .collect())
}

/// Removes a webhook and its keys. Deliveries that are due to it are given up when they are next looked at.
///
/// # Errors
/// When the database fails.
pub async fn remove(conn: &mut PgConnection, webhook: i64) -> Result<(), Error> {
    sqlx::query!(
        "-- webhooks::remove
        with removed as (
            update webhooks set removed_at = now() where webhook_id = $1 and removed_at is null
            returning webhook_id
        ), closed as (
            update webhook_circuits c set failures = 0, open_until = null
            from removed r where c.webhook_id = r.webhook_id
        )
        delete from webhook_keys k using removed r where k.webhook_id = r.webhook_id",
        webhook
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sends nothing there any more; answers whose it is and its name. `None` for one that is disabled already,
/// which stays so for its first reason, or gone.
///
/// # Errors
/// When the database fails.
pub async fn disable(
    conn: &mut PgConnection,
    webhook: i64,
    why: &str,
) -> Result<Option<(OrgId, Name)>, Error> {
    let disabled = sqlx::query!(
        "-- webhooks::disable
        update webhooks set disabled_at = now(), disabled_why = $2
        where webhook_id = $1 and disabled_at is null and removed_at is null
        returning org_id, name",
        webhook,
        why
    )
    .fetch_optional(conn)
    .await?;
    disabled.map(|row| Ok((OrgId::from_db(row.org_id), super::name(&row.name)?))).transpose()
}

/// Sends there again, as if it had never failed.
///
/// # Errors
/// When the database fails.
pub async fn enable(conn: &mut PgConnection, webhook: i64) -> Result<(), Error> {
    sqlx::query!(
        "-- webhooks::enable
        with enabled as (
            update webhooks set disabled_at = null, disabled_why = null where webhook_id = $1
        )
        update webhook_circuits set failures = 0, open_until = null where webhook_id = $1",
        webhook
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How long a receiver is left alone for its failures.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    /// From so many on.
    pub after: u32,
    /// At first, in seconds; doubled with each further one.
    pub seconds: f64,
    /// At most.
    pub longest_seconds: f64,
}

/// Notes that a receiver has answered.
///
/// # Errors
/// When the database fails.
pub async fn answered(conn: &mut PgConnection, webhook: i64) -> Result<(), Error> {
    sqlx::query!(
        "-- webhooks::answered
        update webhook_circuits set failures = 0, open_until = null where webhook_id = $1 and failures > 0",
        webhook
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that deliveries to a receiver have failed.
///
/// # Errors
/// When the database fails.
pub async fn failed(conn: &mut PgConnection, webhook: i64, times: u32, rest: Rest) -> Result<(), Error> {
    sqlx::query!(
        "-- webhooks::failed
        update webhook_circuits set failures = least(failures + $2, 1000000),
            open_until = case when failures + $2 >= $3 then
                now() + make_interval(secs => least($5, $4 * power(2, least(failures + $2 - $3, 30))))
            end
        where webhook_id = $1",
        webhook,
        i32::try_from(times).unwrap_or(i32::MAX),
        i32::try_from(rest.after).unwrap_or(i32::MAX),
        rest.seconds,
        rest.longest_seconds
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) fn destination(text: &str) -> Result<Destination, Error> {
    text.parse().map_err(|error| Error::corrupt("a webhook's destination", error))
}
