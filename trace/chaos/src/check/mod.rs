//! What must hold once a run is over, whatever happened on the way.

mod database;
mod events;
mod leftovers;
mod objects;
mod replay;

use std::collections::BTreeSet;

use trace_contracts::RunId;

pub use database::{database, no_attempt_lost};
pub use events::events;
pub use leftovers::{left_behind, left_by_workers};
pub use objects::objects;

use crate::dag::Dag;

/// A run and the DAG that says how its tasks are to end.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The run.
    pub run: RunId,
    /// Its DAG.
    pub dag: &'a Dag,
}

/// What was found wrong.
#[derive(Debug, Default)]
pub struct Findings {
    /// Tasks that did not end as they had to, or whose output is not there.
    pub lost: BTreeSet<i64>,
    /// Tasks with more than one commit, and versions that were cut over more than once.
    pub twice: BTreeSet<i64>,
    /// Everything wrong, in words.
    pub problems: Vec<String>,
}

impl Findings {
    /// Notes a task that is lost.
    fn lost(&mut self, task: i64, why: String) {
        self.lost.insert(task);
        self.problems.push(why);
    }

    /// Notes a task that came twice.
    fn twice(&mut self, task: i64, why: String) {
        self.twice.insert(task);
        self.problems.push(why);
    }

    /// Notes anything else.
    pub fn wrong(&mut self, why: impl Into<String>) {
        self.problems.push(why.into());
    }

    /// Notes it unless it holds.
    fn must(&mut self, holds: Holds, why: impl FnOnce() -> String) {
        if holds == Holds::No {
            self.problems.push(why());
        }
    }
}

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// How tasks are shown: `t17.3`.
fn shown(task: i64) -> String {
    format!("t{}.{}", task >> ORDINAL_BITS, ordinal(task))
}

/// A task's id is its run's, then so many bits for its place in the run.
const ORDINAL_BITS: u32 = 20;

fn ordinal(task: i64) -> usize {
    usize::try_from(task & ((1 << ORDINAL_BITS) - 1)).unwrap_or(usize::MAX)
}
