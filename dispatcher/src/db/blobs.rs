//! `blobs`: which content an org has uploaded.

use sqlx::PgConnection;
use trace_contracts::{OrgId, Sha256, wire::worker::Blob};

use super::Error;

/// Records a blob whose content is in the store. Answers whether it is new.
///
/// # Errors
/// When the database fails.
pub async fn insert(conn: &mut PgConnection, org: OrgId, blob: Blob) -> Result<bool, Error> {
    let size = i64::try_from(blob.size).map_err(|error| Error::corrupt("a blob's size", error))?;
    let inserted = sqlx::query!(
        "-- blobs::insert
        insert into blobs (org_id, sha256, size) values ($1, $2, $3) on conflict (org_id, sha256) do nothing",
        org.get(),
        blob.sha256.as_bytes().as_slice(),
        size
    )
    .execute(conn)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

/// The size of a blob that an org has uploaded.
///
/// # Errors
/// When the database fails.
pub async fn size(conn: &mut PgConnection, org: OrgId, sha256: Sha256) -> Result<Option<u64>, Error> {
    let found = sqlx::query_scalar!(
        "-- blobs::size
        select size from blobs where org_id = $1 and sha256 = $2",
        org.get(),
        sha256.as_bytes().as_slice()
    )
    .fetch_optional(conn)
    .await?;
    found.map(|size| u64::try_from(size).map_err(|error| Error::corrupt("a blob's size", error))).transpose()
}

/// Those of these hashes that an org has uploaded, with their sizes.
///
/// # Errors
/// When the database fails.
pub async fn uploaded(conn: &mut PgConnection, org: OrgId, hashes: &[Sha256]) -> Result<Vec<Blob>, Error> {
    let found = sqlx::query!(
        "-- blobs::uploaded
        select sha256, size from blobs where org_id = $1 and sha256 = any($2)",
        org.get(),
        &hashes.iter().map(|sha256| sha256.as_bytes().to_vec()).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let size = u64::try_from(row.size).map_err(|error| Error::corrupt("a blob's size", error))?;
            Ok(Blob { sha256: super::digest(&row.sha256)?, size })
        })
        .collect()
}
