//! leased → succeeded: outputs become a partition of a dataset version, and what waited for it is
//! planned.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use trace_contracts::{DatasetId, DatasetVersionId, Manifest, RunId, TaskId};

use super::{Core, Error};
use crate::{
    db::{
        self,
        commits::NewCommit,
        versions::{Completed, Partitions},
    },
    facts::{FactsByRun, Pinned, Place, RunFacts},
    lease::{Fenced, Held},
    outputs::Outputs,
    planner::{self, Facts, Frontier, Snapshot, VersionState},
    webhooks::notice::Event,
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
    let runs: BTreeSet<RunId> = commits.iter().map(|one| one.held.run()).collect();
    let facts = core.facts.of(fenced.conn(), &runs).await?;
    let complete = insert_commits(fenced, &facts, &commits).await?;
    for one in &commits {
        fenced.change(one.held.run(), |progress| {
            progress.open -= 1;
            progress.succeeded += 1;
        });
    }
    plan_next(fenced, &facts, &commits, &complete).await
}

/// What a held task is and what it writes.
fn output<'f>(facts: &'f FactsByRun, held: &Held) -> Result<(Place<'f>, Pinned), db::Error> {
    let run = of(facts, held.run())?;
    let place = run.place(held.task)?;
    Ok((place, run.output(place.job)?))
}

fn of(facts: &FactsByRun, run: RunId) -> Result<&RunFacts, db::Error> {
    facts.get(&run).map(|facts| &**facts).ok_or_else(|| db::Error::corrupt("a run", run))
}

/// One version that gets partitions in this batch.
struct Advance {
    partitions: usize,
    publication: Option<DatasetId>,
    added: i32,
    outputs: Outputs,
}

/// Ends the attempts, writes their manifests down and counts partitions in; completes versions whose
/// last one came, and cuts published datasets over to them. Answers the complete ones.
async fn insert_commits(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    commits: &[Commit],
) -> Result<HashSet<DatasetVersionId>, Error> {
    let mut advances: BTreeMap<DatasetVersionId, Advance> = BTreeMap::new();
    for one in commits {
        let (place, output) = output(facts, &one.held)?;
        let spec = &of(facts, one.held.run())?.spec;
        let advance = advances.entry(output.version).or_insert_with(|| Advance {
            partitions: place.spec.partitions.len(),
            publication: spec.publish.values().any(|job| *job == place.job).then_some(output.dataset),
            added: 0,
            outputs: one.outputs.clone(),
        });
        advance.added += 1;
    }
    // A job without partitions completes its version at once, and needs no counting.
    let counted: Vec<(DatasetVersionId, i32)> = advances
        .iter()
        .filter(|(_, advance)| advance.partitions > 1)
        .map(|(version, advance)| (*version, advance.added))
        .collect();
    let rows: Vec<NewCommit<'_>> =
        commits.iter().map(|one| NewCommit { held: &one.held, outputs: &one.outputs }).collect();
    let partial: HashSet<DatasetVersionId> = fenced.commit(&rows, &counted).await?.into_iter().collect();
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
    let mut completed = Vec::with_capacity(advances.len());
    for (version, advance) in advances {
        let (outputs, partitions) = if advance.partitions > 1 {
            (whole(fenced, *version, advance.partitions).await?, Partitions::Many)
        } else {
            (advance.outputs.clone(), Partitions::One)
        };
        completed.push(Completed { version: *version, outputs, partitions });
    }
    db::versions::complete(fenced.conn(), &completed).await?;
    let published: Vec<(DatasetId, DatasetVersionId)> =
        advances.iter().filter_map(|(version, advance)| Some((advance.publication?, *version))).collect();
    if !published.is_empty() {
        let datasets: Vec<i64> = published.iter().map(|(dataset, _)| dataset.get()).collect();
        db::versions::lock_datasets(fenced.conn(), &datasets).await?;
        let moved = db::versions::cut_over(fenced.conn(), &published).await?;
        tell_published(fenced, facts, &moved)?;
    }
    Ok(())
}

/// Tells of published datasets that have a new current version.
fn tell_published(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    moved: &[DatasetVersionId],
) -> Result<(), db::Error> {
    for version in moved {
        let run = of(facts, version.run())?;
        for (name, job) in &run.spec.publish {
            if run.output(*job)?.version == *version {
                fenced.tell(run, Event::DatasetPublished(name, *version))?;
            }
        }
    }
    Ok(())
}

/// The manifest of a whole version, put together from those of its partitions.
async fn whole(
    fenced: &mut Fenced<'_>,
    version: DatasetVersionId,
    partitions: usize,
) -> Result<Outputs, Error> {
    let mut whole: Option<Manifest> = None;
    for json in db::commits::of_version(fenced.conn(), version, partitions).await? {
        let part: Manifest = serde_json::from_str(&json)?;
        match &mut whole {
            Some(whole) => whole.objects.extend(part.objects),
            None => whole = Some(part),
        }
    }
    let Manifest { bucket, objects } =
        whole.ok_or_else(|| db::Error::corrupt("a complete version without commits", version))?;
    Ok(Outputs::new(&Manifest::new(bucket, objects)))
}

async fn plan_next(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    commits: &[Commit],
    complete: &HashSet<DatasetVersionId>,
) -> Result<(), Error> {
    let mut by_run: BTreeMap<RunId, Vec<planner::Commit>> = BTreeMap::new();
    for Commit { held, .. } in commits {
        let (place, output) = output(facts, held)?;
        let whole = complete.contains(&output.version);
        let version = if whole { VersionState::Complete } else { VersionState::Partial };
        by_run.entry(held.run()).or_default().push(planner::Commit { task: place.key(), version });
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
    let mut planned: Vec<TaskId> = Vec::new();
    for (run, frontier, known) in &judged {
        let run = of(facts, *run)?;
        let snapshot = Snapshot { spec: &run.spec, listed: &run.listed, frontier, facts: known };
        let checked = planner::check(&snapshot, planner::plan(&snapshot))?;
        for task in checked.tasks() {
            planned.push(run.task(task)?);
        }
    }
    Ok(fenced.plan(planned).await?)
}

/// Adds what the frontiers depend on and the commits themselves do not say.
async fn learn(
    fenced: &mut Fenced<'_>,
    facts: &FactsByRun,
    judged: &mut [(RunId, Frontier, Facts)],
) -> Result<(), Error> {
    let mut versions = BTreeMap::new();
    let mut tasks = BTreeMap::new();
    for (at, (run, frontier, known)) in judged.iter().enumerate() {
        let run = of(facts, *run)?;
        let unknown = frontier.unknown(&run.spec, known);
        for job in unknown.complete {
            versions.insert(run.output(job)?.version, (at, job));
        }
        for key in unknown.committed {
            tasks.insert(run.task(&key)?, (at, key));
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
    if !tasks.is_empty() {
        let ids: Vec<i64> = tasks.keys().map(|task| task.get()).collect();
        for (task, _) in db::commits::manifests(fenced.conn(), &ids).await? {
            if let Some((at, key)) = tasks.remove(&task) {
                judged[at].2.committed.insert(key);
            }
        }
    }
    Ok(())
}
