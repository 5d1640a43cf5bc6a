//! `runs`, as transitions need them.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgConnection, types::Json};
use trace_contracts::{
    DagId, DagVersionId, DatasetVersionId, Name, OrgId, RunId, UserId, wire::user::RunState,
};

use super::Error;
use crate::dag::spec::Spec;

/// A run to insert.
#[derive(Debug)]
pub struct NewRow<'a> {
    /// The org.
    pub org: OrgId,
    /// The version that runs.
    pub version: DagVersionId,
    /// The run's parameters.
    pub params: &'a BTreeMap<String, serde_json::Value>,
    /// The versions of outside datasets that it reads.
    pub pins: &'a BTreeMap<Name, DatasetVersionId>,
    /// Who triggered it.
    pub triggered_by: UserId,
    /// Makes the insert safe to repeat.
    pub idempotency_key: Option<&'a str>,
    /// Tasks of the version.
    pub tasks_total: usize,
}

/// A run's row, as its lock holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub state: RunState,
    /// Tasks of the version.
    pub total: i32,
    /// Planned and not ended.
    pub open: i32,
    /// Succeeded.
    pub succeeded: i32,
    /// Dead.
    pub dead: i32,
}

/// A run that is locked.
#[derive(Debug, Clone, Copy)]
pub struct LockedRow {
    /// The run.
    pub run: RunId,
    /// Its org.
    pub org: OrgId,
    /// Whether its org bounds tasks at once. Nobody can change that until the transaction ends.
    pub org_limit: OrgLimit,
    /// Where it stands.
    pub progress: Progress,
}

/// Whether an org bounds its tasks at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrgLimit {
    /// It does.
    Some,
    /// It does not.
    None,
}

/// What of a run never changes.
#[derive(Debug, Clone)]
pub struct FactsRow {
    /// The run.
    pub run: RunId,
    /// The org.
    pub org: OrgId,
    /// The DAG.
    pub dag: DagId,
    /// The version that runs.
    pub version: DagVersionId,
    /// The run's parameters.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The versions of outside datasets that it reads.
    pub pins: BTreeMap<Name, DatasetVersionId>,
}

/// Inserts a run; `None` when one with the same idempotency key is there.
///
/// # Errors
/// When the database fails.
pub async fn insert(conn: &mut PgConnection, new: &NewRow<'_>) -> Result<Option<RunId>, Error> {
    let total = i32::try_from(new.tasks_total).map_err(|error| Error::corrupt("a count of tasks", error))?;
    let run = sqlx::query_scalar!(
        "-- runs::insert
        insert into runs (org_id, dag_version_id, params, pins, triggered_by, idempotency_key, tasks_total)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (dag_version_id, idempotency_key) do nothing
        returning run_id",
        new.org.get(),
        new.version.get(),
        Json(new.params) as _,
        Json(numbers(new.pins)) as _,
        new.triggered_by.get(),
        new.idempotency_key,
        total
    )
    .fetch_optional(conn)
    .await?;
    Ok(run.map(RunId::from_db))
}

/// The run that an idempotency key made.
///
/// # Errors
/// When the database fails.
pub async fn of_key(
    conn: &mut PgConnection,
    version: DagVersionId,
    key: &str,
) -> Result<Option<RunId>, Error> {
    let run = sqlx::query_scalar!(
        "-- runs::of_key
        select run_id from runs where dag_version_id = $1 and idempotency_key = $2",
        version.get(),
        key
    )
    .fetch_optional(conn)
    .await?;
    Ok(run.map(RunId::from_db))
}

/// Locks runs, in the order of their ids. Whoever changes a task's state does this first, so that
/// the commits of one run come one after another and none overlooks what another one made ready.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection, runs: &[i64]) -> Result<Vec<LockedRow>, Error> {
    let found = sqlx::query!(
        r#"-- runs::lock
        with locked as (
            select run_id, org_id, state, tasks_total, tasks_open, tasks_succeeded, tasks_dead
            from runs where run_id = any($1) order by run_id for no key update
        ), orgs as (
            select org_id, org_has_limit(org_id) as has_limit from (select distinct org_id from locked) o
        )
        select l.run_id, l.org_id, l.state, l.tasks_total, l.tasks_open, l.tasks_succeeded, l.tasks_dead,
            o.has_limit as "has_limit!"
        from locked l join orgs o on o.org_id = l.org_id"#,
        runs
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            let progress = Progress {
                state: state(&row.state)?,
                total: row.tasks_total,
                open: row.tasks_open,
                succeeded: row.tasks_succeeded,
                dead: row.tasks_dead,
            };
            Ok(LockedRow {
                run: RunId::from_db(row.run_id),
                org: OrgId::from_db(row.org_id),
                org_limit: if row.has_limit { OrgLimit::Some } else { OrgLimit::None },
                progress,
            })
        })
        .collect()
}

/// What of these runs never changes.
///
/// # Errors
/// When the database fails.
pub async fn facts(conn: &mut PgConnection, runs: &[i64]) -> Result<Vec<FactsRow>, Error> {
    let found = sqlx::query!(
        r#"-- runs::facts
        select r.run_id, r.org_id, v.dag_id, r.dag_version_id,
            r.params as "params: Json<BTreeMap<String, serde_json::Value>>",
            r.pins as "pins: Json<BTreeMap<Name, i64>>"
        from runs r join dag_versions v on v.dag_version_id = r.dag_version_id
        where r.run_id = any($1)"#,
        runs
    )
    .fetch_all(conn)
    .await?;
    let rows = found.into_iter().map(|row| FactsRow {
        run: RunId::from_db(row.run_id),
        org: OrgId::from_db(row.org_id),
        dag: DagId::from_db(row.dag_id),
        version: DagVersionId::from_db(row.dag_version_id),
        params: row.params.0,
        pins: row.pins.0.into_iter().map(|(name, id)| (name, DatasetVersionId::from_db(id))).collect(),
    });
    Ok(rows.collect())
}

/// The specs of DAG versions.
///
/// # Errors
/// When the database fails, or a spec can't be read.
pub async fn specs(conn: &mut PgConnection, versions: &[i64]) -> Result<Vec<(DagVersionId, Spec)>, Error> {
    let found = sqlx::query!(
        r#"-- runs::specs
        select dag_version_id, spec as "spec: Json<Spec>" from dag_versions where dag_version_id = any($1)"#,
        versions
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|row| (DagVersionId::from_db(row.dag_version_id), row.spec.0)).collect())
}

/// Notes who cancelled a run.
///
/// # Errors
/// When the database fails, or the run is gone although it was locked.
pub async fn cancelled_by(conn: &mut PgConnection, run: RunId, user: UserId) -> Result<(), Error> {
    let changed = sqlx::query!(
        "-- runs::cancelled_by
        update runs set cancelled_by = $2 where run_id = $1",
        run.get(),
        user.get()
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a run that is cancelled", 1, changed)
}

/// The run of this org, if there is one.
///
/// # Errors
/// When the database fails.
pub async fn exists(conn: &mut PgConnection, org: OrgId, run: RunId) -> Result<Option<RunId>, Error> {
    let found = sqlx::query_scalar!(
        "-- runs::exists
        select run_id from runs where run_id = $1 and org_id = $2",
        run.get(),
        org.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(RunId::from_db))
}

/// Where these runs stand.
///
/// # Errors
/// When the database fails.
pub async fn states(conn: &mut PgConnection, runs: &[i64]) -> Result<HashMap<RunId, RunState>, Error> {
    let found = sqlx::query!("-- runs::states\nselect run_id, state from runs where run_id = any($1)", runs)
        .fetch_all(conn)
        .await?;
    found.iter().map(|row| Ok((RunId::from_db(row.run_id), state(&row.state)?))).collect()
}

fn numbers(pins: &BTreeMap<Name, DatasetVersionId>) -> BTreeMap<&Name, i64> {
    pins.iter().map(|(name, version)| (name, version.get())).collect()
}

pub(super) fn state(text: &str) -> Result<RunState, Error> {
    [RunState::Running, RunState::Succeeded, RunState::Failed, RunState::Cancelled]
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| Error::corrupt("a run's state", text))
}
