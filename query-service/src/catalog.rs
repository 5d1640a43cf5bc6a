//! From what a token grants to what an engine may open.
//!
//! An engine never sees a token, a manifest or a key of the store. It gets one [`EngineCatalog`]
//! for each query: the granted tables, and for each object one address that reads exactly it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use trace_contracts::{ErrorCode, InputGrant, Manifest, ManifestObject, Name, RowFilter, Secret};
use trace_plane::{PlaneClient, Refusal, Reply};

use crate::presign::Presigner;

/// The tables of one query. Nothing else exists for the engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EngineCatalog {
    /// By the name they have in SQL.
    pub tables: BTreeMap<Name, EngineTable>,
}

/// One granted table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EngineTable {
    /// Its Parquet objects.
    pub objects: Arc<[EngineObject]>,
    /// The columns that may be seen; all when absent.
    pub columns: Option<Vec<String>>,
    /// The rows that may be seen; all when absent.
    pub row_filter: Option<RowFilter>,
}

/// One object, pinned, and how to read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EngineObject {
    /// What to call it in errors.
    pub label: String,
    /// A presigned address; reads this object and expires.
    pub url: Secret<String>,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Turns grants into catalogs.
pub(crate) struct Resolver {
    pub(crate) planes: PlaneClient,
    pub(crate) presigner: Presigner,
    /// Objects that one catalog may have.
    pub(crate) max_objects: usize,
}

impl Resolver {
    /// The catalog of these grants.
    pub(crate) async fn resolve(&self, grants: &BTreeMap<Name, InputGrant>) -> Reply<EngineCatalog> {
        let mut catalog = EngineCatalog::default();
        let mut count = 0;
        for (name, grant) in grants {
            let manifest = self.planes.manifest(grant.version, grant.manifest).await?;
            count += tables_objects(&manifest, grant).count();
            if count > self.max_objects {
                return Err(Refusal::new(
                    ErrorCode::LimitExceeded,
                    format!(
                        "the granted tables have more than {} objects; grant fewer or write larger files",
                        self.max_objects
                    ),
                ));
            }
            catalog.tables.insert(name.clone(), self.table(grant, &manifest).await?);
        }
        Ok(catalog)
    }

    async fn table(&self, grant: &InputGrant, manifest: &Manifest) -> Reply<EngineTable> {
        let objects = tables_objects(manifest, grant);
        Ok(EngineTable {
            objects: self.presigner.presign(grant, &manifest.bucket, objects).await?,
            columns: grant.columns.clone(),
            row_filter: grant.row_filter.clone(),
        })
    }
}

/// The objects of a manifest that are the table: Parquet, and of the granted partition.
fn tables_objects<'a>(
    manifest: &'a Manifest,
    grant: &'a InputGrant,
) -> impl Iterator<Item = &'a ManifestObject> {
    manifest.objects.iter().filter(|object| {
        let granted = grant.partition.as_ref().is_none_or(|partition| *partition == object.partition);
        granted && object.key.as_str().ends_with(".parquet")
    })
}

#[cfg(test)]
mod tests {
    use trace_contracts::{DatasetId, DatasetVersionId, Sha256};

    use super::*;

    fn object(partition: &str, key: &str) -> ManifestObject {
        ManifestObject {
            partition: partition.parse().unwrap(),
            key: key.parse().unwrap(),
            size: 1,
            etag: "e".into(),
            version_id: None,
        }
    }

    #[test]
    fn a_table_is_the_parquet_of_its_partition() {
        let manifest = Manifest::new(
            "trace".into(),
            vec![
                object("2013-01", "a/x.parquet"),
                object("2013-01", "a/x.json"),
                object("2013-02", "b/x.parquet"),
            ],
        );
        let mut grant = InputGrant {
            dataset: DatasetId::from_db(1),
            version: DatasetVersionId::from_db((1 << 20) + 1),
            manifest: Sha256::of(b""),
            partition: Some("2013-01".parse().unwrap()),
            columns: None,
            row_filter: None,
        };
        let keys = |grant: &InputGrant| -> Vec<String> {
            tables_objects(&manifest, grant).map(|object| object.key.to_string()).collect()
        };
        assert_eq!(keys(&grant), ["a/x.parquet"]);
        grant.partition = None;
        assert_eq!(keys(&grant), ["a/x.parquet", "b/x.parquet"]);
    }
}
