//! `workers` and `orgs`: who the platform itself consists of.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{OrgId, Sha256, WorkerId};

use super::Error;
use crate::identity::{Identity, Kind};

/// The worker or plane behind a token, unless it was revoked.
///
/// # Errors
/// When the database fails.
pub async fn of_token(conn: &mut PgConnection, token: &Sha256) -> Result<Option<Identity>, Error> {
    let found = sqlx::query!(
        "-- identities::of_token
        select worker_id, name, kind from workers where token_sha256 = $1 and revoked_at is null",
        &token.as_bytes()[..]
    )
    .fetch_optional(conn)
    .await?;
    found
        .map(|row| {
            let kind =
                Kind::parse(&row.kind).ok_or_else(|| Error::corrupt("an identity's kind", &row.kind))?;
            Ok(Identity { id: WorkerId::from_db(row.worker_id), name: row.name.into(), kind })
        })
        .transpose()
}

/// An identity as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it is for.
    pub kind: Kind,
    /// The hash of its token.
    pub token: Sha256,
    /// Whether it may still call.
    pub standing: Standing,
}

/// Whether an identity may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// It may not.
    Revoked,
}

/// The identity of this name.
///
/// # Errors
/// When the database fails.
pub async fn of_name(conn: &mut PgConnection, name: &str) -> Result<Option<Kept>, Error> {
    let found = sqlx::query!(
        r#"-- identities::of_name
        select kind, token_sha256, revoked_at is not null as "revoked!" from workers where name = $1"#,
        name
    )
    .fetch_optional(conn)
    .await?;
    found
        .map(|row| {
            let kind =
                Kind::parse(&row.kind).ok_or_else(|| Error::corrupt("an identity's kind", &row.kind))?;
            let token = <[u8; 32]>::try_from(row.token_sha256.as_slice())
                .map_err(|_| Error::corrupt("the hash of an identity's token", "not 32 bytes"))?;
            let standing = if row.revoked { Standing::Revoked } else { Standing::Active };
            Ok(Kept { kind, token: Sha256::from_bytes(token), standing })
        })
        .transpose()
}

/// Lets one preparation of a platform run at a time, until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn prepare_alone(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "-- identities::prepare_alone
        select pg_advisory_xact_lock(hashtext('trace.init'))"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives an identity a new token; makes the identity when there is none of this name.
///
/// # Errors
/// When the database fails.
pub async fn upsert(
    conn: &mut PgConnection,
    name: &str,
    kind: Kind,
    token: &Sha256,
) -> Result<WorkerId, Error> {
    let id = sqlx::query_scalar!(
        "-- identities::upsert
        insert into workers (name, kind, token_sha256) values ($1, $2, $3)
        on conflict (name) do update
        set kind = excluded.kind, token_sha256 = excluded.token_sha256, revoked_at = null
        returning worker_id",
        name,
        kind.as_str(),
        &token.as_bytes()[..]
    )
    .fetch_one(conn)
    .await?;
    Ok(WorkerId::from_db(id))
}

/// Revokes an identity by its name; one that was revoked before keeps its time.
///
/// # Errors
/// When the database fails.
pub async fn revoke(conn: &mut PgConnection, name: &str) -> Result<Option<(WorkerId, DateTime<Utc>)>, Error> {
    let found = sqlx::query!(
        r#"-- identities::revoke
        update workers set revoked_at = coalesce(revoked_at, now()) where name = $1
        returning worker_id, revoked_at as "revoked_at!""#,
        name
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| (WorkerId::from_db(row.worker_id), row.revoked_at)))
}

/// Makes sure that an org is there.
///
/// # Errors
/// When the database fails.
pub async fn ensure_org(conn: &mut PgConnection, slug: &str) -> Result<OrgId, Error> {
    let id = sqlx::query_scalar!(
        "-- identities::ensure_org
        insert into orgs (slug) values ($1) on conflict (slug) do update set slug = excluded.slug
        returning org_id",
        slug
    )
    .fetch_one(conn)
    .await?;
    Ok(OrgId::from_db(id))
}
