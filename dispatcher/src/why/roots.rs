//! From a task that waits to the task at the root of it. Pure.

use std::collections::BTreeMap;

use crate::{
    dag::spec::{Source, Spec},
    planner::{Listed, TaskKey},
};

/// Where a task stands, as far as the table its row is in tells. The later in this list, the worse for
/// what waits behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Committed.
    Succeeded,
    /// Leased.
    Running,
    /// Ready.
    Ready,
    /// Held back by limits.
    Held,
    /// Waits for its next try.
    Delayed,
    /// It has no row, and nothing above it explains why: its run was ended, or it is about to be planned.
    Waiting,
    /// Cancelled with its run.
    Cancelled,
    /// Its retries are used up.
    Dead,
}

/// The tasks of a run that have a row, by their places.
pub type Standings = BTreeMap<u32, Standing>;

/// For each task of a run the one at the root of why it stands where it stands: itself, unless it waits.
#[derive(Debug)]
pub struct Roots(Vec<Root>);

/// A task at the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// Where it stands.
    pub standing: Standing,
    /// Its place.
    pub place: u32,
}

/// The input that a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its index among the job's inputs.
    pub input: usize,
    /// The job that it comes from.
    pub job: usize,
    /// Partitions that are missing.
    pub missing: u64,
    /// Partitions that are needed.
    pub of: u64,
}

impl Roots {
    /// Goes through the run once, upstream jobs first, as a spec lists them.
    #[must_use]
    pub fn of(spec: &Spec, listed: &Listed, standings: &Standings) -> Self {
        let mut roots: Vec<Root> = Vec::with_capacity(listed.count() as usize);
        let mut worst_of: Vec<Option<Root>> = Vec::with_capacity(spec.jobs.len());
        for job in &spec.jobs {
            let mut worst: Option<Root> = None;
            for partition in &job.partitions {
                let place = u32::try_from(roots.len()).unwrap_or(u32::MAX);
                let root = match standings.get(&place) {
                    Some(standing) => Root { standing: *standing, place },
                    None => {
                        let above = job.inputs.iter().filter_map(|input| match &input.source {
                            Source::Dataset { .. } => None,
                            Source::WholeJob { job } => *worst_of.get(*job)?,
                            Source::SamePartition { job } => {
                                let key = TaskKey { job: *job, partition: partition.clone() };
                                roots.get(listed.place(&key)? as usize).copied()
                            }
                        });
                        let waits_for = above.filter(|root| root.standing != Standing::Succeeded);
                        worse(waits_for).unwrap_or(Root { standing: Standing::Waiting, place })
                    }
                };
                roots.push(root);
                worst = worse(worst.into_iter().chain([root]));
            }
            worst_of.push(worst);
        }
        Self(roots)
    }

    /// The root of a task.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<Root> {
        self.0.get(place as usize).copied()
    }

    /// All tasks with their roots, in the order of places.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Root)> {
        (0..).zip(self.0.iter().copied())
    }

    /// The input that leads from a task that waits to its root, and how much of it is missing.
    #[must_use]
    pub fn missing(
        &self,
        spec: &Spec,
        listed: &Listed,
        standings: &Standings,
        place: u32,
    ) -> Option<Missing> {
        let (job_no, at) = listed.at(place)?;
        let job = spec.jobs.get(job_no)?;
        let root = self.at(place)?;
        job.inputs.iter().enumerate().find_map(|(input, one)| {
            let (upstream, places) = match &one.source {
                Source::Dataset { .. } => return None,
                Source::WholeJob { job: upstream } => {
                    let first = listed.first_of(*upstream)?;
                    let count = u32::try_from(spec.jobs.get(*upstream)?.partitions.len()).ok()?;
                    (*upstream, first..first + count)
                }
                Source::SamePartition { job: upstream } => {
                    let key = TaskKey { job: *upstream, partition: job.partitions.get(at)?.clone() };
                    let place = listed.place(&key)?;
                    (*upstream, place..place + 1)
                }
            };
            let leads_there = places.clone().any(|place| self.at(place) == Some(root));
            let of = u64::from(places.end - places.start);
            let done = places.filter(|place| standings.get(place) == Some(&Standing::Succeeded)).count();
            let missing = of - done as u64;
            (leads_there && missing > 0).then_some(Missing { input, job: upstream, missing, of })
        })
    }
}

/// The worst of them; of equals the first.
fn worse(roots: impl Iterator<Item = Root>) -> Option<Root> {
    roots.reduce(|one, other| if other.standing > one.standing { other } else { one })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::tests::{all, job, own, spec};

    /// a (2 partitions) → b (the same) → c (all of b, and d) ; d stands alone.
    fn diamond() -> (Spec, Listed) {
        let spec = spec(vec![
            job("a", 2, vec![]),
            job("b", 2, vec![own(0)]),
            job("d", 1, vec![]),
            job("c", 1, vec![all(1), all(2)]),
        ]);
        let listed = Listed::of(&spec);
        (spec, listed)
    }

    fn standings(rows: &[(u32, Standing)]) -> Standings {
        rows.iter().copied().collect()
    }

    #[test]
    fn the_worst_task_above_is_the_root() {
        let (spec, listed) = diamond();
        for (rows, expected) in [
            (
                vec![(0, Standing::Running), (1, Standing::Ready), (4, Standing::Running)],
                (Standing::Ready, 1),
            ),
            (vec![(0, Standing::Dead), (1, Standing::Ready), (4, Standing::Held)], (Standing::Dead, 0)),
            (
                vec![(0, Standing::Succeeded), (2, Standing::Succeeded), (1, Standing::Delayed)],
                (Standing::Waiting, 4),
            ),
            (
                (0..4).map(|place| (place, Standing::Succeeded)).chain([(4, Standing::Held)]).collect(),
                (Standing::Held, 4),
            ),
        ] {
            let roots = Roots::of(&spec, &listed, &standings(&rows));
            let root = roots.at(5).unwrap();
            assert_eq!((root.standing, root.place), expected, "{rows:?}");
        }
    }

    #[test]
    fn a_task_with_a_row_is_its_own_root() {
        let (spec, listed) = diamond();
        let rows = standings(&[(0, Standing::Dead), (1, Standing::Running)]);
        let roots = Roots::of(&spec, &listed, &rows);
        assert_eq!(roots.at(1), Some(Root { standing: Standing::Running, place: 1 }));
        assert_eq!(roots.at(3), Some(Root { standing: Standing::Running, place: 1 }));
        assert_eq!(roots.iter().count(), 6);
        assert_eq!(roots.at(6), None);
    }

    #[test]
    fn the_input_on_the_way_is_told_with_what_is_missing() {
        let (spec, listed) = diamond();
        let rows = standings(&[
            (0, Standing::Succeeded),
            (1, Standing::Delayed),
            (2, Standing::Succeeded),
            (4, Standing::Running),
        ]);
        let roots = Roots::of(&spec, &listed, &rows);
        let missing = roots.missing(&spec, &listed, &rows, 5).unwrap();
        assert_eq!(missing, Missing { input: 0, job: 1, missing: 1, of: 2 });
        assert_eq!(
            roots.missing(&spec, &listed, &rows, 3).unwrap(),
            Missing { input: 0, job: 0, missing: 1, of: 1 }
        );
        assert_eq!(roots.missing(&spec, &listed, &rows, 0), None);
    }
}
