//! nothing → running: a run, its pins, its versions and its first tasks.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use trace_contracts::{DagId, DagVersionId, DatasetVersionId, Name, OrgId, RunId, TaskId, UserId};

use super::{Core, Error, back_pressure};
use crate::{
    dag::spec::{Source, Spec},
    db::{self, runs::NewRow, versions::NewVersion},
    lease::Fenced,
    planner::{Facts, Frontier, Listed, Snapshot, check, plan},
};

/// A run to start.
#[derive(Debug)]
pub struct NewRun<'a> {
    /// The org.
    pub org: OrgId,
    /// The DAG.
    pub dag: DagId,
    /// Its version.
    pub version: DagVersionId,
    /// What the version says.
    pub spec: &'a Spec,
    /// The run's parameters, complete and checked.
    pub params: BTreeMap<String, serde_json::Value>,
    /// Who triggers it, and may read what it reads.
    pub triggered_by: UserId,
    /// The same key again answers the same run.
    pub idempotency_key: Option<&'a str>,
}

/// What starting a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// A new run.
    New(RunId),
    /// The run that this idempotency key has started before.
    Before(RunId),
}

impl Started {
    /// The run.
    #[must_use]
    pub const fn run(self) -> RunId {
        match self {
            Self::New(run) | Self::Before(run) => run,
        }
    }
}

/// Starts a run: pins outside datasets at their current versions, opens a version of each job's
/// dataset, and makes the first tasks ready.
///
/// # Errors
/// [`Error::UnknownDataset`] or [`Error::EmptyDataset`] when an outside dataset can't be pinned,
/// [`Error::NoRoom`] when a limit of the org has no room for the run.
pub async fn start_run(tx: &mut PgConnection, core: &Core, new: NewRun<'_>) -> Result<Started, Error> {
    let listed = Listed::of(new.spec);
    let first = first_tasks(new.spec, &listed)?;
    if let Some(key) = new.idempotency_key
        && let Some(run) = db::runs::of_key(tx, new.version, key).await?
    {
        return Ok(Started::Before(run));
    }
    // Whoever suspends the user waits for this run and then cancels it, or is waited for here.
    if db::users::hold_active(tx, new.triggered_by).await? == db::users::Standing::Suspended {
        return Err(Error::Suspended);
    }
    back_pressure::check(tx, new.org, first.len()).await?;
    let pins = pins(tx, new.org, new.spec).await?;
    let row = NewRow {
        org: new.org,
        version: new.version,
        params: &new.params,
        pins: &pins,
        triggered_by: new.triggered_by,
        idempotency_key: new.idempotency_key,
        tasks_total: new.spec.jobs.iter().map(|job| job.partitions.len()).sum(),
    };
    let Some(run) = db::runs::insert(tx, &row).await? else {
        let before = db::runs::of_key(tx, new.version, new.idempotency_key.unwrap_or_default()).await?;
        return before.map(Started::Before).ok_or(Error::NotFound("run"));
    };
    open_versions(tx, &new, run, &listed).await?;
    let tasks = first.into_iter().map(|place| TaskId::in_run(run, place));
    let tasks = tasks.collect::<Option<Vec<TaskId>>>();
    let mut fenced = Fenced::lock(tx, core, &BTreeSet::from([run])).await?;
    fenced.plan(tasks.ok_or_else(|| db::Error::corrupt("a run's number", run))?).await?;
    let _heard_by_news = fenced.settle(&*core.wake).await?;
    Ok(Started::New(run))
}

async fn pins(
    tx: &mut PgConnection,
    org: OrgId,
    spec: &Spec,
) -> Result<BTreeMap<Name, DatasetVersionId>, Error> {
    let inputs = spec.jobs.iter().flat_map(|job| &job.inputs);
    let names: BTreeSet<&Name> = inputs
        .filter_map(|input| match &input.source {
            Source::Dataset { dataset } => Some(dataset),
            Source::SamePartition { .. } | Source::WholeJob { .. } => None,
        })
        .collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
    let current: BTreeMap<Name, Option<DatasetVersionId>> = db::versions::current(tx, org, &texts)
        .await?
        .into_iter()
        .map(|dataset| (dataset.name, dataset.version))
        .collect();
    names
        .into_iter()
        .map(|name| match current.get(name) {
            None => Err(Error::UnknownDataset(name.clone())),
            Some(None) => Err(Error::EmptyDataset(name.clone())),
            Some(Some(version)) => Ok((name.clone(), *version)),
        })
        .collect()
}

async fn open_versions(
    tx: &mut PgConnection,
    new: &NewRun<'_>,
    run: RunId,
    listed: &Listed,
) -> Result<(), Error> {
    let jobs: Vec<String> = new.spec.jobs.iter().map(|job| job.name.to_string()).collect();
    db::versions::ensure_datasets(tx, new.org, new.dag, &jobs).await?;
    let mut versions = Vec::with_capacity(jobs.len());
    for (at, job) in new.spec.jobs.iter().enumerate() {
        let version = listed.first_of(at).and_then(|first| DatasetVersionId::in_run(run, first));
        let version = version.ok_or_else(|| db::Error::corrupt("a run's number", run))?;
        versions.push(NewVersion { job: &job.name, version, partitions: job.partitions.len() });
    }
    Ok(db::versions::open(tx, new.dag, &versions).await?)
}

/// The places of the tasks that are due as soon as the run starts.
fn first_tasks(spec: &Spec, listed: &Listed) -> Result<Vec<u32>, Error> {
    let frontier = Frontier::at_start(spec);
    let facts = Facts::default();
    let snapshot = Snapshot { spec, listed, frontier: &frontier, facts: &facts };
    let checked = check(&snapshot, plan(&snapshot))?;
    let place =
        |key| listed.place(key).ok_or_else(|| db::Error::corrupt("a task of a DAG", format!("{key:?}")));
    Ok(checked.tasks().iter().map(place).collect::<Result<_, _>>()?)
}
