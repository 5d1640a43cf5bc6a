//! `dataset_versions` and `cut_overs`: what runs put into datasets.

use sqlx::PgConnection;
use trace_contracts::{DagId, DatasetId, DatasetVersionId, Name, OrgId, RunId, Sha256};

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
    /// The version, and with it the run.
    pub version: DatasetVersionId,
    /// The dataset.
    pub dataset: DatasetId,
}

/// A version to open: one for each job of a run.
#[derive(Debug, Clone, Copy)]
pub struct NewVersion<'a> {
    /// The job.
    pub job: &'a Name,
    /// The version.
    pub version: DatasetVersionId,
    /// Its partitions.
    pub partitions: usize,
}

/// A version whose last partition came in.
#[derive(Debug)]
pub struct Completed {
    /// The version.
    pub version: DatasetVersionId,
    /// All partitions' objects.
    pub outputs: Outputs,
    /// Whether the manifest is written here, or read from the version's only commit.
    pub partitions: Partitions,
}

impl Completed {
    fn manifest(&self) -> Option<String> {
        (self.partitions == Partitions::Many).then(|| self.outputs.json().to_owned())
    }
}

/// How many partitions a version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitions {
    /// One.
    One,
    /// Several.
    Many,
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

/// Opens a version of each job's dataset for a run.
///
/// # Errors
/// When the database fails, or a job has no dataset.
pub async fn open(conn: &mut PgConnection, dag: DagId, versions: &[NewVersion<'_>]) -> Result<(), Error> {
    let mut partitions = Vec::with_capacity(versions.len());
    for one in versions {
        let count = i32::try_from(one.partitions);
        partitions.push(count.map_err(|error| Error::corrupt("a count of partitions", error))?);
    }
    let opened = sqlx::query!(
        "-- versions::open
        insert into dataset_versions (dataset_version_id, dataset_id, partitions_total)
        select n.version, d.dataset_id, n.partitions
        from unnest($2::bigint[], $3::text[], $4::integer[]) as n(version, job, partitions)
        join datasets d on d.dag_id = $1 and d.job = n.job
        order by n.version",
        dag.get(),
        &versions.iter().map(|one| one.version.get()).collect::<Vec<_>>(),
        &versions.iter().map(|one| one.job.to_string()).collect::<Vec<_>>(),
        &partitions
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a job's dataset version", versions.len(), opened)
}

/// The versions that these runs write, in the order of runs and jobs.
///
/// # Errors
/// When the database fails.
pub async fn of_runs(conn: &mut PgConnection, runs: &[RunId]) -> Result<Vec<VersionRow>, Error> {
    let (first, last): (Vec<i64>, Vec<i64>) = runs.iter().map(|run| DatasetVersionId::span(*run)).unzip();
    let found = sqlx::query!(
        "-- versions::of_runs
        select v.dataset_version_id, v.dataset_id
        from unnest($1::bigint[], $2::bigint[]) as r(first, last)
        join dataset_versions v on v.dataset_version_id between r.first and r.last
        order by v.dataset_version_id",
        &first,
        &last
    )
    .fetch_all(conn)
    .await?;
    let rows = found.iter().map(|row| VersionRow {
        version: DatasetVersionId::from_db(row.dataset_version_id),
        dataset: DatasetId::from_db(row.dataset_id),
    });
    Ok(rows.collect())
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
        &completed.iter().map(Completed::manifest).collect::<Vec<_>>() as &[Option<String>],
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
/// ends later does not take the place of a newer one. Answers those that are current now.
///
/// # Errors
/// When the database fails.
pub async fn cut_over(
    conn: &mut PgConnection,
    versions: &[(DatasetId, DatasetVersionId)],
) -> Result<Vec<DatasetVersionId>, Error> {
    let moved = sqlx::query_scalar!(
        "-- versions::cut_over
        with moved as (
            update datasets d set current_version = n.version
            from unnest($1::bigint[], $2::bigint[]) as n(dataset_id, version)
            where d.dataset_id = n.dataset_id and d.name is not null
                and (d.current_version is null or d.current_version < n.version)
            returning d.dataset_id, n.version
        )
        insert into cut_overs (dataset_id, dataset_version_id) select dataset_id, version from moved
        returning dataset_version_id",
        &versions.iter().map(|(dataset, _)| dataset.get()).collect::<Vec<_>>(),
        &versions.iter().map(|(_, version)| version.get()).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    Ok(moved.into_iter().map(DatasetVersionId::from_db).collect())
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
