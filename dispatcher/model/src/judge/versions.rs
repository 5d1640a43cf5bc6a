//! What runs put into datasets, and which of it readers get.

use std::collections::BTreeMap;

use super::{Broken, Case, Moves, must};
use crate::{
    id::{Dataset, Version},
    life::Move,
    row::{Completion, Filling, Publication, Registered},
    rule::Rule,
};

pub(super) fn check(case: &Case<'_>, moves: &Moves) -> Result<(), Broken> {
    let mut committed: BTreeMap<Version, u32> = moves.versions.keys().map(|version| (*version, 0)).collect();
    for (task, how) in &moves.tasks {
        if matches!(how, Move::Commit(_)) {
            let shape = case.shape(task.run())?;
            let (job, _) = shape.job_at(task.place()).ok_or_else(|| Broken::new(Rule::Unknown, task))?;
            *committed.entry(Version::at(task.run(), shape.jobs()[job].first)).or_default() += 1;
        }
    }
    let mut completed: BTreeMap<Dataset, Version> = BTreeMap::new();
    for (version, added) in committed {
        if let Some(dataset) = check_one(case, moves, version, added)? {
            // Of several versions of one dataset, the newest counts; they come in their order.
            completed.insert(dataset, version);
        }
    }
    for (dataset, before) in &moves.datasets {
        check_current(case, *dataset, before.as_ref(), completed.get(dataset).copied())?;
    }
    completed.into_iter().try_for_each(|(dataset, version)| check_cut_over(case, dataset, version))
}

/// Answers the version's dataset if this transaction completed it.
fn check_one(
    case: &Case<'_>,
    moves: &Moves,
    version: Version,
    added: u32,
) -> Result<Option<Dataset>, Broken> {
    let now = case.tables.versions.get(&version).ok_or_else(|| Broken::new(Rule::Unknown, version))?;
    let before = match moves.versions.get(&version) {
        Some(Some(before)) => *before,
        Some(None) => Filling { done: 0, completion: Completion::Partial, ..*now },
        None => *now,
    };
    must((before.dataset, before.total) == (now.dataset, now.total), Rule::AppendOnly, (version, now))?;
    let full = now.done == now.total;
    let fits = before.done + added == now.done && full == (now.completion == Completion::Complete);
    must(fits, Rule::Filling, (version, before, now, added))?;
    let completed = full && before.completion == Completion::Partial;
    Ok(completed.then_some(now.dataset))
}

/// A dataset's current version changes with the transaction that completes the new one, and only
/// to a newer one.
fn check_current(
    case: &Case<'_>,
    dataset: Dataset,
    before: Option<&Registered>,
    completed: Option<Version>,
) -> Result<(), Broken> {
    let was = before.and_then(|before| before.current);
    let now = case.tables.datasets.get(&dataset).and_then(|now| now.current);
    if was == now {
        return Ok(());
    }
    must(now.is_some() && now > was && now == completed, Rule::CutOver, (dataset, was, now, completed))
}

/// A published dataset has its newest complete version.
fn check_cut_over(case: &Case<'_>, dataset: Dataset, version: Version) -> Result<(), Broken> {
    let shape = case.shape(version.run())?;
    let publishes = shape.job_at(version.place()).is_some_and(|(job, _)| shape.publishes(job));
    let Some(Registered { publication: Publication::Published, current }) =
        case.tables.datasets.get(&dataset)
    else {
        return Ok(());
    };
    must(!publishes || *current >= Some(version), Rule::NotCutOver, (dataset, current, version))
}
