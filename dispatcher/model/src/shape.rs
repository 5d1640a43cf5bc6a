//! What a DAG's version says about the order of its tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::id::DagVersion;

/// The shapes of all DAG versions that are known.
pub type Shapes = BTreeMap<DagVersion, Shape>;

/// The jobs of a DAG and what they wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    jobs: Vec<Job>,
    published: BTreeSet<usize>,
    total: u32,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The place of its first task in the run's listing.
    pub first: u32,
    /// How many tasks it has.
    pub partitions: u32,
    /// What each of its tasks waits for.
    pub inputs: Vec<Input>,
    /// Tries after the first one.
    pub retries: u32,
}

/// What an input waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Nothing: it was pinned when the run started.
    Pinned,
    /// Every partition of a job.
    Whole {
        /// The job.
        job: usize,
    },
    /// One partition of a job.
    Same {
        /// The job.
        job: usize,
        /// For each partition of the waiting job, the place of the task that it waits for; absent
        /// where the upstream job has no such partition, which nothing ever satisfies.
        places: Vec<Option<u32>>,
    },
}

/// A job before places are given out.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its partitions.
    pub partitions: Vec<String>,
    /// What it reads.
    pub inputs: Vec<Reads>,
    /// Tries after the first one.
    pub retries: u32,
}

/// What a job reads.
#[derive(Debug, Clone, Copy)]
pub enum Reads {
    /// A dataset of another DAG.
    Dataset,
    /// All of a job.
    Whole(usize),
    /// Its own partition of a job.
    Same(usize),
}

impl Shape {
    /// The shape of a DAG with these jobs, of which some are published.
    ///
    /// # Errors
    /// The index of a job that is read and that the DAG does not have, or that has too many tasks.
    pub fn new(drafts: &[Draft], published: BTreeSet<usize>) -> Result<Self, usize> {
        let mut total = 0;
        let mut firsts = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            firsts.push(total);
            let partitions = u32::try_from(draft.partitions.len()).map_err(|_| index)?;
            total = u32::checked_add(total, partitions).ok_or(index)?;
        }
        let mut jobs = Vec::with_capacity(drafts.len());
        for (draft, first) in drafts.iter().zip(&firsts) {
            let inputs = draft.inputs.iter().map(|reads| input(drafts, &firsts, draft, *reads));
            jobs.push(Job {
                first: *first,
                partitions: u32::try_from(draft.partitions.len()).unwrap_or(u32::MAX),
                inputs: inputs.collect::<Result<_, _>>()?,
                retries: draft.retries,
            });
        }
        Ok(Self { jobs, published, total })
    }

    /// The jobs, in the order of the listing.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// How many tasks a run has.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// Whether the job's dataset has a published name.
    #[must_use]
    pub fn publishes(&self, job: usize) -> bool {
        self.published.contains(&job)
    }

    /// The job of the task at a place, and its partition there.
    #[must_use]
    pub fn job_at(&self, place: u32) -> Option<(usize, u32)> {
        let index = self.jobs.partition_point(|job| job.first <= place).checked_sub(1)?;
        let partition = place - self.jobs[index].first;
        (partition < self.jobs[index].partitions).then_some((index, partition))
    }

    /// The places of a job's tasks.
    pub fn places(&self, job: usize) -> impl Iterator<Item = u32> + use<> {
        let Job { first, partitions, .. } = self.jobs[job];
        first..first + partitions
    }

    /// The places of the tasks that wait for the task at `place`, or for the whole job that it
    /// belongs to.
    #[must_use]
    pub fn waiting_for(&self, place: u32) -> Vec<u32> {
        let Some((upstream, _)) = self.job_at(place) else { return Vec::new() };
        let mut waiting = Vec::new();
        for (index, job) in self.jobs.iter().enumerate() {
            for input in &job.inputs {
                match input {
                    Input::Whole { job } if *job == upstream => waiting.extend(self.places(index)),
                    Input::Same { job: read, places } if *read == upstream => {
                        let own = self.places(index).zip(places);
                        waiting.extend(own.filter(|(_, needs)| **needs == Some(place)).map(|(own, _)| own));
                    }
                    _ => {}
                }
            }
        }
        waiting
    }
}

fn input(drafts: &[Draft], firsts: &[u32], own: &Draft, reads: Reads) -> Result<Input, usize> {
    match reads {
        Reads::Dataset => Ok(Input::Pinned),
        Reads::Whole(job) if job < drafts.len() => Ok(Input::Whole { job }),
        Reads::Same(job) => {
            let upstream = drafts.get(job).ok_or(job)?;
            let places: HashMap<&str, u32> =
                upstream.partitions.iter().map(String::as_str).zip(firsts[job]..).collect();
            let places = own.partitions.iter().map(|name| places.get(name.as_str()).copied()).collect();
            Ok(Input::Same { job, places })
        }
        Reads::Whole(job) => Err(job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(partitions: &[&str], inputs: &[Reads]) -> Draft {
        let partitions = partitions.iter().map(ToString::to_string).collect();
        Draft { partitions, inputs: inputs.to_vec(), retries: 0 }
    }

    #[test]
    fn places_go_by_jobs_and_partitions() {
        let jobs = [
            job(&["1", "2", "3"], &[]),
            job(&["2", "3"], &[Reads::Same(0)]),
            job(&["all"], &[Reads::Whole(1), Reads::Dataset]),
        ];
        let shape = Shape::new(&jobs, BTreeSet::from([2])).unwrap();
        assert_eq!(shape.total(), 6);
        assert_eq!(shape.job_at(2), Some((0, 2)));
        assert_eq!(shape.job_at(3), Some((1, 0)));
        assert_eq!(shape.job_at(6), None);
        assert!(shape.waiting_for(0).is_empty(), "partition 1 is read by nobody");
        assert_eq!(shape.waiting_for(2), [4]);
        assert_eq!(shape.waiting_for(3), [5]);
        assert!(shape.publishes(2) && !shape.publishes(0));
    }

    #[test]
    fn a_job_that_is_not_there_is_an_error() {
        assert_eq!(Shape::new(&[job(&["1"], &[Reads::Whole(1)])], BTreeSet::new()), Err(1));
        assert_eq!(Shape::new(&[job(&["1"], &[Reads::Same(7)])], BTreeSet::new()), Err(7));
    }
}
