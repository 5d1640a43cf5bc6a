use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use trace_contracts::wire::worker::{Code, Resources};

use super::*;
use crate::dag::spec::{InputSpec, JobLimits, JobSpec, Retries, Source, Spec};

fn job(index: usize, partitions: usize, inputs: Vec<Source>) -> JobSpec {
    let keys = (0..partitions).map(|p| format!("p{p}").parse().unwrap()).collect();
    JobSpec {
        name: format!("j{index}").parse().unwrap(),
        code: Code::Operator {
            operator: "noop".parse().unwrap(),
            config: serde_json::Value::Null,
            secrets: Vec::new(),
        },
        files: BTreeMap::new(),
        inputs: inputs
            .into_iter()
            .enumerate()
            .map(|(n, source)| InputSpec {
                name: format!("i{n}").parse().unwrap(),
                source,
                columns: None,
                row_filter: None,
            })
            .collect(),
        partitions: keys,
        resources: Resources { cpu_millis: 1000, memory_bytes: 1, disk_bytes: 1 },
        timeout_ms: 1000,
        retries: Retries { max: 0, backoff_ms: 0 },
        limits: JobLimits::default(),
        egress: Vec::new(),
        runtime: None,
    }
}

fn spec(jobs: Vec<JobSpec>) -> Spec {
    Spec {
        name: "dag".parse().unwrap(),
        params: BTreeMap::new(),
        jobs,
        publish: BTreeMap::new(),
        concurrency: None,
        deliver: Vec::new(),
    }
}

/// A DAG of up to six jobs with up to three partitions, each reading from earlier ones.
fn any_spec() -> impl Strategy<Value = Spec> {
    let inputs = prop::collection::vec((any::<prop::sample::Index>(), 0..3u8), 0..4);
    prop::collection::vec((1..4usize, inputs), 1..7).prop_map(|drawn| {
        let sizes: Vec<usize> = drawn.iter().map(|(size, _)| *size).collect();
        let jobs = drawn.iter().enumerate().map(|(index, (size, inputs))| {
            let sources = inputs.iter().map(|(pick, kind)| source(&sizes, index, *size, pick, *kind));
            job(index, *size, sources.collect())
        });
        spec(jobs.collect())
    })
}

fn source(sizes: &[usize], index: usize, size: usize, pick: &prop::sample::Index, kind: u8) -> Source {
    if index == 0 || kind == 2 {
        return Source::Dataset { dataset: "outside".parse().unwrap() };
    }
    let upstream = pick.index(index);
    if kind == 0 && sizes[upstream] >= size {
        Source::SamePartition { job: upstream }
    } else {
        Source::WholeJob { job: upstream }
    }
}

/// A run in memory: what is committed, and what was planned so far.
struct Run<'a> {
    spec: &'a Spec,
    listed: Listed,
    facts: Facts,
    planned: BTreeSet<TaskKey>,
    open: Vec<TaskKey>,
}

impl<'a> Run<'a> {
    fn start(spec: &'a Spec) -> Self {
        let mut run = Self {
            spec,
            listed: Listed::of(spec),
            facts: Facts::default(),
            planned: BTreeSet::new(),
            open: Vec::new(),
        };
        run.carry_out(&Frontier::at_start(spec));
        run
    }

    fn carry_out(&mut self, frontier: &Frontier) {
        // Only the facts that the frontier asks for are shown, as the database would.
        let unknown = frontier.unknown(self.spec, &Facts::default());
        let facts = Facts {
            complete: self.facts.complete.intersection(&unknown.complete).copied().collect(),
            committed: self.facts.committed.intersection(&unknown.committed).cloned().collect(),
        };
        let snapshot = Snapshot { spec: self.spec, listed: &self.listed, frontier, facts: &facts };
        let checked = check(&snapshot, plan(&snapshot)).unwrap();
        for task in checked.tasks() {
            self.assert_inputs_are_there(task);
            assert!(self.planned.insert(task.clone()), "{task:?} was planned twice");
            self.open.push(task.clone());
        }
    }

    fn assert_inputs_are_there(&self, task: &TaskKey) {
        for input in &self.spec.jobs[task.job].inputs {
            match &input.source {
                Source::Dataset { .. } => {}
                Source::WholeJob { job } => {
                    for partition in &self.spec.jobs[*job].partitions {
                        let key = TaskKey { job: *job, partition: partition.clone() };
                        assert!(self.facts.committed.contains(&key), "{task:?} before {key:?}");
                    }
                }
                Source::SamePartition { job } => {
                    let key = TaskKey { job: *job, partition: task.partition.clone() };
                    assert!(self.facts.committed.contains(&key), "{task:?} before {key:?}");
                }
            }
        }
    }

    fn commit(&mut self, batch: Vec<TaskKey>) {
        self.facts.committed.extend(batch.iter().cloned());
        for (job, listed) in self.spec.jobs.iter().enumerate() {
            let done = self.facts.committed.iter().filter(|key| key.job == job).count();
            if done == listed.partitions.len() {
                self.facts.complete.insert(job);
            }
        }
        let commits: Vec<Commit> = batch
            .into_iter()
            .map(|task| {
                let whole = self.facts.complete.contains(&task.job);
                let version = if whole { VersionState::Complete } else { VersionState::Partial };
                Commit { task, version }
            })
            .collect();
        self.carry_out(&Frontier::after(self.spec, &self.listed, &commits));
    }
}

proptest! {
    #[test]
    fn every_task_is_planned_exactly_once_and_none_before_its_inputs(
        spec in any_spec(),
        order in prop::collection::vec((any::<prop::sample::Index>(), 1..4usize), 64),
    ) {
        let mut run = Run::start(&spec);
        let mut order = order.into_iter();
        while !run.open.is_empty() {
            let (pick, size) = order.next().expect("a run of at most 18 tasks ends in 64 batches");
            let mut batch = Vec::new();
            for _ in 0..size.min(run.open.len()) {
                batch.push(run.open.swap_remove(pick.index(run.open.len())));
            }
            run.commit(batch);
        }
        let listed: usize = spec.jobs.iter().map(|job| job.partitions.len()).sum();
        prop_assert_eq!(run.planned.len(), listed);
    }
}

#[test]
fn a_fan_in_waits_for_both_and_is_planned_by_the_last() {
    let spec = spec(vec![
        job(0, 2, vec![]),
        job(1, 2, vec![Source::SamePartition { job: 0 }]),
        job(2, 1, vec![Source::WholeJob { job: 0 }, Source::WholeJob { job: 1 }]),
    ]);
    let key = |job: usize, partition: &str| TaskKey { job, partition: partition.parse().unwrap() };
    let mut run = Run::start(&spec);
    run.commit(vec![key(0, "p0"), key(0, "p1")]);
    assert!(run.planned.contains(&key(1, "p0")) && !run.planned.contains(&key(2, "p0")));
    run.commit(vec![key(1, "p1")]);
    assert!(!run.planned.contains(&key(2, "p0")));
    run.commit(vec![key(1, "p0")]);
    assert!(run.planned.contains(&key(2, "p0")));
}

#[test]
fn bad_plans_are_named() {
    let spec = spec(vec![job(0, 1, vec![]), job(1, 1, vec![Source::WholeJob { job: 0 }])]);
    let key = |job: usize| TaskKey { job, partition: "p0".parse().unwrap() };
    let frontier = Frontier::at_start(&spec);
    let facts = Facts::default();
    let listed = Listed::of(&spec);
    let snapshot = Snapshot { spec: &spec, listed: &listed, frontier: &frontier, facts: &facts };
    let judge = |tasks: Vec<TaskKey>| check(&snapshot, Plan { tasks });
    assert_eq!(judge(vec![key(0)]).unwrap().tasks(), [key(0)]);
    assert_eq!(judge(vec![]), Err(Violation::Lost(key(0))));
    assert_eq!(judge(vec![key(0), key(0)]), Err(Violation::Twice(key(0))));
    assert_eq!(judge(vec![key(0), key(1)]), Err(Violation::OutsideFrontier(key(1))));
    assert_eq!(judge(vec![key(7)]), Err(Violation::Unknown(key(7))));

    let committed = [Commit { task: key(0), version: VersionState::Partial }];
    let all = Frontier {
        candidates: Frontier::after(&spec, &listed, &committed)
            .candidates
            .into_iter()
            .chain([key(1)])
            .collect(),
    };
    let early = Snapshot { spec: &spec, listed: &listed, frontier: &all, facts: &facts };
    let verdict = check(&early, Plan { tasks: vec![key(1)] });
    assert_eq!(verdict, Err(Violation::TooEarly(key(1), "i0".to_owned())));
}

#[test]
fn places_are_the_order_of_jobs_and_partitions() {
    let listed = Listed::of(&spec(vec![job(0, 3, vec![]), job(1, 1, vec![]), job(2, 2, vec![])]));
    let place = |job, partition: &str| listed.place(&TaskKey { job, partition: partition.parse().unwrap() });
    assert_eq!([place(0, "p0"), place(0, "p2"), place(1, "p0")], [Some(0), Some(2), Some(3)]);
    assert_eq!(
        [place(2, "p0"), place(2, "p1"), place(2, "p2"), place(3, "p0")],
        [Some(4), Some(5), None, None]
    );
    assert_eq!([listed.first_of(0), listed.first_of(2), listed.first_of(3)], [Some(0), Some(4), None]);
    assert_eq!([listed.at(2), listed.at(3), listed.at(5)], [Some((0, 2)), Some((1, 0)), Some((2, 1))]);
    assert_eq!((listed.at(6), listed.count()), (None, 6));
}
