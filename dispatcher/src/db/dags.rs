//! `dags` and `dag_versions`.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use trace_contracts::{DagId, DagVersionId, Name, OrgId, Sha256, UserId, wire::user::DagInfo};

use super::Error;
use crate::dag::spec::Spec;

/// A version to insert.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// The DAG.
    pub dag: DagId,
    /// Its content hash.
    pub sha256: Sha256,
    /// The file as written.
    pub yaml: &'a str,
    /// What it means.
    pub spec: &'a Spec,
    /// Who deploys it.
    pub deployed_by: UserId,
}

/// The version that a trigger runs.
#[derive(Debug)]
pub struct Current {
    /// The DAG.
    pub dag: DagId,
    /// The version.
    pub version: DagVersionId,
    /// What it says.
    pub spec: Spec,
}

/// Lets deploys to one org happen one after another, so that no two of them take one name.
///
/// # Errors
/// When the database fails.
pub async fn lock_org(conn: &mut PgConnection, org: OrgId) -> Result<(), Error> {
    sqlx::query_scalar!(
        "-- dags::lock_org
        select org_id from orgs where org_id = $1 for no key update",
        org.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// The DAG of this name, added if it is not there.
///
/// # Errors
/// When the database fails.
pub async fn ensure(conn: &mut PgConnection, org: OrgId, name: &Name) -> Result<DagId, Error> {
    let id = sqlx::query_scalar!(
        "-- dags::ensure
        insert into dags (org_id, name) values ($1, $2)
        on conflict (org_id, name) do update set name = excluded.name returning dag_id",
        org.get(),
        &**name
    )
    .fetch_one(conn)
    .await?;
    Ok(DagId::from_db(id))
}

/// Inserts a version; `None` when this content is one already.
///
/// # Errors
/// When the database fails.
pub async fn insert_version(
    conn: &mut PgConnection,
    new: &NewVersion<'_>,
) -> Result<Option<DagVersionId>, Error> {
    let id = sqlx::query_scalar!(
        "-- dags::insert_version
        insert into dag_versions (dag_id, sha256, yaml, spec, deployed_by) values ($1, $2, $3, $4, $5)
        on conflict (dag_id, sha256) do nothing returning dag_version_id",
        new.dag.get(),
        new.sha256.as_bytes().as_slice(),
        new.yaml,
        Json(new.spec) as _,
        new.deployed_by.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(DagVersionId::from_db))
}

/// The version of this content.
///
/// # Errors
/// When the database fails.
pub async fn version_of(
    conn: &mut PgConnection,
    dag: DagId,
    sha256: Sha256,
) -> Result<Option<DagVersionId>, Error> {
    let id = sqlx::query_scalar!(
        "-- dags::version_of
        select dag_version_id from dag_versions where dag_id = $1 and sha256 = $2",
        dag.get(),
        sha256.as_bytes().as_slice()
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(DagVersionId::from_db))
}

/// Makes a version the one that triggers run.
///
/// # Errors
/// When the database fails.
pub async fn set_current(conn: &mut PgConnection, dag: DagId, version: DagVersionId) -> Result<(), Error> {
    let changed = sqlx::query!(
        "-- dags::set_current
        update dags set current_version = $2 where dag_id = $1",
        dag.get(),
        version.get()
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a DAG", 1, changed)
}

/// The current version of a DAG of this org.
///
/// # Errors
/// When the database fails, or the spec can't be read.
pub async fn current(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<Option<Current>, Error> {
    let found = sqlx::query!(
        r#"-- dags::current
        select d.dag_id, v.dag_version_id, v.spec as "spec: Json<Spec>"
        from dags d join dag_versions v on v.dag_version_id = d.current_version
        where d.org_id = $1 and d.name = $2"#,
        org.get(),
        name
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| Current {
        dag: DagId::from_db(row.dag_id),
        version: DagVersionId::from_db(row.dag_version_id),
        spec: row.spec.0,
    }))
}

/// DAGs of an org by name: after `after`, or the one of `only`.
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &mut PgConnection,
    org: OrgId,
    only: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<DagInfo>, Error> {
    let found = sqlx::query!(
        "-- dags::page
        select d.dag_id, d.name, v.dag_version_id, v.sha256, v.deployed_at
        from dags d join dag_versions v on v.dag_version_id = d.current_version
        where d.org_id = $1 and ($2::text is null or d.name = $2) and ($3::text is null or d.name > $3)
        order by d.name limit $4",
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
            let deployed_at: DateTime<Utc> = row.deployed_at;
            Ok(DagInfo {
                dag: DagId::from_db(row.dag_id),
                name: super::name(&row.name)?,
                version: DagVersionId::from_db(row.dag_version_id),
                sha256: super::digest(&row.sha256)?,
                deployed_at,
            })
        })
        .collect()
}
