//! The jobs of a DAG by name.

use std::{cell::Cell, collections::HashMap};

use trace_contracts::Name;

use super::{
    decode::{List, Located, Record as _},
    findings::Findings,
    raw::RawJob,
    suggest::{did_you_mean, listed},
};

/// Which job a name stands for.
#[derive(Debug)]
pub struct JobNames<'a> {
    by_name: HashMap<&'a Name, usize>,
    /// Whether every job's name could be read. Otherwise an unknown name may be one of those.
    complete: bool,
    /// Names that may still be compared for "did you mean": a file with ten thousand jobs and as many
    /// wrong names would keep a processor busy for minutes.
    comparisons: Cell<usize>,
}

/// Comparisons of names for one file: a fraction of a second, and five wrong names in the largest one.
const MAX_COMPARISONS: usize = 50_000;

impl<'a> JobNames<'a> {
    /// Collects the names; reports those that are there twice.
    pub fn of(jobs: &'a List<RawJob>, findings: &mut Findings) -> Self {
        let mut by_name: HashMap<&Name, usize> = HashMap::new();
        for (index, job) in jobs.items.iter().enumerate() {
            let Some(name) = &job.name else { continue };
            if let Some(first) = by_name.get(&name.value) {
                let line = jobs.items[*first].place().at.line;
                findings.push(&name.place, format!("the job in line {line} is called `{}` too", name.value));
            } else {
                by_name.insert(&name.value, index);
            }
        }
        let complete = jobs.items.len() == jobs.written && jobs.items.iter().all(|job| job.name.is_some());
        Self { by_name, complete, comparisons: Cell::new(MAX_COMPARISONS) }
    }

    /// The job of this name.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The job of this name; reports when there is none.
    pub fn find(&self, name: &Located<Name>, findings: &mut Findings) -> Option<usize> {
        let found = self.get(&name.value);
        if found.is_none() && self.complete {
            findings.push(&name.place, format!("there is no job `{}`{}", name.value, self.choice(name)));
        }
        found
    }

    /// The nearest name and the first ones of all, as long as that costs little.
    fn choice(&self, wrong: &Located<Name>) -> String {
        let Some(left) = self.comparisons.get().checked_sub(self.by_name.len()) else {
            return String::new();
        };
        self.comparisons.set(left);
        let mut names: Vec<&str> = self.by_name.keys().map(|name| &***name).collect();
        names.sort_unstable();
        let hint = did_you_mean(&wrong.value, names.iter().copied());
        format!("{hint}: the jobs are {}", listed(names))
    }
}
