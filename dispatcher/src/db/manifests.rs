//! Manifests, by the version that they belong to and their hash.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use trace_contracts::{DatasetVersionId, Manifest, Sha256};

use super::Error;

/// The canonical form of a version's manifest, or of one of its partitions'.
///
/// # Errors
/// When the database fails.
pub async fn of_version(
    conn: &mut PgConnection,
    version: DatasetVersionId,
    sha256: &Sha256,
) -> Result<Option<String>, Error> {
    let found = sqlx::query_scalar!(
        r#"-- manifests::of_version
        select manifest as "manifest!" from (
            (select v.manifest from dataset_versions v
                where v.dataset_version_id = $1 and v.manifest_sha256 = $2 and v.manifest is not null)
            union all
            (select c.manifest from dataset_versions v
                join commits c on c.task_id >= v.dataset_version_id
                    and c.task_id < v.dataset_version_id + v.partitions_total
                where v.dataset_version_id = $1 and c.manifest_sha256 = $2 limit 1)
        ) found limit 1"#,
        version.get(),
        &sha256.as_bytes()[..]
    )
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// Several manifests.
///
/// # Errors
/// When the database fails, or a manifest can't be read.
pub async fn of_versions(
    conn: &mut PgConnection,
    wanted: &BTreeSet<(DatasetVersionId, Sha256)>,
) -> Result<BTreeMap<Sha256, Manifest>, Error> {
    let mut manifests = BTreeMap::new();
    for (version, sha256) in wanted {
        if let Some(json) = of_version(conn, *version, sha256).await? {
            let manifest =
                serde_json::from_str(&json).map_err(|error| Error::corrupt("a manifest", error))?;
            manifests.insert(*sha256, manifest);
        }
    }
    Ok(manifests)
}
