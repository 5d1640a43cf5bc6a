//! Judges whole transactions.
//!
//! [`before`] looks at the tables as they are and at the changes, and says how each task moves;
//! then the changes are applied; [`after`] looks at what came of it. The checked model judges every
//! transaction of its dispatchers in this way, and the replay every one of a real database.

mod claims;
mod plans;
mod runs;
mod tasks;
mod times;
mod versions;

use std::{collections::BTreeMap, fmt::Debug};

use crate::{
    id::{Dataset, Run, Task, Version},
    life::Move,
    row::{Change, Filling, Key, Progress, Registered, Row, Transaction},
    rule::Rule,
    shape::{Shape, Shapes},
    tables::Tables,
};

/// What the rows alone do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A task that lost this many workers is dead; where absent, how many losses kill is not judged.
    pub max_losses: Option<u32>,
    /// Whether times may be compared.
    pub clock: Clock,
}

/// How far the database's clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// It only goes forwards, so that rules about time apply.
    Steady,
    /// It is set back and forth on purpose: rules about time are left out.
    Jumps,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_losses: None, clock: Clock::Steady }
    }
}

/// A rule that a transaction breaks, and by what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// The row or task, and what is wrong with it.
    pub what: String,
}

impl Broken {
    fn new(rule: Rule, what: impl Debug) -> Self {
        Self { rule, what: format!("{what:?}") }
    }
}

fn must<T: Debug>(holds: bool, rule: Rule, what: T) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::new(rule, what)) }
}

/// How a transaction moves tasks, and how what else it touches stood before it.
#[derive(Debug, Default)]
pub struct Moves {
    /// Each task that moves, in the order of their ids.
    pub tasks: Vec<(Task, Move)>,
    runs: BTreeMap<Run, Option<Progress>>,
    versions: BTreeMap<Version, Option<Filling>>,
    datasets: BTreeMap<Dataset, Option<Registered>>,
}

impl Moves {
    /// The runs that the transaction starts.
    pub fn started(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().filter(|(_, before)| before.is_none()).map(|(run, _)| *run)
    }
}

/// What a judgement is made from.
#[derive(Clone, Copy)]
struct Case<'a> {
    tables: &'a Tables,
    shapes: &'a Shapes,
    settings: &'a Settings,
    tx: &'a Transaction,
}

impl<'a> Case<'a> {
    fn shape(&self, run: Run) -> Result<&'a Shape, Broken> {
        let progress = self.tables.runs.get(&run).ok_or_else(|| Broken::new(Rule::Unknown, run))?;
        self.shapes.get(&progress.dag).ok_or_else(|| Broken::new(Rule::Unknown, (run, progress.dag)))
    }
}

/// Judges what a transaction is about to change.
///
/// # Errors
/// The first rule that it breaks.
pub fn before(
    tables: &Tables,
    shapes: &Shapes,
    settings: &Settings,
    tx: &Transaction,
) -> Result<Moves, Broken> {
    let case = Case { tables, shapes, settings, tx };
    tx.changes.iter().try_for_each(only_grows)?;
    let mut moves = Moves { tasks: tasks::moves(&case)?, ..Moves::default() };
    claims::check(&case, &moves)?;
    times::check(&case, &moves)?;
    remember(&case, &mut moves)?;
    Ok(moves)
}

/// Judges the tables after a transaction, of which [`before`] said how it moves tasks.
///
/// # Errors
/// The first rule that it broke.
pub fn after(
    tables: &Tables,
    shapes: &Shapes,
    settings: &Settings,
    tx: &Transaction,
    moves: &Moves,
) -> Result<(), Broken> {
    let case = Case { tables, shapes, settings, tx };
    runs::check(&case, moves)?;
    versions::check(&case, moves)?;
    plans::check(&case, moves)
}

fn only_grows(change: &Change) -> Result<(), Broken> {
    let kept = match change {
        Change::Insert(_) => false,
        Change::Update(row) => {
            matches!(row, Row::Commit(..) | Row::Attempt(..) | Row::End(..) | Row::Claim(..) | Row::Dag(..))
        }
        Change::Delete(key) => matches!(key, Key::Kept(_)),
    };
    must(!kept, Rule::AppendOnly, change)
}

/// Notes how runs, versions and datasets stood that the transaction touches.
fn remember(case: &Case<'_>, moves: &mut Moves) -> Result<(), Broken> {
    let Tables { runs, versions, datasets, .. } = case.tables;
    for (task, _) in &moves.tasks {
        moves.runs.entry(task.run()).or_insert_with(|| runs.get(&task.run()).copied());
    }
    for change in &case.tx.changes {
        let (row, inserted) = match change {
            Change::Insert(row) => (row, true),
            Change::Update(row) => (row, false),
            Change::Delete(_) => continue,
        };
        // A row that is inserted in this transaction may also be changed by it.
        let clash = match row {
            Row::Run(run, _) => note(&mut moves.runs, runs.get(run), *run, inserted),
            Row::Version(version, _) => note(&mut moves.versions, versions.get(version), *version, inserted),
            Row::Dataset(dataset, _) => note(&mut moves.datasets, datasets.get(dataset), *dataset, inserted),
            _ => false,
        };
        must(!clash, Rule::Conflict, row)?;
    }
    Ok(())
}

/// Whether there is a row where one is inserted, or none where one is changed.
fn note<K: Ord, V: Copy>(
    noted: &mut BTreeMap<K, Option<V>>,
    before: Option<&V>,
    key: K,
    inserted: bool,
) -> bool {
    let known_here = noted.contains_key(&key);
    noted.entry(key).or_insert_with(|| before.copied());
    if inserted { before.is_some() } else { before.is_none() && !known_here }
}
