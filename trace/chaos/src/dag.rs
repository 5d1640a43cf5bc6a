//! The work of a run: DAGs whose every task's end is known beforehand.
//!
//! ```text
//! a[P] ─ b[P] ─ c[P] ─► gather ─► d[Q] ─ e[Q] ─► last        rest[R]
//!          └────────── whole job ────────┘
//! ```
//! `─` is an edge from a partition to the same partition, `►` one from a whole job.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    behaviour::{DOOMED, failures_due},
    dice::Dice,
};

/// Tries after the first one.
pub const RETRIES: u8 = 3;

/// One DAG and its one run.
#[derive(Debug, Clone)]
pub struct Dag {
    /// Its name.
    pub name: String,
    /// The jobs in order.
    pub jobs: Vec<Job>,
}

/// One job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// Its partitions; `[all]` for a job without.
    pub partitions: Vec<String>,
    /// How the YAML says so.
    written: Written,
    /// What it reads.
    inputs: Vec<(usize, Edge)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Whole,
    List,
    SameAs(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    SamePartition,
    WholeJob,
}

/// How a task is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// With a commit, after so many tries that failed.
    Succeeded {
        /// The tries that count.
        failures: u8,
    },
    /// With its retries used up.
    Dead,
    /// Never run: something before it is dead.
    Skipped,
}

/// Whether a DAG has tasks that can't succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// All of them can.
    Good,
    /// Three can't.
    Bad,
}

impl Dag {
    /// A DAG of exactly `tasks` tasks (20 or more).
    #[must_use]
    pub fn new(name: &str, tasks: usize, luck: Luck, dice: &mut Dice) -> Self {
        let p = (tasks - 3) / 5;
        let q = (tasks - 3 - 3 * p) / 2;
        let r = tasks - 2 - 3 * p - 2 * q;
        let mut ps = keys('p', p, 3, dice);
        let qs = keys('q', q, 2, dice);
        if luck == Luck::Bad {
            for key in ps.iter_mut().rev().take(3) {
                // The digit of `b`: behind `p0000-` and the digit of `a`.
                key.replace_range(7..8, &DOOMED.to_string());
            }
        }
        let rs = keys('r', r, 0, dice);
        let whole = || vec!["all".to_owned()];
        let job = |name, partitions: &Vec<String>, written, inputs: &[(usize, Edge)]| Job {
            name,
            partitions: partitions.clone(),
            written,
            inputs: inputs.to_vec(),
        };
        use Edge::{SamePartition as Same, WholeJob as Whole};
        let jobs = vec![
            job("a", &ps, Written::List, &[]),
            job("b", &ps, Written::SameAs("a"), &[(0, Same)]),
            job("c", &ps, Written::SameAs("a"), &[(1, Same)]),
            job("gather", &whole(), Written::Whole, &[(2, Whole)]),
            job("d", &qs, Written::List, &[(3, Whole)]),
            job("e", &qs, Written::SameAs("d"), &[(4, Same), (1, Whole)]),
            job("last", &whole(), Written::Whole, &[(5, Whole)]),
            job("rest", &rs, Written::List, &[]),
        ];
        Self { name: name.to_owned(), jobs }
    }

    /// The file that is deployed.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut yaml = format!("name: {}\njobs:\n", self.name);
        for job in &self.jobs {
            let _ = writeln!(yaml, "  - name: {}\n    udf: {{ language: rust, path: udf }}", job.name);
            let _ = match job.written {
                Written::Whole => Ok(()),
                Written::List => {
                    writeln!(yaml, "    partitions: {{ list: [{}] }}", job.partitions.join(", "))
                }
                Written::SameAs(other) => writeln!(yaml, "    partitions: {{ same_as: {other} }}"),
            };
            if !job.inputs.is_empty() {
                let inputs: Vec<String> = job
                    .inputs
                    .iter()
                    .map(|(from, _)| self.jobs[*from].name)
                    .map(|from| format!("{{ name: from_{from}, from: {{ job: {from} }} }}"))
                    .collect();
                let _ = writeln!(yaml, "    inputs: [{}]", inputs.join(", "));
            }
            let _ = writeln!(
                yaml,
                "    resources: {{ cpu: 1, memory: 64MiB, disk: 4MiB }}\n    timeout: 60s\n    \
                 retries: {{ max: {RETRIES}, backoff: 100ms }}"
            );
        }
        let _ = writeln!(yaml, "publish:\n  {}_last: {{ from: {{ job: last }} }}", self.name);
        yaml
    }

    /// How each task is to end, by job and partition.
    #[must_use]
    pub fn ends(&self) -> BTreeMap<(&'static str, String), End> {
        let mut ends = BTreeMap::new();
        for job in &self.jobs {
            for partition in &job.partitions {
                let end = self.end(job, partition, &ends);
                ends.insert((job.name, partition.clone()), end);
            }
        }
        ends
    }

    fn end(&self, job: &Job, partition: &str, ends: &BTreeMap<(&'static str, String), End>) -> End {
        let succeeded = |job: &Job, partition: &str| {
            matches!(ends.get(&(job.name, partition.to_owned())), Some(End::Succeeded { .. }))
        };
        let met = job.inputs.iter().all(|(from, edge)| {
            let from = &self.jobs[*from];
            match edge {
                Edge::SamePartition => succeeded(from, partition),
                Edge::WholeJob => from.partitions.iter().all(|partition| succeeded(from, partition)),
            }
        });
        match failures_due(job.name, partition) {
            _ if !met => End::Skipped,
            failures if failures > RETRIES => End::Dead,
            failures => End::Succeeded { failures },
        }
    }

    /// Tasks that end by a commit or dead: those that are run at all.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.ends().values().filter(|end| **end != End::Skipped).count()
    }
}

/// Keys with a digit for each job of the family. Most never fail.
fn keys(letter: char, count: usize, digits: usize, dice: &mut Dice) -> Vec<String> {
    let mut digit = || match dice.between(0, 100) {
        0..=84 => '0',
        85..=92 => '1',
        93..=97 => '2',
        _ => '3',
    };
    (0..count)
        .map(|number| {
            let digits: String = (0..digits).map(|_| digit()).collect();
            format!("{letter}{number:04}-{digits}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dag_has_exactly_the_tasks_asked_for() {
        for tasks in [20, 21, 99, 100, 101, 102, 499, 500] {
            let dag = Dag::new("d", tasks, Luck::Good, &mut Dice::new(1, "dag"));
            assert_eq!((dag.ends().len(), dag.runs()), (tasks, tasks));
        }
    }

    #[test]
    fn what_follows_a_dead_task_is_skipped_and_nothing_else() {
        let dag = Dag::new("d", 103, Luck::Bad, &mut Dice::new(1, "dag"));
        let ends = dag.ends();
        let count = |end: fn(&End) -> bool| ends.values().filter(|found| end(found)).count();
        assert_eq!(count(|end| *end == End::Dead), 3);
        let q = dag.jobs[4].partitions.len();
        assert_eq!(count(|end| *end == End::Skipped), 3 + 1 + 2 * q + 1);
        assert!(matches!(ends[&("rest", dag.jobs[7].partitions[0].clone())], End::Succeeded { .. }));
    }
}
