//! `commits`: the tasks that succeeded, and what each of them wrote.

use sqlx::PgConnection;
use trace_contracts::{DatasetVersionId, Sha256, TaskId};

use super::Error;
use crate::{lease::Held, outputs::Outputs};

/// A lease that ends with a commit.
#[derive(Debug, Clone, Copy)]
pub struct NewCommit<'a> {
    /// The lease.
    pub held: &'a Held,
    /// What was written under it.
    pub outputs: &'a Outputs,
}

/// Moves leases to `commits`: ends the attempts, and writes down for ever what they wrote. Counts
/// partitions in where versions have several; answers the versions of these that still miss some. One
/// that would be complete is left as it is: [`super::versions::complete`] does that, with its manifest.
///
/// # Errors
/// When the database fails, one of the tasks is committed already, or one of the leases is gone
/// although it was held.
pub async fn insert(
    conn: &mut PgConnection,
    commits: &[NewCommit<'_>],
    added: &[(DatasetVersionId, i32)],
) -> Result<Vec<DatasetVersionId>, Error> {
    let row = sqlx::query!(
        r#"-- commits::insert
        with ended as (
            delete from leases where attempt_id = any($1)
            returning attempt_id, task_id, worker_id, lease_token, started_at
        ), written as (
            insert into commits
                (task_id, attempt_id, worker_id, lease_token, started_at, manifest_sha256, manifest)
            select e.task_id, e.attempt_id, e.worker_id, e.lease_token, e.started_at, n.sha256, n.manifest
            from ended e join unnest($1::bigint[], $2::bytea[], $3::text[]) as n(attempt_id, sha256, manifest)
                on n.attempt_id = e.attempt_id
            order by e.task_id
            returning task_id
        ), advanced as (
            update dataset_versions v set partitions_done = v.partitions_done + n.added
            from unnest($4::bigint[], $5::integer[]) as n(dataset_version_id, added)
            where v.dataset_version_id = n.dataset_version_id
                and v.partitions_done + n.added < v.partitions_total
            returning v.dataset_version_id
        )
        select (select count(*) from written) as "written!",
            array(select dataset_version_id from advanced) as "partial!""#,
        &commits.iter().map(|one| one.held.attempt.get()).collect::<Vec<_>>(),
        &commits.iter().map(|one| one.outputs.sha256().as_bytes().to_vec()).collect::<Vec<_>>(),
        &commits.iter().map(|one| one.outputs.json().to_owned()).collect::<Vec<_>>(),
        &added.iter().map(|(version, _)| version.get()).collect::<Vec<_>>(),
        &added.iter().map(|(_, count)| *count).collect::<Vec<_>>()
    )
    .fetch_one(conn)
    .await?;
    super::exactly("a lease that ends with a commit", commits.len(), row.written.unsigned_abs())?;
    Ok(row.partial.into_iter().map(DatasetVersionId::from_db).collect())
}

/// Those of these tasks that are committed, with the hash of their manifests.
///
/// # Errors
/// When the database fails.
pub async fn manifests(conn: &mut PgConnection, tasks: &[i64]) -> Result<Vec<(TaskId, Sha256)>, Error> {
    let found = sqlx::query!(
        "-- commits::manifests\nselect task_id, manifest_sha256 from commits where task_id = any($1)",
        tasks
    )
    .fetch_all(conn)
    .await?;
    found.iter().map(|row| Ok((TaskId::from_db(row.task_id), super::digest(&row.manifest_sha256)?))).collect()
}

/// The manifests of all partitions of a version, in the order of its partitions.
///
/// # Errors
/// When the database fails.
pub async fn of_version(
    conn: &mut PgConnection,
    version: DatasetVersionId,
    partitions: usize,
) -> Result<Vec<String>, Error> {
    let count = i64::try_from(partitions).map_err(|error| Error::corrupt("a count of partitions", error))?;
    let found = sqlx::query_scalar!(
        "-- commits::of_version
        select manifest from commits where task_id >= $1 and task_id < $1 + $2 order by task_id",
        version.get(),
        count
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}
