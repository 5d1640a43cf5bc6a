//! What an attempt may do, worked out from what its run has pinned and committed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use sqlx::PgPool;
use trace_contracts::{
    AttemptId, DatasetVersionId, EgressGrant, Grants, InputGrant, Name, OrgId, PartitionKey, RunId, S3Prefix,
    Sha256, TaskId, grant::Budgets,
};

use crate::{
    config::Egress,
    dag::spec::{InputSpec, Source},
    db::{self, leases::LeaseRow},
    egress::Policies,
    facts::{FactCache, Pinned, Place, RunFacts},
    planner::TaskKey,
    recent::RecentCommits,
};

/// A lease with what its attempt may do.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The lease.
    pub lease: LeaseRow,
    /// What of its run never changes.
    pub facts: Arc<RunFacts>,
    /// What the attempt may do.
    pub grants: Grants,
}

/// Where an attempt writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptPrefixes {
    /// What is committed from there.
    pub output: S3Prefix,
    /// What dies with it.
    pub scratch: S3Prefix,
}

impl AttemptPrefixes {
    /// The prefixes of one attempt; no other attempt ever has them.
    ///
    /// # Errors
    /// When the bucket's name is not one.
    pub fn new(
        bucket: &str,
        org: OrgId,
        run: RunId,
        task: TaskId,
        attempt: AttemptId,
    ) -> Result<Self, db::Error> {
        let root = format!("s3://{bucket}/data/{org}/{run}/{task}/{attempt}/");
        let root: S3Prefix = root.parse().map_err(|error| db::Error::corrupt("a bucket's name", error))?;
        let folder = |name| root.join(name).map_err(|error| db::Error::corrupt("a bucket's name", error));
        Ok(Self { output: folder("out")?, scratch: folder("scratch")? })
    }

    /// The prefixes of a lease.
    ///
    /// # Errors
    /// When the bucket's name is not one.
    pub fn of(bucket: &str, facts: &RunFacts, lease: &LeaseRow) -> Result<Self, db::Error> {
        Self::new(bucket, facts.org, lease.run(), lease.task, lease.attempt)
    }
}

/// What an input reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Read {
    /// A whole version.
    Version(DatasetVersionId),
    /// What one task committed.
    Task(TaskId),
}

/// Works out the grants of leases, with three statements at most however many there are, and with none
/// where this dispatcher has just committed what they read and nothing leads out. What they may reach outside is
/// decided by the rules that are in force now, after the leases are there.
///
/// # Errors
/// When the database fails, or an input of a leased task is not there.
pub async fn of_leases(
    db: &PgPool,
    cache: &FactCache,
    bucket: &str,
    way_out: Egress,
    leases: Vec<LeaseRow>,
) -> Result<Vec<Granted>, db::Error> {
    let runs: BTreeSet<RunId> = leases.iter().map(LeaseRow::run).collect();
    let facts = cache.of_pool(db, &runs).await?;
    let mut found = Vec::with_capacity(leases.len());
    let mut wanted: HashSet<Read> = HashSet::new();
    let mut going_out = BTreeSet::new();
    for lease in leases {
        let run = facts.get(&lease.run()).ok_or_else(|| db::Error::corrupt("a run", lease.run()))?;
        let place = run.place(lease.task)?;
        for input in &place.spec.inputs {
            wanted.insert(source(run, input, place)?.read);
        }
        if !place.spec.egress.is_empty() {
            going_out.insert(run.org);
        }
        found.push((lease, Arc::clone(run)));
    }
    let manifests = manifests(db, &cache.recent, wanted).await?;
    let mut outside =
        Outside { policies: Policies::of_pool(db, way_out, &going_out).await?, known: HashMap::new() };
    found
        .into_iter()
        .map(|(lease, facts)| {
            let egress = outside.of(&facts, facts.place(lease.task)?);
            let grants = grants(bucket, &facts, &lease, &manifests, egress)?;
            Ok(Granted { lease, facts, grants })
        })
        .collect()
}

/// What jobs may reach outside, worked out once for each.
struct Outside {
    policies: Policies,
    known: HashMap<(RunId, usize), Vec<EgressGrant>>,
}

impl Outside {
    fn of(&mut self, run: &RunFacts, place: Place<'_>) -> Vec<EgressGrant> {
        if place.spec.egress.is_empty() {
            return Vec::new();
        }
        let allowed = || self.policies.allowed(run.org, &run.spec.name, &place.spec.egress);
        self.known.entry((run.run, place.job)).or_insert_with(allowed).clone()
    }
}

/// Where an input comes from.
struct Origin<'a> {
    pinned: Pinned,
    read: Read,
    partition: Option<&'a PartitionKey>,
}

/// What an input of a task reads: a whole version, or its own partition.
fn source<'a>(run: &RunFacts, input: &InputSpec, own: Place<'a>) -> Result<Origin<'a>, db::Error> {
    let whole = |pinned: Pinned| Origin { pinned, read: Read::Version(pinned.version), partition: None };
    match &input.source {
        Source::WholeJob { job } => Ok(whole(run.output(*job)?)),
        Source::SamePartition { job } => {
            let upstream = run.task(&TaskKey { job: *job, partition: own.partition.clone() })?;
            let partition = Some(own.partition).filter(|partition| !partition.is_whole());
            Ok(Origin { pinned: run.output(*job)?, read: Read::Task(upstream), partition })
        }
        Source::Dataset { dataset } => {
            let pin =
                run.pins.get(dataset).ok_or_else(|| db::Error::corrupt("a run without a pin", dataset))?;
            Ok(whole(*pin))
        }
    }
}

async fn manifests(
    db: &PgPool,
    recent: &RecentCommits,
    wanted: HashSet<Read>,
) -> Result<HashMap<Read, Sha256>, db::Error> {
    let mut versions = Vec::new();
    let mut tasks = Vec::new();
    let mut manifests = HashMap::new();
    for read in wanted {
        match read {
            Read::Version(version) => versions.push(version.get()),
            Read::Task(task) => match recent.get(task) {
                Some(sha256) => drop(manifests.insert(read, sha256)),
                None => tasks.push(task.get()),
            },
        }
    }
    if versions.is_empty() && tasks.is_empty() {
        return Ok(manifests);
    }
    let mut conn = db.acquire().await?;
    if !versions.is_empty() {
        let whole = db::versions::manifests(&mut conn, &versions).await?;
        manifests.extend(whole.into_iter().map(|(version, sha256)| (Read::Version(version), sha256)));
    }
    if !tasks.is_empty() {
        let parts = db::commits::manifests(&mut conn, &tasks).await?;
        manifests.extend(parts.into_iter().map(|(task, sha256)| (Read::Task(task), sha256)));
    }
    Ok(manifests)
}

fn grants(
    bucket: &str,
    run: &RunFacts,
    lease: &LeaseRow,
    manifests: &HashMap<Read, Sha256>,
    egress: Vec<EgressGrant>,
) -> Result<Grants, db::Error> {
    let place = run.place(lease.task)?;
    let inputs = place.spec.inputs.iter().map(|input| {
        let Origin { pinned, read, partition } = source(run, input, place)?;
        let manifest = manifests
            .get(&read)
            .ok_or_else(|| db::Error::corrupt("a leased task without its input", &input.name))?;
        let grant = InputGrant {
            dataset: pinned.dataset,
            version: pinned.version,
            manifest: *manifest,
            partition: partition.cloned(),
            columns: input.columns.clone(),
            row_filter: input.row_filter.clone(),
        };
        Ok((input.name.clone(), grant))
    });
    let inputs: BTreeMap<Name, InputGrant> = inputs.collect::<Result<_, db::Error>>()?;
    let AttemptPrefixes { output, scratch } = AttemptPrefixes::of(bucket, run, lease)?;
    Ok(Grants { inputs, output, scratch, egress, budgets: Budgets::default() })
}
