//! leased → succeeded: outputs become a partition of a dataset version, and what waited for it is
//! planned.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use trace_contracts::{DatasetVersionId, Manifest, RunId, TaskId, wire::user::TaskState};

use super::{Core, Error, complete::SUCCEEDED};
use crate::{
    db::{
        self,
        attempts::Ending,
        versions::{Completed, NewCommit},
    },
    facts::{FactsByRun, Pinned, RunFacts},
    lease::{Fenced, Held, When},
    outputs::Outputs,
    planner::{self, CheckedPlan, Facts, Frontier, Snapshot, TaskKey, VersionState},
};

/// One attempt that succeeded.
pub(super) struct Commit {
    pub(super) held: Held,
    pub(super) outputs: Outputs,
}

/// Commits attempts of locked runs.
pub(super) async fn commit(fenced: &mut Fenced<'_>, core: &Core, commits: Vec<Commit>) -> Result<(), Error> {
    if commits.is_empty() {
        return Ok(());
    }
    let runs: BTreeSet<RunId> = commits.iter().map(|one| one.held.run).collect();
    let facts = core.facts.of(fenced.conn(), &runs).await?;
    end_attempts(fenced, &commits).await?;
    insert_commits(fenced, &facts, &commits).await?;
    let complete = advance_versions(fenced, &facts, &commits).await?;
    for one in &commits {
        fenced.change(one.held.run, |progress| {
            progress.open -= 1;
            progress.succeeded += 1;
        });
    }
    plan_next(fenced, &facts, &commits, &complete).await
}

async fn end_attempts(fenced: &mut Fenced<'_>, commits: &[Commit]) -> Result<(), Error> {
    let endings: Vec<Ending<'_>> =
        commits.iter().map(|one| Ending { held: &one.held, outcome: SUCCEEDED, detail: None }).collect();
    fenced.end(&endings).await?;
    let tasks: Vec<TaskId> = commits.iter().map(|one| one.held.task).collect();
    Ok(db::tasks::end(fenced.conn(), &tasks, TaskState::Succeeded).await?)
}

/// What a held task writes.
fn output(facts: &FactsByRun, held: &Held) -> Result<Pinned, db::Error> {
    of(facts, held.run)?.output(held.job)
}

fn of(facts: &FactsByRun, run: RunId) -> Result<&RunFacts, db::Error> {
    facts.get(&run).map(|facts| &**facts).ok_or_else(|| db::Error::corrupt("a run", run))
}

async fn insert_commits(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    commits: &[Commit],
) -> Result<(), Error> {
    let rows = commits.iter().map(|one| {
        Ok(NewCommit {
            version: output(facts, &one.held)?.version,
            partition: &one.held.partition,
            task: one.held.task,
            attempt: one.held.attempt,
            outputs: &one.outputs,
        })
    });
    let rows: Vec<NewCommit<'_>> = rows.collect::<Result<_, db::Error>>()?;
    Ok(db::versions::commit(fenced.conn(), &rows).await?)
}

/// One version that gets partitions in this batch.
struct Advance {
    run: RunId,
    job: usize,
    dataset: Pinned,
    added: i32,
    outputs: Outputs,
}

/// Counts partitions in, completes versions whose last one came, and cuts published datasets over
/// to them. Answers the complete ones.
async fn advance_versions(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    commits: &[Commit],
) -> Result<HashSet<DatasetVersionId>, Error> {
    let mut advances: BTreeMap<DatasetVersionId, Advance> = BTreeMap::new();
    for one in commits {
        let dataset = output(facts, &one.held)?;
        let advance = advances.entry(dataset.version).or_insert_with(|| Advance {
            run: one.held.run,
            job: one.held.job,
            dataset,
            added: 0,
            outputs: one.outputs.clone(),
        });
        advance.added += 1;
    }
    // A job without partitions completes its version at once, and needs no counting.
    let mut counted = Vec::new();
    for (version, advance) in &advances {
        if of(facts, advance.run)?.job(advance.job)?.partitions.len() > 1 {
            counted.push((*version, advance.added));
        }
    }
    let partial: HashSet<DatasetVersionId> = if counted.is_empty() {
        HashSet::new()
    } else {
        db::versions::advance(fenced.conn(), &counted).await?.into_iter().collect()
    };
    advances.retain(|version, _| !partial.contains(version));
    complete_versions(fenced, facts, &advances).await?;
    Ok(advances.into_keys().collect())
}

async fn complete_versions(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    advances: &BTreeMap<DatasetVersionId, Advance>,
) -> Result<(), Error> {
    if advances.is_empty() {
        return Ok(());
    }
    let mut many = Vec::new();
    let mut completed = Vec::new();
    for (version, advance) in advances {
        if of(facts, advance.run)?.job(advance.job)?.partitions.len() > 1 {
            many.push(version.get());
        } else {
            completed.push(Completed { version: *version, outputs: advance.outputs.clone() });
        }
    }
    completed.extend(whole_versions(fenced, &many).await?);
    db::versions::complete(fenced.conn(), &completed).await?;
    let mut published = Vec::new();
    for advance in advances.values() {
        if of(facts, advance.run)?.spec.publish.values().any(|job| *job == advance.job) {
            published.push((advance.dataset.dataset, advance.dataset.version));
        }
    }
    if !published.is_empty() {
        let datasets: Vec<i64> = published.iter().map(|(dataset, _)| dataset.get()).collect();
        db::versions::lock_datasets(fenced.conn(), &datasets).await?;
        db::versions::cut_over(fenced.conn(), &published).await?;
    }
    Ok(())
}

/// The manifests of whole versions, put together from those of their partitions.
async fn whole_versions(fenced: &mut Fenced<'_>, versions: &[i64]) -> Result<Vec<Completed>, Error> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_version: BTreeMap<DatasetVersionId, Manifest> = BTreeMap::new();
    for (version, json) in db::versions::partition_manifests(fenced.conn(), versions).await? {
        let part: Manifest = serde_json::from_str(&json)?;
        match by_version.get_mut(&version) {
            Some(whole) => whole.objects.extend(part.objects),
            None => drop(by_version.insert(version, part)),
        }
    }
    let whole = by_version.into_iter().map(|(version, manifest)| {
        let outputs = Outputs::new(&Manifest::new(manifest.bucket, manifest.objects));
        Completed { version, outputs }
    });
    Ok(whole.collect())
}

async fn plan_next(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    commits: &[Commit],
    complete: &HashSet<DatasetVersionId>,
) -> Result<(), Error> {
    let mut by_run: BTreeMap<RunId, Vec<planner::Commit>> = BTreeMap::new();
    for Commit { held, .. } in commits {
        let whole = complete.contains(&output(facts, held)?.version);
        let version = if whole { VersionState::Complete } else { VersionState::Partial };
        let task = TaskKey { job: held.job, partition: held.partition.clone() };
        by_run.entry(held.run).or_default().push(planner::Commit { task, version });
    }
    let mut judged = Vec::new();
    for (run, commits) in by_run {
        let run_facts = of(facts, run)?;
        let frontier = Frontier::after(&run_facts.spec, &run_facts.listed, &commits);
        if !frontier.is_empty() {
            judged.push((run, frontier, Facts::of(&commits)));
        }
    }
    learn(fenced, facts, &mut judged).await?;
    let mut plans: Vec<(RunId, CheckedPlan)> = Vec::new();
    for (run, frontier, known) in &judged {
        let RunFacts { spec, listed, .. } = of(facts, *run)?;
        let snapshot = Snapshot { spec, listed, frontier, facts: known };
        let checked = planner::check(&snapshot, planner::plan(&snapshot))?;
        if !checked.tasks().is_empty() {
            plans.push((*run, checked));
        }
    }
    if plans.is_empty() {
        return Ok(());
    }
    for (run, task) in db::tasks::insert_planned(fenced.conn(), &plans).await? {
        fenced.change(run, |progress| progress.open += 1);
        fenced.queued([task], When::Now);
    }
    Ok(())
}

/// Adds what the frontiers depend on and the commits themselves do not say.
async fn learn(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    judged: &mut [(RunId, Frontier, Facts)],
) -> Result<(), Error> {
    let mut versions = BTreeMap::new();
    let mut partitions = BTreeMap::new();
    for (at, (run, frontier, known)) in judged.iter().enumerate() {
        let run = of(facts, *run)?;
        let unknown = frontier.unknown(&run.spec, known);
        for job in unknown.complete {
            versions.insert(run.output(job)?.version, (at, job));
        }
        for key in unknown.committed {
            partitions.insert((run.output(key.job)?.version, key.partition), (at, key.job));
        }
    }
    if !versions.is_empty() {
        let ids: Vec<i64> = versions.keys().map(|version| version.get()).collect();
        for (version, _) in db::versions::manifests(fenced.conn(), &ids).await? {
            if let Some((at, job)) = versions.get(&version) {
                judged[*at].2.complete.insert(*job);
            }
        }
    }
    if !partitions.is_empty() {
        let keys: Vec<_> = partitions.keys().cloned().collect();
        for (version, partition, _) in db::versions::committed(fenced.conn(), &keys).await? {
            if let Some((at, job)) = partitions.get(&(version, partition.clone())) {
                judged[*at].2.committed.insert(TaskKey { job: *job, partition });
            }
        }
    }
    Ok(())
}
