//! Replays what a real database committed and judges every transaction.
//!
//! The stream comes from PostgreSQL itself, by logical decoding: every committed change in the order
//! of the commits, nothing for the hot path to do, and nothing lost in a crash. To use it:
//!
//! 1. Start the server with `wal_level = logical`.
//! 2. Before the platform writes anything, best before its first migration,
//!    [`create_slot`]`(database_url, "trace_replay")`.
//! 3. Let the platform run. Crashes of the database are fine: the slot outlives them.
//! 4. When nothing runs any more, [`replay_slot`]`(database_url, "trace_replay", settings)`. It answers
//!    a [`Report`], or the first transaction that is not allowed, with its rows and the rule.
//! 5. [`drop_slot`]: a slot that stays keeps the server's log for ever.
//!
//! The slot is read once. Should the database crash while it is read, it may answer transactions
//! again that were read before, and those are refused; then read into a new replay from a new slot.
//!
//! A caller with a stream of its own gives [`Replay::transaction`] one transaction after the other,
//! or [`Reader::line`] the text of the plugin.

pub mod columns;
pub mod decode;
mod slot;
mod spec;

use std::collections::HashMap;

pub use self::slot::{create_slot, drop_slot, replay_slot};
use crate::{
    id::{Attempt, Run, Task, Time, Version},
    judge::{self, Broken, Moves, Settings},
    life::Move,
    row::{Change, Key, Outcome, Row, RunState, Transaction},
    rule::Rule,
    shape::Shapes,
    tables::Tables,
};

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A transaction that is not allowed.
    #[error(transparent)]
    Refused(#[from] Box<Refused>),
    /// A line of the log that can't be understood.
    #[error("transaction {number}: {source}")]
    Unreadable {
        /// The transaction.
        number: u64,
        /// Why.
        source: columns::Error,
    },
    /// Lines that are not in a transaction, or not in its order.
    #[error("the log is torn: `{0}` is not expected here")]
    Torn(String),
    /// The database could not be asked.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// A transaction that is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("transaction {number}, the {nth}th, is not allowed: {broken}\n{rows}")]
pub struct Refused {
    /// Its number in the database.
    pub number: u64,
    /// How many transactions came before it and were allowed, plus one.
    pub nth: u64,
    /// The rule that it breaks, and by what.
    pub broken: Broken,
    /// Its rows, one a line.
    pub rows: String,
}

/// What was replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Transactions that changed something that counts.
    pub transactions: u64,
    /// Runs that started.
    pub runs: u64,
    /// Tasks that were planned.
    pub planned: u64,
    /// Tasks that a limit let go.
    pub admitted: u64,
    /// Claims that were given something.
    pub claims: u64,
    /// Leases that they were given.
    pub leases: u64,
    /// Leases that were extended.
    pub extended: u64,
    /// Tasks that were committed.
    pub commits: u64,
    /// Attempts after which the task was tried again.
    pub retried: u64,
    /// Attempts whose lease was taken back.
    pub reaped: u64,
    /// Tasks whose next try came due.
    pub due: u64,
    /// Tasks that were given up.
    pub dead: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Dead tasks that were brought back.
    pub revived: u64,
    /// Times that a dataset got a new current version.
    pub cut_overs: u64,
    /// Tasks that are planned and have not ended, at the end of the log.
    pub open: u64,
    /// Runs that have not ended, at the end of the log.
    pub running: u64,
}

/// A database as it was after the transactions so far.
#[derive(Debug, Default)]
pub struct Replay {
    tables: Tables,
    shapes: Shapes,
    settings: Settings,
    report: Report,
    leased: HashMap<Attempt, Task>,
}

impl Replay {
    /// Begins with an empty database.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Judges a transaction and makes its changes.
    ///
    /// # Errors
    /// When it is not allowed. Then nothing further can be judged.
    pub fn transaction(&mut self, mut tx: Transaction) -> Result<(), Error> {
        if tx.changes.is_empty() {
            return Ok(());
        }
        self.resolve(&mut tx);
        self.judge(&tx).map_err(|broken| {
            let rows = tx.changes.iter().map(|change| format!("  {change:?}")).collect::<Vec<_>>().join("\n");
            Error::from(Box::new(Refused {
                number: tx.number,
                nth: self.report.transactions + 1,
                broken,
                rows,
            }))
        })?;
        self.report.transactions += 1;
        Ok(())
    }

    /// Leases that are named by their attempt get the name of their task.
    fn resolve(&mut self, tx: &mut Transaction) {
        for change in &mut tx.changes {
            match change {
                Change::Insert(Row::Lease(task, lease)) => {
                    drop(self.leased.insert(lease.fence.attempt, *task))
                }
                Change::Delete(key) => {
                    if let Key::LeaseOf(attempt) = *key
                        && let Some(task) = self.leased.remove(&attempt)
                    {
                        *key = Key::Lease(task);
                    }
                }
                _ => {}
            }
        }
    }

    fn judge(&mut self, tx: &Transaction) -> Result<(), Broken> {
        let Self { tables, shapes, settings, .. } = self;
        for change in &tx.changes {
            if let Change::Insert(Row::Dag(version, shape)) = change {
                let before = shapes.insert(*version, shape.clone());
                if before.is_some() {
                    return Err(Broken { rule: Rule::Conflict, what: format!("{version:?}") });
                }
            }
        }
        let moves = judge::before(tables, shapes, settings, tx)?;
        let current = current_versions(tables, tx);
        tables.apply(&tx.changes);
        judge::after(tables, shapes, settings, tx, &moves)?;
        let now = current_versions(tables, tx);
        self.report.cut_overs +=
            now.iter().zip(&current).filter(|(now, before)| now != before).count() as u64;
        self.report.count(tx, &moves);
        Ok(())
    }

    /// Ends the replay: counts everything once more, row by row.
    ///
    /// # Errors
    /// When the rows do not say what the counters of a run say.
    pub fn finish(self) -> Result<Report, Error> {
        let Self { tables, mut report, .. } = self;
        for (run, progress) in &tables.runs {
            let span = Task::at(*run, 0)..Task::at(Run(run.0 + 1), 0);
            let open = tables.ready.range(span.clone()).count()
                + tables.delayed.range(span.clone()).count()
                + tables.held.range(span.clone()).count()
                + tables.leases.range(span.clone()).count();
            let commits = tables.commits.range(span).count();
            if (open, commits) != (progress.open as usize, progress.succeeded as usize) {
                let what = format!("{run:?} {progress:?} has {open} open tasks and {commits} commits");
                let broken = Broken { rule: Rule::Counters, what };
                let nth = report.transactions;
                return Err(Box::new(Refused { number: 0, nth, broken, rows: String::new() }).into());
            }
            report.open += open as u64;
            report.running += u64::from(progress.state == RunState::Running);
        }
        Ok(report)
    }
}

/// The current versions of the datasets that a transaction touches.
fn current_versions(tables: &Tables, tx: &Transaction) -> Vec<Option<Version>> {
    let touched = tx.changes.iter().filter_map(|change| match change {
        Change::Update(Row::Dataset(dataset, _)) => Some(dataset),
        _ => None,
    });
    touched.map(|dataset| tables.datasets.get(dataset).and_then(|row| row.current)).collect()
}

impl Report {
    fn count(&mut self, tx: &Transaction, moves: &Moves) {
        self.runs += moves.started().count() as u64;
        let claimed = tx.changes.iter().filter(|change| matches!(change, Change::Insert(Row::Claim(..))));
        self.claims += claimed.count() as u64;
        for (_, how) in &moves.tasks {
            let counter = match how {
                Move::Plan => &mut self.planned,
                Move::Admit => &mut self.admitted,
                Move::Claim(_) => &mut self.leases,
                Move::Extend => &mut self.extended,
                Move::Commit(_) => &mut self.commits,
                Move::Again(ended) => {
                    self.reaped += u64::from(ended.outcome == Outcome::Expired);
                    &mut self.retried
                }
                Move::Due => &mut self.due,
                Move::Die(ended) => {
                    self.reaped += u64::from(ended.outcome == Outcome::Expired);
                    &mut self.dead
                }
                Move::Cancel => &mut self.cancelled,
                Move::Revive => &mut self.revived,
            };
            *counter += 1;
        }
    }
}

/// Puts lines together to transactions.
#[derive(Debug, Default)]
pub struct Reader {
    open: Option<Transaction>,
}

impl Reader {
    /// Takes one line; answers the transaction that it ends.
    ///
    /// # Errors
    /// When the line can't be understood, or is not in a transaction.
    pub fn line(&mut self, text: &str) -> Result<Option<Transaction>, Error> {
        let number = self.open.as_ref().map_or(0, |tx| tx.number);
        let unreadable = |source| Error::Unreadable { number, source };
        match decode::line(text).map_err(|error| unreadable(error.into()))? {
            decode::Line::Begin(number) if self.open.is_none() => {
                self.open = Some(Transaction { number, ..Transaction::default() });
                Ok(None)
            }
            decode::Line::Change(raw) if self.open.is_some() => {
                let change = columns::change(&raw).map_err(unreadable)?;
                self.open.iter_mut().for_each(|tx| tx.changes.extend(change.clone()));
                Ok(None)
            }
            decode::Line::Commit(of, at) if of == number => Ok(self.end(at)),
            decode::Line::Message => Ok(None),
            _ => Err(Error::Torn(text.chars().take(120).collect())),
        }
    }

    fn end(&mut self, at: Option<Time>) -> Option<Transaction> {
        self.open.take().map(|tx| Transaction { at, ..tx })
    }
}
