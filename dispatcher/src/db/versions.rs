//! `dataset_versions`, `commits` and `cut_overs`: what runs put into datasets.

use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, DagId, DatasetId, DatasetVersionId, Name, OrgId, PartitionKey, RunId, Sha256, TaskId,
};

use super::Error;
use crate::outputs::Outputs;

/// A published dataset and its current version.
#[derive(Debug, Clone)]
pub struct Current {
    /// Its published name.
    pub name: Name,
    /// The current version; absent until a first one is complete.
    pub version: Option<DatasetVersionId>,
}

/// A version of one job of a run.
#[derive(Debug, Clone, Copy)]
pub struct VersionRow {
    /// The run.
    pub run: RunId,
    /// The job's index in the spec.
    pub job: usize,
    /// The version.
    pub version: DatasetVersionId,
    /// The dataset.
    pub dataset: DatasetId,
}

/// A partition to commit.
#[derive(Debug, Clone, Copy)]
pub struct NewCommit<'a> {
    /// The version.
    pub version: DatasetVersionId,
    /// The partition.
    pub partition: &'a PartitionKey,
    /// The task that made it.
    pub task: TaskId,
    /// The attempt that made it.
    pub attempt: AttemptId,
    /// What it consists of.
    pub outputs: &'a Outputs,
}

/// A version whose last partition came in.
#[derive(Debug)]
pub struct Completed {
    /// The version.
    pub version: DatasetVersionId,
    /// All partitions' objects.
    pub outputs: Outputs,
}

/// Pins: the published datasets of these names.
///
/// # Errors
/// When the database fails.
pub async fn current(conn: &mut PgConnection, org: OrgId, names: &[String]) -> Result<Vec<Current>, Error> {
    let found = sqlx::query!(
        r#"-- versions::current
        select name as "name!", current_version from datasets where org_id = $1 and name = any($2)"#,
        org.get(),
        names
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let version = row.current_version.map(DatasetVersionId::from_db);
            Ok(Current { name: super::name(&row.name)?, version })
        })
        .collect()
}

/// Makes sure that every job of a DAG has its dataset.
///
/// # Errors
/// When the database fails.
pub async fn ensure_datasets(
    conn: &mut PgConnection,
    org: OrgId,
    dag: DagId,
    jobs: &[String],
) -> Result<(), Error> {
    sqlx::query!(
        "-- versions::ensure_datasets
        insert into datasets (org_id, dag_id, job)
        select $1, $2, j.job from unnest($3::text[]) as j(job)
        where not exists (select from datasets d where d.dag_id = $2 and d.job = j.job)
        on conflict (dag_id, job) do nothing",
        org.get(),
        dag.get(),
        jobs
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Opens a version of each job's dataset for a run: `jobs` and `partitions` by job.
///
/// # Errors
/// When the database fails, or a job has no dataset.
pub async fn open(
    conn: &mut PgConnection,
    run: RunId,
    dag: DagId,
    jobs: &[String],
    partitions: &[i32],
) -> Result<(), Error> {
    let opened = sqlx::query!(
        "-- versions::open
        insert into dataset_versions (dataset_id, run_id, job_no, partitions_total)
        select d.dataset_id, $1, (j.n - 1)::integer, j.partitions
        from unnest($3::text[], $4::integer[]) with ordinality as j(job, partitions, n)
        join datasets d on d.dag_id = $2 and d.job = j.job
        order by j.n",
        run.get(),
        dag.get(),
        jobs,
        partitions
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a job's dataset version", jobs.len(), opened)
}

/// The versions that these runs write.
///
/// # Errors
/// When the database fails.
pub async fn of_runs(conn: &mut PgConnection, runs: &[i64]) -> Result<Vec<VersionRow>, Error> {
    let found = sqlx::query!(
        "-- versions::of_runs
        select run_id, job_no, dataset_version_id, dataset_id from dataset_versions where run_id = any($1)
        order by run_id, job_no",
        runs
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(VersionRow {
                run: RunId::from_db(row.run_id),
                job: super::job_index(row.job_no)?,
                version: DatasetVersionId::from_db(row.dataset_version_id),
                dataset: DatasetId::from_db(row.dataset_id),
            })
        })
        .collect()
}

/// The datasets that versions belong to.
///
/// # Errors
/// When the database fails.
pub async fn datasets_of(
    conn: &mut PgConnection,
    versions: &[i64],
) -> Result<Vec<(DatasetVersionId, DatasetId)>, Error> {
    let found = sqlx::query!(
        "-- versions::datasets_of
        select dataset_version_id, dataset_id from dataset_versions where dataset_version_id = any($1)",
        versions
    )
    .fetch_all(conn)
    .await?;
    let pair = |v: i64, d: i64| (DatasetVersionId::from_db(v), DatasetId::from_db(d));
    Ok(found.iter().map(|row| pair(row.dataset_version_id, row.dataset_id)).collect())
}

/// Writes partitions down for ever.
///
/// # Errors
/// When the database fails, or one of them is committed already.
pub async fn commit(conn: &mut PgConnection, commits: &[NewCommit<'_>]) -> Result<(), Error> {
    sqlx::query!(
        "-- versions::commit
        insert into commits (dataset_version_id, partition, task_id, attempt_id, manifest_sha256, manifest)
        select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[])",
        &commits.iter().map(|one| one.version.get()).collect::<Vec<_>>(),
        &commits.iter().map(|one| one.partition.to_string()).collect::<Vec<_>>(),
        &commits.iter().map(|one| one.task.get()).collect::<Vec<_>>(),
        &commits.iter().map(|one| one.attempt.get()).collect::<Vec<_>>(),
        &commits.iter().map(|one| one.outputs.sha256().as_bytes().to_vec()).collect::<Vec<_>>(),
        &commits.iter().map(|one| one.outputs.json().to_owned()).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts committed partitions in; answers the versions that still miss some. One that would be
/// complete is left as it is: [`complete`] does that, with its manifest.
///
/// # Errors
/// When the database fails.
pub async fn advance(
    conn: &mut PgConnection,
    added: &[(DatasetVersionId, i32)],
) -> Result<Vec<DatasetVersionId>, Error> {
    let partial = sqlx::query_scalar!(
        "-- versions::advance
        update dataset_versions v set partitions_done = v.partitions_done + n.added
        from unnest($1::bigint[], $2::integer[]) as n(dataset_version_id, added)
        where v.dataset_version_id = n.dataset_version_id and v.partitions_done + n.added < v.partitions_total
        returning v.dataset_version_id",
        &added.iter().map(|(version, _)| version.get()).collect::<Vec<_>>(),
        &added.iter().map(|(_, count)| *count).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    Ok(partial.into_iter().map(DatasetVersionId::from_db).collect())
}

/// The manifests of all partitions of versions.
///
/// # Errors
/// When the database fails.
pub async fn partition_manifests(
    conn: &mut PgConnection,
    versions: &[i64],
) -> Result<Vec<(DatasetVersionId, String)>, Error> {
    let found = sqlx::query!(
        "-- versions::partition_manifests
        select dataset_version_id, manifest from commits where dataset_version_id = any($1)",
        versions
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (DatasetVersionId::from_db(row.dataset_version_id), row.manifest))
        .collect())
}

/// Completes versions of which every partition is committed.
///
/// # Errors
/// When the database fails, or one of them is complete already.
pub async fn complete(conn: &mut PgConnection, completed: &[Completed]) -> Result<(), Error> {
    let size = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let changed = sqlx::query!(
        "-- versions::complete
        update dataset_versions v set partitions_done = v.partitions_total, manifest_sha256 = n.sha256,
            manifest = n.manifest, objects = n.objects, bytes = n.bytes, completed_at = now()
        from unnest($1::bigint[], $2::bytea[], $3::text[], $4::bigint[], $5::bigint[])
            as n(dataset_version_id, sha256, manifest, objects, bytes)
        where v.dataset_version_id = n.dataset_version_id and v.completed_at is null",
        &completed.iter().map(|one| one.version.get()).collect::<Vec<_>>(),
        &completed.iter().map(|one| one.outputs.sha256().as_bytes().to_vec()).collect::<Vec<_>>(),
        &completed.iter().map(|one| one.outputs.json().to_owned()).collect::<Vec<_>>(),
        &completed.iter().map(|one| size(one.outputs.objects())).collect::<Vec<_>>(),
        &completed.iter().map(|one| size(one.outputs.bytes())).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a dataset version that is complete", completed.len(), changed)
}

/// Locks datasets in the order of their ids, before several of them get new versions.
///
/// # Errors
/// When the database fails.
pub async fn lock_datasets(conn: &mut PgConnection, datasets: &[i64]) -> Result<(), Error> {
    sqlx::query!(
        "-- versions::lock_datasets
        select dataset_id from datasets where dataset_id = any($1) order by dataset_id for no key update",
        datasets
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Makes versions the current ones of their published datasets. A run that started earlier and
/// ends later does not take the place of a newer one.
///
/// # Errors
/// When the database fails.
pub async fn cut_over(
    conn: &mut PgConnection,
    versions: &[(DatasetId, DatasetVersionId)],
) -> Result<(), Error> {
    sqlx::query!(
        "-- versions::cut_over
        with moved as (
            update datasets d set current_version = n.version
            from unnest($1::bigint[], $2::bigint[]) as n(dataset_id, version)
            where d.dataset_id = n.dataset_id and d.name is not null
                and (d.current_version is null or d.current_version < n.version)
            returning d.dataset_id, n.version
        )
        insert into cut_overs (dataset_id, dataset_version_id) select dataset_id, version from moved",
        &versions.iter().map(|(dataset, _)| dataset.get()).collect::<Vec<_>>(),
        &versions.iter().map(|(_, version)| version.get()).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those of these versions that are complete, with the hash of their manifests.
///
/// # Errors
/// When the database fails.
pub async fn manifests(
    conn: &mut PgConnection,
    versions: &[i64],
) -> Result<Vec<(DatasetVersionId, Sha256)>, Error> {
    let found = sqlx::query!(
        r#"-- versions::manifests
        select dataset_version_id, manifest_sha256 as "manifest_sha256!" from dataset_versions
        where dataset_version_id = any($1) and manifest_sha256 is not null"#,
        versions
    )
    .fetch_all(conn)
    .await?;
    found
        .iter()
        .map(|row| {
            Ok((DatasetVersionId::from_db(row.dataset_version_id), super::digest(&row.manifest_sha256)?))
        })
        .collect()
}

/// Those of these partitions that are committed, with the hash of their manifests.
///
/// # Errors
/// When the database fails.
pub async fn committed(
    conn: &mut PgConnection,
    partitions: &[(DatasetVersionId, PartitionKey)],
) -> Result<Vec<(DatasetVersionId, PartitionKey, Sha256)>, Error> {
    let found = sqlx::query!(
        "-- versions::committed
        select c.dataset_version_id, c.partition, c.manifest_sha256
        from unnest($1::bigint[], $2::text[]) as p(dataset_version_id, partition)
        join commits c on c.dataset_version_id = p.dataset_version_id and c.partition = p.partition",
        &partitions.iter().map(|(version, _)| version.get()).collect::<Vec<_>>(),
        &partitions.iter().map(|(_, partition)| partition.to_string()).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    found
        .iter()
        .map(|row| {
            let version = DatasetVersionId::from_db(row.dataset_version_id);
            Ok((version, super::partition(&row.partition)?, super::digest(&row.manifest_sha256)?))
        })
        .collect()
}
