//! The rules that transactions are judged by.

/// Why a transaction is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Rule {
    /// A row is inserted that is there, or changed or deleted though it is not there.
    #[error("a row is inserted that is there already, or one is changed or deleted that is not there")]
    Conflict,
    /// A table that only grows, or a column that never changes.
    #[error("what is only ever appended is changed or deleted")]
    AppendOnly,
    /// The row speaks of something that was never seen.
    #[error("it speaks of a run, task, version or DAG that is not there")]
    Unknown,
    /// A task is in two places.
    #[error("a task is in two places at once")]
    OnePlace,
    /// There is no such way from one place to another.
    #[error("a task does not go from there to here")]
    Step,
    /// The attempt on record, or the committed one, is not the one that held the lease.
    #[error("the fence is not that of the current lease")]
    Fence,
    /// Tries are not counted as the outcome says.
    #[error("tries are not counted right")]
    Tries,
    /// A task is given up early, or tried too often.
    #[error("a task is given up while it has tries left, or tried though it has none")]
    Retries,
    /// Leases and the record of their claim do not match.
    #[error("a lease without the record of its claim, or a record without its leases")]
    Claimed,
    /// An attempt's number is used again.
    #[error("an attempt's number was used before")]
    AttemptReused,
    /// A task of a run that has ended changes.
    #[error("a task changes though its run has ended")]
    RunEnded,
    /// A cancelled run keeps open tasks, or a task is cancelled without its run.
    #[error("a run and its tasks are not cancelled together")]
    CancelledTogether,
    /// The counters of a run do not say what its tasks do.
    #[error("the counters of a run do not say what its tasks do")]
    Counters,
    /// A run's state does not follow from its counters.
    #[error("the state of a run does not follow from its counters")]
    RunState,
    /// A task is planned before its inputs are there.
    #[error("a task is planned before its inputs are there")]
    TooEarly,
    /// A task whose inputs have just come was not planned.
    #[error("the inputs of a task are there and it was not planned")]
    Lost,
    /// A run does not have the versions that its DAG says.
    #[error("the versions of a run are not those of its DAG")]
    Versions,
    /// A version does not count its commits, or is complete too early or not at all.
    #[error("a dataset version does not count its commits, or is complete at the wrong time")]
    Filling,
    /// A dataset's current version goes back, is incomplete, of another dataset, or changes late.
    #[error("a dataset is cut over to a version that is older, incomplete, not its own or not new")]
    CutOver,
    /// A newer complete version did not become current.
    #[error("a newer version of a published dataset is complete and not current")]
    NotCutOver,
    /// A lease is ended or extended on the wrong side of its end.
    #[error("a lease is taken back before its end, or used after it")]
    Expiry,
    /// A delayed task is ready before its time.
    #[error("a task is tried again before its time")]
    Early,
    /// What a claim was given is forgotten too early.
    #[error("a claim is forgotten while its worker may ask again")]
    Forgotten,
}
