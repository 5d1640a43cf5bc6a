//! Manifests by their hash.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use trace_contracts::{Manifest, Sha256};

use super::Error;

/// The canonical form of a partition's or a whole version's manifest.
///
/// # Errors
/// When the database fails.
pub async fn by_hash(conn: &mut PgConnection, sha256: &Sha256) -> Result<Option<String>, Error> {
    let found = sqlx::query_scalar!(
        r#"-- manifests::by_hash
        select manifest as "manifest!" from (
            (select manifest from commits where manifest_sha256 = $1 limit 1)
            union all
            (select manifest from dataset_versions where manifest_sha256 = $1 limit 1)
        ) found limit 1"#,
        &sha256.as_bytes()[..]
    )
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// Several manifests by their hashes.
///
/// # Errors
/// When the database fails, or a manifest can't be read.
pub async fn by_hashes(
    conn: &mut PgConnection,
    hashes: &[Sha256],
) -> Result<BTreeMap<Sha256, Manifest>, Error> {
    let mut manifests = BTreeMap::new();
    for hash in hashes {
        if let Some(json) = by_hash(conn, hash).await? {
            let manifest =
                serde_json::from_str(&json).map_err(|error| Error::corrupt("a manifest", error))?;
            manifests.insert(*hash, manifest);
        }
    }
    Ok(manifests)
}
