//! `datasets`: the registry of what jobs produce and who may read it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{
    DagId, DatasetId, DatasetVersionId, Name, OrgId, Role, RunId, Sha256, UserId,
    wire::user::{DatasetInfo, DatasetVersionInfo},
};

use super::Error;

/// A job of a DAG and the name that it is published by.
#[derive(Debug)]
pub struct Publication<'a> {
    /// The job.
    pub job: &'a Name,
    /// Its published name, if it has one.
    pub name: Option<&'a Name>,
}

/// A published name that is taken, and the DAG that has it.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The name.
    pub name: Name,
    /// The DAG that publishes it.
    pub dag: Name,
}

/// The current version of a published dataset, with what decides who may read it.
#[derive(Debug, Clone)]
pub struct Readable {
    /// Its published name.
    pub name: Name,
    /// The dataset.
    pub dataset: DatasetId,
    /// Roles that an admin lets read.
    pub read_roles: Vec<Role>,
    /// The current version with its manifest, and who deployed the DAG version that made it;
    /// absent until a first one is complete.
    pub current: Option<CurrentVersion>,
    /// Who deployed the version of the DAG that runs now.
    pub deployer: Option<UserId>,
}

/// A version that is complete.
#[derive(Debug, Clone, Copy)]
pub struct CurrentVersion {
    /// The version.
    pub version: DatasetVersionId,
    /// Its manifest.
    pub manifest: Sha256,
    /// Who deployed the DAG version that made it.
    pub deployer: UserId,
}

/// One dataset that a run has pinned and one user who must be able to read it.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The dataset's published name.
    pub name: Name,
    /// Roles that an admin lets read.
    pub read_roles: Vec<Role>,
    /// Who deployed the DAG version that made what is pinned.
    pub deployer: UserId,
    /// Who must be able to read it.
    pub reader: UserId,
    /// Their role, by their latest token.
    pub reader_role: Role,
    /// Whether they are suspended.
    pub reader_suspended: bool,
}

/// Takes the names away from those datasets of a DAG that a new version publishes otherwise or not
/// at all, so that the names can be given anew in any order.
///
/// # Errors
/// When the database fails.
pub async fn clear_names(
    conn: &mut PgConnection,
    dag: DagId,
    publications: &[Publication<'_>],
) -> Result<(), Error> {
    let (jobs, names) = columns(publications);
    sqlx::query!(
        "-- datasets::clear_names
        update datasets d set name = null
        where d.dag_id = $1 and d.name is not null and not exists (
            select from unnest($2::text[], $3::text[]) as p(job, name) where p.job = d.job and p.name = d.name
        )",
        dag.get(),
        &jobs,
        &names as &[Option<String>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes sure that every job of a DAG has its dataset under its name.
///
/// # Errors
/// When the database fails, or a name is taken: see [`taken`].
pub async fn ensure(
    conn: &mut PgConnection,
    org: OrgId,
    dag: DagId,
    publications: &[Publication<'_>],
) -> Result<(), Error> {
    let (jobs, names) = columns(publications);
    sqlx::query!(
        "-- datasets::ensure
        insert into datasets (org_id, dag_id, job, name)
        select $1, $2, p.job, p.name from unnest($3::text[], $4::text[]) as p(job, name)
        on conflict (dag_id, job) do update set name = excluded.name
        where datasets.name is distinct from excluded.name",
        org.get(),
        dag.get(),
        &jobs,
        &names as &[Option<String>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn columns(publications: &[Publication<'_>]) -> (Vec<String>, Vec<Option<String>>) {
    publications
        .iter()
        .map(|publication| (publication.job.to_string(), publication.name.map(ToString::to_string)))
        .unzip()
}

/// Those of these names that another DAG of the org publishes.
///
/// # Errors
/// When the database fails.
pub async fn taken(
    conn: &mut PgConnection,
    org: OrgId,
    dag: &Name,
    names: &[String],
) -> Result<Vec<Taken>, Error> {
    let found = sqlx::query!(
        r#"-- datasets::taken
        select s.name as "name!", d.name as dag from datasets s join dags d on d.dag_id = s.dag_id
        where s.org_id = $1 and s.name = any($3) and d.name <> $2"#,
        org.get(),
        &**dag,
        names
    )
    .fetch_all(conn)
    .await?;
    found.iter().map(|row| Ok(Taken { name: super::name(&row.name)?, dag: super::name(&row.dag)? })).collect()
}

/// Published datasets of an org, with what decides who may read them; at most `limit`, those of
/// `only` when it is given.
///
/// # Errors
/// When the database fails.
pub async fn readable(
    conn: &mut PgConnection,
    org: OrgId,
    only: Option<&[String]>,
    limit: i64,
) -> Result<Vec<Readable>, Error> {
    let found = sqlx::query!(
        r#"-- datasets::readable
        select s.name as "name!", s.dataset_id, s.read_roles, cv.deployed_by as "deployer?",
            v.dataset_version_id as "version?", v.manifest_sha256 as manifest, mv.deployed_by as "made_by?"
        from datasets s
        join dags d on d.dag_id = s.dag_id
        left join dag_versions cv on cv.dag_version_id = d.current_version
        left join dataset_versions v on v.dataset_version_id = s.current_version
        left join runs r on r.run_id = v.dataset_version_id >> 20
        left join dag_versions mv on mv.dag_version_id = r.dag_version_id
        where s.org_id = $1 and s.name is not null and ($2::text[] is null or s.name = any($2))
        order by s.name limit $3"#,
        org.get(),
        only,
        limit
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let current = match (row.version, row.manifest, row.made_by) {
                (Some(version), Some(manifest), Some(deployer)) => Some(CurrentVersion {
                    version: DatasetVersionId::from_db(version),
                    manifest: super::digest(&manifest)?,
                    deployer: UserId::from_db(deployer),
                }),
                _ => None,
            };
            Ok(Readable {
                name: super::name(&row.name)?,
                dataset: DatasetId::from_db(row.dataset_id),
                read_roles: roles(&row.read_roles)?,
                current,
                deployer: row.deployer.map(UserId::from_db),
            })
        })
        .collect()
}

/// What a run has pinned, once for its trigger and once for the deployer of its DAG version.
///
/// # Errors
/// When the database fails.
pub async fn pinned_by(conn: &mut PgConnection, run: RunId) -> Result<Vec<Pinned>, Error> {
    let found = sqlx::query!(
        r#"-- datasets::pinned_by
        select p.key as "name!", s.read_roles, mv.deployed_by as deployer,
            u.user_id as reader, u.role as reader_role, u.suspended_at is not null as "reader_suspended!"
        from runs r
        join dag_versions rv on rv.dag_version_id = r.dag_version_id
        cross join lateral jsonb_each_text(r.pins) p
        join dataset_versions v on v.dataset_version_id = p.value::bigint
        join datasets s on s.dataset_id = v.dataset_id
        join runs m on m.run_id = v.dataset_version_id >> 20
        join dag_versions mv on mv.dag_version_id = m.dag_version_id
        join users u on u.user_id in (r.triggered_by, rv.deployed_by)
        where r.run_id = $1"#,
        run.get()
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(Pinned {
                name: super::name(&row.name)?,
                read_roles: roles(&row.read_roles)?,
                deployer: UserId::from_db(row.deployer),
                reader: UserId::from_db(row.reader),
                reader_role: super::users::role(&row.reader_role)?,
                reader_suspended: row.reader_suspended,
            })
        })
        .collect()
}

/// Published datasets of an org by name, for people: after `after`, or the one of `only`.
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &mut PgConnection,
    org: OrgId,
    only: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<DatasetInfo>, Error> {
    let found = sqlx::query!(
        r#"-- datasets::page
        select s.dataset_id, s.name as "name!", d.name as dag, s.job, s.read_roles,
            v.dataset_version_id as "version?", v.manifest_sha256,
            v.objects, v.bytes, c.at as "current_at?"
        from datasets s
        join dags d on d.dag_id = s.dag_id
        left join dataset_versions v on v.dataset_version_id = s.current_version
        left join lateral (
            select at from cut_overs c
            where c.dataset_id = s.dataset_id and c.dataset_version_id = s.current_version
            order by cut_over_id desc limit 1
        ) c on true
        where s.org_id = $1 and s.name is not null
            and ($2::text is null or s.name = $2) and ($3::text is null or s.name > $3)
        order by s.name limit $4"#,
        org.get(),
        only,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let version = Version {
                version: row.version,
                manifest: row.manifest_sha256,
                objects: row.objects,
                bytes: row.bytes,
                at: row.current_at,
            };
            Ok(DatasetInfo {
                dataset: DatasetId::from_db(row.dataset_id),
                name: super::name(&row.name)?,
                dag: super::name(&row.dag)?,
                job: super::name(&row.job)?,
                read_roles: roles(&row.read_roles)?,
                current: version.info()?,
            })
        })
        .collect()
}

/// The columns of a version, all there or all absent.
struct Version {
    version: Option<i64>,
    manifest: Option<Vec<u8>>,
    objects: Option<i64>,
    bytes: Option<i64>,
    at: Option<DateTime<Utc>>,
}

impl Version {
    fn info(self) -> Result<Option<DatasetVersionInfo>, Error> {
        let Some(version) = self.version else { return Ok(None) };
        let missing = || Error::corrupt("a dataset's current version", "it is not complete");
        let version = DatasetVersionId::from_db(version);
        Ok(Some(DatasetVersionInfo {
            version,
            run: version.run(),
            manifest: super::digest(&self.manifest.ok_or_else(missing)?)?,
            objects: self.objects.and_then(|count| u64::try_from(count).ok()).ok_or_else(missing)?,
            bytes: self.bytes.and_then(|count| u64::try_from(count).ok()).ok_or_else(missing)?,
            current_at: self.at.ok_or_else(missing)?,
        }))
    }
}

/// Lets a role read a published dataset. Answers whether there is such a dataset.
///
/// # Errors
/// When the database fails.
pub async fn grant(conn: &mut PgConnection, org: OrgId, name: &str, role: Role) -> Result<bool, Error> {
    let changed = sqlx::query!(
        "-- datasets::grant
        update datasets set read_roles = case when $3 = any(read_roles) then read_roles
            else array_append(read_roles, $3) end
        where org_id = $1 and name = $2",
        org.get(),
        name,
        role.as_str()
    )
    .execute(conn)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

fn roles(texts: &[String]) -> Result<Vec<Role>, Error> {
    texts.iter().map(|text| super::users::role(text)).collect()
}
