//! The object store holds exactly what the manifests say.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgConnection;
use trace_contracts::{Manifest, PartitionKey, S3Prefix};
use trace_dispatcher::{
    config::{ObjectStore, StoreKeys},
    objects::Objects,
    outputs::{OutputLister as _, S3Lister},
};

use super::{Findings, shown};
use crate::service::store::{BUCKET, REGION, Whereabouts};

/// Listings at the same time.
const AT_ONCE: usize = 16;

struct Commit {
    task: i64,
    attempt: i64,
    manifest: Manifest,
}

/// Lists the place of every commit's objects, and compares sizes and ETags.
///
/// # Errors
/// When the database or the store does not answer.
pub async fn objects(
    connection: &mut PgConnection,
    store: &Whereabouts,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let commits = commits(connection, findings).await?;
    let lister = S3Lister::new(
        Objects::new(&ObjectStore {
            endpoint: Some(store.endpoint.parse()?),
            region: REGION.to_owned(),
            bucket: BUCKET.to_owned(),
            keys: Some(StoreKeys {
                access_key_id: store.access_key_id.clone(),
                secret_access_key: store.secret_access_key.clone(),
            }),
        }),
        10_000,
    );
    let wrong: Vec<(i64, String)> = stream::iter(&commits)
        .map(|commit| compare(&lister, commit))
        .buffer_unordered(AT_ONCE)
        .try_filter_map(async |wrong| Ok(wrong))
        .try_collect()
        .await?;
    for (task, why) in wrong {
        findings.lost(task, why);
    }
    Ok(())
}

async fn commits(connection: &mut PgConnection, findings: &mut Findings) -> anyhow::Result<Vec<Commit>> {
    let rows: Vec<(i64, i64, String, Vec<u8>)> =
        sqlx::query_as("select task_id, attempt_id, manifest, manifest_sha256 from commits")
            .fetch_all(connection)
            .await?;
    let mut commits = Vec::new();
    let mut owners: BTreeMap<String, i64> = BTreeMap::new();
    for (task, attempt, json, sha256) in rows {
        let manifest: Manifest = serde_json::from_str(&json).context("a manifest can't be read")?;
        if Manifest::digest(&json).as_bytes()[..] != sha256[..] {
            findings.wrong(format!("the manifest of {} is not what its hash says", shown(task)));
        }
        if manifest.objects.is_empty() {
            findings.lost(task, format!("{} is committed without its output", shown(task)));
        }
        for object in &manifest.objects {
            if let Some(other) = owners.insert(object.key.to_string(), task) {
                findings.twice(task, format!("{} and {} share {}", shown(task), shown(other), object.key));
            }
        }
        commits.push(Commit { task, attempt, manifest });
    }
    Ok(commits)
}

/// What is wrong with one commit's objects.
async fn compare(lister: &S3Lister, commit: &Commit) -> anyhow::Result<Option<(i64, String)>> {
    let Some(first) = commit.manifest.objects.first() else { return Ok(None) };
    let folder = first.key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
    if !folder.split('/').any(|segment| segment == format!("a{}", commit.attempt)) {
        let why = format!("the output of {} does not lie under its attempt: {folder}", shown(commit.task));
        return Ok(Some((commit.task, why)));
    }
    let prefix: S3Prefix = format!("s3://{}/{folder}/", commit.manifest.bucket).parse()?;
    let partition: PartitionKey = first.partition.clone();
    let found = lister.list(&prefix, &partition).await?;
    if found.json() == commit.manifest.to_canonical_json() {
        return Ok(None);
    }
    let why = format!(
        "{} is committed with {}, and the store has {}",
        shown(commit.task),
        commit.manifest.to_canonical_json(),
        found.json()
    );
    Ok(Some((commit.task, why)))
}
