//! Which partitions each job has.

use std::{collections::HashSet, sync::Arc};

use trace_contracts::PartitionKey;

use super::{
    bounds::MAX_TASKS,
    decode::{Record as _, exactly_one},
    findings::{Findings, Place},
    names::JobNames,
    quantity::counted,
    raw::{RawJob, RawPartitions},
};

/// The partitions of one job.
#[derive(Debug, Clone)]
pub struct Partitions {
    /// The keys; `[all]` for a job without partitions.
    pub keys: Arc<[PartitionKey]>,
    /// The job that they are written at; `None` for a job without partitions. Two jobs have the
    /// same partitions if and only if this is the same.
    pub root: Option<usize>,
}

impl Partitions {
    fn none() -> Self {
        Self { keys: Arc::new([PartitionKey::whole()]), root: None }
    }
}

/// Says for each job which partitions it has; `None` where that can't be told.
pub fn resolve(jobs: &[RawJob], names: &JobNames<'_>, findings: &mut Findings) -> Vec<Option<Partitions>> {
    let written: Vec<Option<Partitions>> =
        jobs.iter().enumerate().map(|(index, job)| written_at(index, job, findings)).collect();
    let mut roots = Roots { jobs, names, known: vec![None; jobs.len()] };
    let resolved: Vec<Option<Partitions>> = (0..jobs.len())
        .map(|index| match roots.of(index, findings) {
            Root::Job(root) => written[root].clone(),
            Root::None => Some(Partitions::none()),
            Root::Wrong => None,
        })
        .collect();
    let total: usize = resolved.iter().flatten().map(|partitions| partitions.keys.len()).sum();
    if total > MAX_TASKS
        && let Some(job) = jobs.iter().find(|job| job.partitions.is_some())
    {
        let message = format!(
            "the DAG has {total} tasks in all, and a run has at most {MAX_TASKS}: use fewer or larger partitions"
        );
        findings.push(job.place(), message);
    }
    resolved
}

/// Where a job's partitions are written.
#[derive(Debug, Clone, Copy)]
enum Root {
    /// At this job.
    Job(usize),
    /// Nowhere: it has none.
    None,
    /// That can't be told, and why has been reported.
    Wrong,
}

/// The jobs whose partitions are written at each job. What is found for one job holds for all on the
/// way there, so that a chain through ten thousand jobs is walked once.
struct Roots<'a> {
    jobs: &'a [RawJob],
    names: &'a JobNames<'a>,
    known: Vec<Option<Root>>,
}

impl Roots<'_> {
    /// Follows `same_as` from a job to where its partitions are written.
    fn of(&mut self, start: usize, findings: &mut Findings) -> Root {
        let mut walked = HashSet::new();
        let mut index = start;
        let root = loop {
            if let Some(known) = self.known[index] {
                break known;
            }
            let Some(partitions) = &self.jobs[index].partitions else {
                break if self.jobs[index].gives("partitions") { Root::Wrong } else { Root::None };
            };
            let Some(same_as) = &partitions.same_as else {
                break if partitions.gives("same_as") { Root::Wrong } else { Root::Job(index) };
            };
            if !walked.insert(index) {
                let message = "these jobs take their partitions from each other: write them out at one";
                findings.push(&same_as.place, message);
                break Root::Wrong;
            }
            match self.names.find(same_as, findings) {
                Some(next) if self.has_none(next) => {
                    findings.push(&same_as.place, format!("`{}` has no partitions", same_as.value));
                    break Root::Wrong;
                }
                Some(next) => index = next,
                None => break Root::Wrong,
            }
        };
        for job in walked.into_iter().chain([start]) {
            self.known[job] = Some(root);
        }
        root
    }

    fn has_none(&self, job: usize) -> bool {
        self.jobs[job].partitions.is_none() && !self.jobs[job].gives("partitions")
    }
}

/// The partitions that a job writes out itself.
fn written_at(index: usize, job: &RawJob, findings: &mut Findings) -> Option<Partitions> {
    let raw = job.partitions.as_ref()?;
    let form = exactly_one(raw, &["by", "list", "same_as"], findings);
    if form != Some("by") {
        for stray in ["from", "to"].into_iter().filter(|name| raw.gives(name)) {
            findings.push(raw.place(), format!("`{stray}` belongs to `by: month`"));
        }
    }
    let keys = match form? {
        "by" => months(raw, findings)?,
        "list" => list(raw, findings)?,
        _ => return None,
    };
    Some(Partitions { keys: keys.into(), root: Some(index) })
}

fn months(raw: &RawPartitions, findings: &mut Findings) -> Option<Vec<PartitionKey>> {
    for missing in ["from", "to"].into_iter().filter(|name| !raw.gives(name)) {
        let message =
            format!("`by: month` needs `{missing}`: the {} month, such as `2013-01`", which(missing));
        findings.push(raw.place(), message);
    }
    let (from, to) = (raw.from.as_ref()?, raw.to.as_ref()?);
    if to.value < from.value {
        findings.push(&to.place, "`to` is before `from`");
        return None;
    }
    let months = from.value.through(to.value);
    if !within(months.len(), &to.place, findings) {
        return None;
    }
    Some(months.map(|month| month.partition()).collect())
}

fn which(bound: &str) -> &'static str {
    if bound == "from" { "first" } else { "last" }
}

fn list(raw: &RawPartitions, findings: &mut Findings) -> Option<Vec<PartitionKey>> {
    let list = raw.list.as_ref()?;
    if list.written == 0 {
        findings.push(
            &list.place,
            "a list of partitions has at least one; leave `partitions` out for a single task",
        );
        return None;
    }
    if !within(list.written, &list.place, findings) {
        return None;
    }
    let mut seen = HashSet::new();
    for key in &list.items {
        if !seen.insert(&key.value) {
            findings.push(&key.place, format!("the partition `{}` is there twice", key.value));
        }
        if key.value.is_whole() {
            findings.push(&key.place, "`all` means a job without partitions: name this partition otherwise");
        }
    }
    Some(list.items.iter().map(|key| key.value.clone()).collect())
}

fn within(count: usize, place: &Place, findings: &mut Findings) -> bool {
    if count > MAX_TASKS {
        findings.push(place, format!("{}: a run has at most {MAX_TASKS} tasks", counted(count, "partition")));
    }
    count <= MAX_TASKS
}
