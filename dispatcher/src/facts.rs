//! What of runs never changes, remembered.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sqlx::{PgConnection, PgPool};
use trace_contracts::{
    DagId, DagVersionId, DatasetId, DatasetVersionId, Name, OrgId, PartitionKey, RunId, TaskId,
};

use crate::{
    admission::Lane,
    dag::spec::{JobSpec, Spec},
    db::{
        self,
        runs::{FactsRow, OrgLimit},
        versions::VersionRow,
    },
    planner::{Listed, TaskKey},
    recent::RecentCommits,
};

/// A version of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// The dataset.
    pub dataset: DatasetId,
    /// The version.
    pub version: DatasetVersionId,
}

/// What of a run never changes.
#[derive(Debug)]
pub struct RunFacts {
    /// The run.
    pub run: RunId,
    /// The org.
    pub org: OrgId,
    /// The DAG.
    pub dag: DagId,
    /// The DAG's version.
    pub spec: Arc<Spec>,
    /// The tasks that it lists.
    pub listed: Arc<Listed>,
    /// Whether its tasks are all under no limit of the DAG's own and of priority 0.
    pub kind: Kind,
    /// The run's parameters.
    pub params: BTreeMap<String, serde_json::Value>,
    /// Outside datasets, pinned when the run started.
    pub pins: BTreeMap<Name, Pinned>,
    /// What each job writes, by its index.
    pub outputs: Vec<Pinned>,
}

/// Whether a version says anything of who goes first and who has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It does not: a task that is due is ready.
    Plain,
    /// It does.
    Limited,
}

impl Kind {
    fn of(spec: &Spec) -> Self {
        let ranked = spec.jobs.iter().any(|job| job.limits.priority != 0);
        if spec.is_limited() || ranked { Self::Limited } else { Self::Plain }
    }
}

/// A task, as its DAG has it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The job's index in the spec.
    pub job: usize,
    /// The job.
    pub spec: &'a JobSpec,
    /// The partition.
    pub partition: &'a PartitionKey,
}

impl Place<'_> {
    /// The task, as the planner knows it.
    #[must_use]
    pub fn key(&self) -> TaskKey {
        TaskKey { job: self.job, partition: self.partition.clone() }
    }
}

impl RunFacts {
    /// What a task is.
    ///
    /// # Errors
    /// When a row names a task that the DAG does not list.
    pub fn place(&self, task: TaskId) -> Result<Place<'_>, db::Error> {
        self.find(task).ok_or_else(|| db::Error::corrupt("a task's number", task))
    }

    /// What a task is, if the DAG lists it.
    #[must_use]
    pub fn find(&self, task: TaskId) -> Option<Place<'_>> {
        let (job, at) = self.listed.at(task.ordinal()).filter(|_| task.run() == self.run)?;
        let spec = self.spec.jobs.get(job)?;
        Some(Place { job, spec, partition: spec.partitions.get(at)? })
    }

    /// A task's id.
    ///
    /// # Errors
    /// When the DAG does not list it.
    pub fn task(&self, key: &TaskKey) -> Result<TaskId, db::Error> {
        let place = self.listed.place(key).and_then(|place| TaskId::in_run(self.run, place));
        place.ok_or_else(|| db::Error::corrupt("a task of a DAG", format!("{key:?}")))
    }

    /// The limits that a task is under; `None` when nothing bounds it.
    ///
    /// # Errors
    /// When the DAG does not list the task.
    pub fn lane(&self, task: TaskId, org_limit: OrgLimit) -> Result<Option<Lane>, db::Error> {
        let place = self.place(task)?;
        let dag = self.spec.concurrency.map(|_| self.dag);
        let job = if place.spec.limits.is_some() { Some(self.output(place.job)?.dataset) } else { None };
        let limited = dag.is_some() || job.is_some() || org_limit == OrgLimit::Some;
        Ok(limited.then_some(Lane { org: self.org, dag, job }))
    }

    /// A job of the spec.
    ///
    /// # Errors
    /// When the spec has no such job.
    pub fn job(&self, job: usize) -> Result<&JobSpec, db::Error> {
        self.spec.jobs.get(job).ok_or_else(|| db::Error::corrupt("a job's number", job))
    }

    /// What a job writes.
    ///
    /// # Errors
    /// When the run has no version for a job.
    pub fn output(&self, job: usize) -> Result<Pinned, db::Error> {
        self.outputs.get(job).copied().ok_or_else(|| db::Error::corrupt("a job's version", job))
    }
}

/// A DAG's version, and the tasks that it lists.
#[derive(Debug, Clone)]
struct Version {
    spec: Arc<Spec>,
    listed: Arc<Listed>,
    kind: Kind,
}

/// Facts of runs by id.
pub type FactsByRun = HashMap<RunId, Arc<RunFacts>>;

/// Runs and specs remembered at most; past that the memory starts anew.
const REMEMBERED: usize = 512;

/// Reads facts once.
#[derive(Debug, Default)]
pub struct FactCache {
    /// The last commits.
    pub recent: RecentCommits,
    runs: Mutex<FactsByRun>,
    specs: Mutex<HashMap<DagVersionId, Version>>,
}

impl FactCache {
    /// The facts of these runs. Runs that this transaction has inserted may be among them: their
    /// ids are never given out again, so what is remembered of them is never wrong.
    ///
    /// # Errors
    /// When the database fails, or a run is not there.
    pub async fn of(&self, conn: &mut PgConnection, runs: &BTreeSet<RunId>) -> Result<FactsByRun, db::Error> {
        let found = self.known(conn, runs).await?;
        match runs.iter().find(|run| !found.contains_key(run)) {
            Some(run) => Err(db::Error::corrupt("a task of a run", format!("there is no run {run}"))),
            None => Ok(found),
        }
    }

    /// The same, of those runs that there are: somebody outside may have named them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known(
        &self,
        conn: &mut PgConnection,
        runs: &BTreeSet<RunId>,
    ) -> Result<FactsByRun, db::Error> {
        let mut found = self.remembered(runs);
        let missing: Vec<i64> =
            runs.iter().filter(|run| !found.contains_key(run)).map(|run| run.get()).collect();
        if !missing.is_empty() {
            let loaded = self.load(conn, &missing).await?;
            remember(&self.runs, loaded.iter().map(|(run, facts)| (*run, Arc::clone(facts))));
            found.extend(loaded);
        }
        Ok(found)
    }

    /// The facts of one run.
    ///
    /// # Errors
    /// When the database fails, or the run is not there.
    pub async fn one(&self, conn: &mut PgConnection, run: RunId) -> Result<Arc<RunFacts>, db::Error> {
        let mut found = self.of(conn, &BTreeSet::from([run])).await?;
        found.remove(&run).ok_or_else(|| db::Error::corrupt("a task of a run", run))
    }

    /// The facts of these runs, with a connection only if some of them are not remembered.
    ///
    /// # Errors
    /// When the database fails, or a run is not there.
    pub async fn of_pool(&self, db: &PgPool, runs: &BTreeSet<RunId>) -> Result<FactsByRun, db::Error> {
        let known = self.remembered(runs);
        if known.len() == runs.len() { Ok(known) } else { self.of(&mut *db.acquire().await?, runs).await }
    }

    fn remembered(&self, runs: &BTreeSet<RunId>) -> FactsByRun {
        let known = lock(&self.runs);
        runs.iter().filter_map(|run| Some((*run, Arc::clone(known.get(run)?)))).collect()
    }

    async fn load(&self, conn: &mut PgConnection, runs: &[i64]) -> Result<FactsByRun, db::Error> {
        let rows = db::runs::facts(conn, runs).await?;
        let specs = self.specs(conn, rows.iter().map(|row| row.version).collect()).await?;
        let pins: Vec<i64> =
            rows.iter().flat_map(|row| row.pins.values()).map(|version| version.get()).collect();
        let datasets: HashMap<DatasetVersionId, DatasetId> = if pins.is_empty() {
            HashMap::new()
        } else {
            db::versions::datasets_of(conn, &pins).await?.into_iter().collect()
        };
        let ids: Vec<RunId> = rows.iter().map(|row| row.run).collect();
        let mut versions: HashMap<RunId, Vec<VersionRow>> = HashMap::new();
        for row in db::versions::of_runs(conn, &ids).await? {
            versions.entry(row.version.run()).or_default().push(row);
        }
        rows.into_iter()
            .map(|row| {
                let run = row.run;
                let own = versions.remove(&run).unwrap_or_default();
                Ok((run, Arc::new(assemble(row, &specs, &datasets, &own)?)))
            })
            .collect()
    }

    async fn specs(
        &self,
        conn: &mut PgConnection,
        versions: BTreeSet<DagVersionId>,
    ) -> Result<HashMap<DagVersionId, Version>, db::Error> {
        let mut found: HashMap<DagVersionId, Version> = {
            let known = lock(&self.specs);
            versions.iter().filter_map(|version| Some((*version, known.get(version)?.clone()))).collect()
        };
        let missing: Vec<i64> =
            versions.iter().filter(|version| !found.contains_key(version)).map(|v| v.get()).collect();
        if !missing.is_empty() {
            let loaded = db::runs::specs(conn, &missing).await?;
            found.extend(loaded.into_iter().map(|(version, spec)| {
                let (listed, kind) = (Arc::new(Listed::of(&spec)), Kind::of(&spec));
                (version, Version { spec: Arc::new(spec), listed, kind })
            }));
            remember(&self.specs, found.iter().map(|(id, version)| (*id, version.clone())));
        }
        Ok(found)
    }
}

fn assemble(
    row: FactsRow,
    specs: &HashMap<DagVersionId, Version>,
    datasets: &HashMap<DatasetVersionId, DatasetId>,
    versions: &[VersionRow],
) -> Result<RunFacts, db::Error> {
    let Version { spec, listed, kind } = specs
        .get(&row.version)
        .ok_or_else(|| db::Error::corrupt("a run without its version", row.version))?;
    let pins = row.pins.into_iter().map(|(name, version)| {
        let dataset =
            datasets.get(&version).ok_or_else(|| db::Error::corrupt("a pin of nothing", version))?;
        Ok((name, Pinned { dataset: *dataset, version }))
    });
    // Versions come in the order of jobs, and every job has one, named after its first task.
    let first = |job| listed.first_of(job).and_then(|first| DatasetVersionId::in_run(row.run, first));
    if versions.len() != spec.jobs.len()
        || versions.iter().enumerate().any(|(at, row)| Some(row.version) != first(at))
    {
        return Err(db::Error::corrupt("versions that do not fit their DAG", row.run));
    }
    Ok(RunFacts {
        run: row.run,
        org: row.org,
        dag: row.dag,
        spec: Arc::clone(spec),
        listed: Arc::clone(listed),
        kind: *kind,
        params: row.params,
        pins: pins.collect::<Result<_, db::Error>>()?,
        outputs: versions.iter().map(|row| Pinned { dataset: row.dataset, version: row.version }).collect(),
    })
}

fn lock<T>(cache: &Mutex<T>) -> MutexGuard<'_, T> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember<K: Eq + std::hash::Hash, V>(
    cache: &Mutex<HashMap<K, V>>,
    entries: impl IntoIterator<Item = (K, V)>,
) {
    let mut cache = lock(cache);
    if cache.len() >= REMEMBERED {
        cache.clear();
    }
    cache.extend(entries);
}
