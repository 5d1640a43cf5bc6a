//! leased → succeeded, failed or dead: what workers say of attempts that ended.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;
use trace_contracts::{
    RunId, Sha256, TaskId,
    wire::worker::{CompleteVerdict, FailureReason},
};

use super::{
    Core, Error,
    commit::{self, Commit},
    fail::{self, Failure},
};
use crate::{
    db::{
        attempts::EndedRow,
        leases::{FenceKey, ShownFence},
    },
    lease::{Fenced, Held, Wakes},
    outputs::Outputs,
};

/// What a worker says of one attempt.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The fence that it shows.
    pub shown: ShownFence,
    /// How it ended.
    pub end: End,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum End {
    /// With these outputs. The run is that of the attempt.
    Succeeded(RunId, Outputs),
    /// With outputs that are not acceptable.
    Refused(RunId, String),
    /// Without.
    Failed(RunId, Failure),
    /// Its lease was not current when it was looked up, so that only the record can answer.
    NotCurrent(Claimed),
}

/// What is said of an attempt that is not current, to compare with what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// That it succeeded.
    Succeeded,
    /// That it failed for this reason.
    Failed(FailureReason),
}

impl End {
    const fn run(&self) -> Option<RunId> {
        match self {
            Self::Succeeded(run, _) | Self::Refused(run, _) | Self::Failed(run, _) => Some(*run),
            Self::NotCurrent(_) => None,
        }
    }

    const fn claimed(&self) -> Claimed {
        match self {
            Self::Succeeded(..) | Self::Refused(..) => Claimed::Succeeded,
            Self::Failed(_, failure) => Claimed::Failed(failure.reason),
            Self::NotCurrent(claimed) => *claimed,
        }
    }
}

/// What a batch of completions did, once its transaction is committed.
#[derive(Debug)]
pub struct Completed {
    /// For each completion, in order.
    pub verdicts: Vec<CompleteVerdict>,
    /// The tasks that it committed, with the hashes of their manifests.
    pub committed: Vec<(TaskId, Sha256)>,
    /// Whether it made tasks ready.
    pub wakes: Wakes,
}

/// Records a batch. A stale completion changes nothing and stops none of the others.
///
/// # Errors
/// When the database fails.
pub async fn complete(tx: &mut PgConnection, core: &Core, batch: &[Ended]) -> Result<Completed, Error> {
    let runs: BTreeSet<RunId> = batch.iter().filter_map(|ended| ended.end.run()).collect();
    let shown: Vec<ShownFence> = batch.iter().map(|ended| ended.shown).collect();
    let (mut fenced, mut found) = Fenced::open(tx, core, &runs, &shown).await?;
    let mut commits = Vec::new();
    let mut failures = Vec::new();
    // What this batch records, so that a completion that comes twice in it is answered alike.
    let mut recorded: HashMap<FenceKey, Record> = HashMap::new();
    let mut verdicts = Vec::with_capacity(batch.len());
    for ended in batch {
        let key = ended.shown.key();
        if let Some(held) = found.held.remove(&key) {
            recorded.insert(key, Record::of(&ended.end));
            sort_in(held, &ended.end, &mut commits, &mut failures);
        } else if let Some(row) = found.ended.remove(&key) {
            recorded.insert(key, Record::from(row));
        }
        verdicts.push(recorded.get(&key).map_or(CompleteVerdict::Stale, |record| record.answer(&ended.end)));
    }
    fail::fail(&mut fenced, core, failures).await?;
    let committed = commits.iter().map(|one| (one.held.task, *one.outputs.sha256())).collect();
    commit::commit(&mut fenced, core, commits).await?;
    let wakes = fenced.settle(&*core.wake).await?;
    Ok(Completed { verdicts, committed, wakes })
}

fn sort_in(held: Held, end: &End, commits: &mut Vec<Commit>, failures: &mut Vec<(Held, Failure)>) {
    match end {
        End::Succeeded(_, outputs) => commits.push(Commit { held, outputs: outputs.clone() }),
        End::Refused(_, detail) => {
            failures.push((held, Failure { reason: FailureReason::Output, detail: detail.clone() }));
        }
        End::Failed(_, failure) => failures.push((held, failure.clone())),
        // It was not current when it was looked up, and a lease never becomes current again.
        End::NotCurrent(_) => {}
    }
}

/// What is on record of an attempt.
struct Record {
    outcome: String,
    detail: String,
}

impl Record {
    fn of(end: &End) -> Self {
        let (outcome, detail) = match end {
            End::Succeeded(..) => (SUCCEEDED, ""),
            End::Refused(_, detail) => (FailureReason::Output.as_str(), detail.as_str()),
            End::Failed(_, failure) => (failure.reason.as_str(), failure.detail.as_str()),
            End::NotCurrent(_) => ("", ""),
        };
        Self { outcome: outcome.to_owned(), detail: detail.to_owned() }
    }

    /// What a completion is answered that says this. The same as before: recorded. Success, where
    /// the outputs were refused before: refused again. Anything else contradicts the record.
    fn answer(&self, end: &End) -> CompleteVerdict {
        match end.claimed() {
            Claimed::Succeeded if self.outcome == SUCCEEDED => CompleteVerdict::Recorded,
            Claimed::Succeeded if self.outcome == FailureReason::Output.as_str() => {
                CompleteVerdict::Refused { detail: self.detail.clone() }
            }
            Claimed::Failed(reason) if self.outcome == reason.as_str() => CompleteVerdict::Recorded,
            Claimed::Succeeded | Claimed::Failed(_) => CompleteVerdict::Stale,
        }
    }
}

impl From<EndedRow> for Record {
    fn from(row: EndedRow) -> Self {
        Self { outcome: row.outcome, detail: row.detail.unwrap_or_default() }
    }
}

/// The outcome of an attempt whose outputs were committed.
pub(super) const SUCCEEDED: &str = "succeeded";
