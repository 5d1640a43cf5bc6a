//! Rows of the state database from the columns that the log shows.

use super::{
    decode::{self, Column, Operation, Raw, Value},
    spec,
};
use crate::{
    id::{Attempt, Claim, DagVersion, Dataset, Run, Task, Time, Token, Version, Worker},
    row::{
        Change, Claimed, Commit, Completion, End, Ended, Fence, Filling, Key, Lease, Outcome, Progress,
        Publication, Registered, Row, RunState, Tries,
    },
};

/// Why a change can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The line is not what the plugin writes.
    #[error(transparent)]
    Line(#[from] decode::Error),
    /// A column is not there, or holds something else.
    #[error("{table}.{column} is not {expected}")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: &'static str,
        /// What was expected of it.
        expected: &'static str,
    },
    /// The spec of a DAG can't be read.
    #[error("the spec of a DAG: {0}")]
    Spec(#[from] spec::Error),
    /// A table is emptied, or the key of a row changes.
    #[error("{table}: {what}, which no transaction of the platform does")]
    Never {
        /// The table.
        table: String,
        /// What happens to it.
        what: &'static str,
    },
}

/// The tables that the replay follows.
const TABLES: [&str; 12] = [
    "ready",
    "delayed",
    "held",
    "leases",
    "claims",
    "commits",
    "attempts",
    "task_ends",
    "runs",
    "dataset_versions",
    "datasets",
    "dag_versions",
];

/// What a change means; nothing for a table that the replay does not follow.
///
/// # Errors
/// When it can't be understood.
pub fn change(raw: &Raw<'_>) -> Result<Option<Change>, Error> {
    let never = |what| Error::Never { table: raw.table.to_string(), what };
    if raw.operation == Operation::Truncate {
        let followed = raw.table.split(", ").any(|table| TABLES.contains(&table));
        return if followed { Err(never("it is emptied")) } else { Ok(None) };
    }
    if !TABLES.contains(&&*raw.table) {
        return Ok(None);
    }
    let columns = raw.columns()?;
    if !columns.old_key.is_empty() {
        return Err(never("the key of a row changes"));
    }
    let columns = Read { table: &raw.table, columns: &columns.row };
    Ok(Some(match raw.operation {
        Operation::Insert => Change::Insert(columns.row()?),
        Operation::Update => Change::Update(columns.row()?),
        Operation::Delete | Operation::Truncate => Change::Delete(columns.key()?),
    }))
}

/// The columns of one row, read by name.
struct Read<'a> {
    table: &'a str,
    columns: &'a [Column<'a>],
}

impl Read<'_> {
    fn row(&self) -> Result<Row, Error> {
        Ok(match self.table {
            "ready" => Row::Ready(self.task()?, self.tries()?),
            "delayed" => Row::Delayed(self.task()?, self.tries()?, self.time("not_before")?),
            "held" => Row::Held(self.task()?, self.tries()?),
            "leases" => Row::Lease(self.task()?, self.lease()?),
            "claims" => Row::Claim(Claim(self.uuid("claim_id")?), self.claimed()?),
            "commits" => Row::Commit(self.task()?, self.commit()?),
            "attempts" => Row::Attempt(Attempt(self.number("attempt_id")?), self.ended()?),
            "task_ends" => Row::End(self.task()?, self.end()?),
            "runs" => Row::Run(Run(self.number("run_id")?), self.progress()?),
            "dataset_versions" => Row::Version(Version(self.number("dataset_version_id")?), self.filling()?),
            "datasets" => Row::Dataset(Dataset(self.number("dataset_id")?), self.registered()?),
            _ => {
                let version = DagVersion(self.number("dag_version_id")?);
                Row::Dag(version, spec::shape(self.text("spec")?)?)
            }
        })
    }

    fn key(&self) -> Result<Key, Error> {
        Ok(match self.table {
            "ready" => Key::Ready(self.task()?),
            "delayed" => Key::Delayed(self.task()?),
            "held" => Key::Held(self.task()?),
            "leases" if self.has("task_id") => Key::Lease(self.task()?),
            "leases" => Key::LeaseOf(Attempt(self.number("attempt_id")?)),
            "claims" => Key::Claim(Claim(self.uuid("claim_id")?), Worker(self.number("worker_id")?)),
            "task_ends" => Key::End(self.task()?),
            "commits" => Key::Kept("commits"),
            "attempts" => Key::Kept("attempts"),
            "runs" => Key::Kept("runs"),
            "dataset_versions" => Key::Kept("dataset_versions"),
            "datasets" => Key::Kept("datasets"),
            _ => Key::Kept("dag_versions"),
        })
    }

    fn wrong(&self, column: &'static str, expected: &'static str) -> Error {
        Error::Column { table: self.table.to_owned(), column, expected }
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|one| one.name == column)
    }

    fn optional(&self, column: &'static str) -> Result<Option<&str>, Error> {
        let found = self.columns.iter().find(|one| one.name == column);
        match &found.ok_or_else(|| self.wrong(column, "there"))?.value {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Unchanged => Err(self.wrong(column, "in the log")),
        }
    }

    fn text(&self, column: &'static str) -> Result<&str, Error> {
        self.optional(column)?.ok_or_else(|| self.wrong(column, "set"))
    }

    fn number(&self, column: &'static str) -> Result<i64, Error> {
        self.text(column)?.parse().map_err(|_| self.wrong(column, "a number"))
    }

    fn count(&self, column: &'static str) -> Result<u32, Error> {
        self.text(column)?.parse().map_err(|_| self.wrong(column, "a count"))
    }

    fn numbers(&self, column: &'static str) -> Result<Vec<i64>, Error> {
        let inside = self.text(column)?.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let inside = inside.ok_or_else(|| self.wrong(column, "an array"))?;
        let numbers = inside.split(',').filter(|text| !text.is_empty()).map(str::parse);
        numbers.collect::<Result<_, _>>().map_err(|_| self.wrong(column, "an array of numbers"))
    }

    fn uuid(&self, column: &'static str) -> Result<u128, Error> {
        let uuid: uuid::Uuid = self.text(column)?.parse().map_err(|_| self.wrong(column, "a UUID"))?;
        Ok(uuid.as_u128())
    }

    fn time(&self, column: &'static str) -> Result<Time, Error> {
        Ok(decode::time(self.text(column)?)?)
    }

    fn task(&self) -> Result<Task, Error> {
        Ok(Task(self.number("task_id")?))
    }

    fn tries(&self) -> Result<Tries, Error> {
        Ok(Tries { failures: self.count("failures")?, losses: self.count("losses")? })
    }

    fn fence(&self) -> Result<Fence, Error> {
        Ok(Fence {
            attempt: Attempt(self.number("attempt_id")?),
            worker: Worker(self.number("worker_id")?),
            token: Token(self.uuid("lease_token")?),
        })
    }

    fn lease(&self) -> Result<Lease, Error> {
        Ok(Lease {
            fence: self.fence()?,
            tries: self.tries()?,
            started_at: self.time("started_at")?,
            expires_at: self.time("expires_at")?,
        })
    }

    /// The attempts of a claim: named one by one, or the first of them and the tasks.
    fn claimed(&self) -> Result<Claimed, Error> {
        let attempts = if self.has("attempts") {
            self.numbers("attempts")?
        } else {
            let first = self.number("first_attempt")?;
            (first..).take(self.numbers("tasks")?.len()).collect()
        };
        Ok(Claimed {
            worker: Worker(self.number("worker_id")?),
            attempts: attempts.into_iter().map(Attempt).collect(),
            claimed_at: self.time("claimed_at")?,
        })
    }

    fn commit(&self) -> Result<Commit, Error> {
        Ok(Commit { fence: self.fence()?, committed_at: self.time("committed_at")? })
    }

    fn ended(&self) -> Result<Ended, Error> {
        let outcome = match self.text("outcome")? {
            "exit" | "signal" | "memory" | "timeout" | "disk" | "processes" | "forbidden_syscall"
            | "bundle" | "secret" | "output" => Outcome::Failure,
            "launch" | "worker_stopping" | "key_revoked" | "worker_revoked" | "egress_withdrawn"
            | "ticket_stolen" => Outcome::Loss,
            "lease_expired" => Outcome::Expired,
            "cancelled" => Outcome::Cancelled,
            _ => return Err(self.wrong("outcome", "one of the known outcomes")),
        };
        Ok(Ended { task: self.task()?, fence: self.fence()?, outcome, ended_at: self.time("ended_at")? })
    }

    fn end(&self) -> Result<End, Error> {
        match self.text("state")? {
            "dead" => Ok(End::Dead),
            "cancelled" => Ok(End::Cancelled),
            _ => Err(self.wrong("state", "dead or cancelled")),
        }
    }

    fn progress(&self) -> Result<Progress, Error> {
        let state = match self.text("state")? {
            "running" => RunState::Running,
            "succeeded" => RunState::Succeeded,
            "failed" => RunState::Failed,
            "cancelled" => RunState::Cancelled,
            _ => return Err(self.wrong("state", "a run's state")),
        };
        Ok(Progress {
            dag: DagVersion(self.number("dag_version_id")?),
            state,
            total: self.count("tasks_total")?,
            open: self.count("tasks_open")?,
            succeeded: self.count("tasks_succeeded")?,
            dead: self.count("tasks_dead")?,
        })
    }

    fn filling(&self) -> Result<Filling, Error> {
        let completed = self.optional("completed_at")?.is_some();
        Ok(Filling {
            dataset: Dataset(self.number("dataset_id")?),
            total: self.count("partitions_total")?,
            done: self.count("partitions_done")?,
            completion: if completed { Completion::Complete } else { Completion::Partial },
        })
    }

    fn registered(&self) -> Result<Registered, Error> {
        let named = self.optional("name")?.is_some();
        let current = match self.optional("current_version")? {
            None => None,
            Some(_) => Some(Version(self.number("current_version")?)),
        };
        let publication = if named { Publication::Published } else { Publication::Internal };
        Ok(Registered { publication, current })
    }
}
