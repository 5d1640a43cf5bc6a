//! Every cause, from what the rows say to the sentence.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use trace_contracts::{
    AttemptId, RunId, TaskId, UserId,
    wire::{
        user::{RunState, TaskState},
        why::{Cause, Group, LastAttempt, LimitUse, Scope, TaskWhy},
        worker::{Code, Resources},
    },
};

use super::{
    cause::{Details, Workers, called, cause},
    sentence,
};
use crate::dag::spec::{InputSpec, JobLimits, JobSpec, Period, Rate, Retries, Source, Spec};

pub(super) const fn own(job: usize) -> Source {
    Source::SamePartition { job }
}

pub(super) const fn all(job: usize) -> Source {
    Source::WholeJob { job }
}

pub(super) fn job(name: &str, partitions: usize, inputs: Vec<Source>) -> JobSpec {
    let inputs = inputs.into_iter().enumerate().map(|(n, source)| InputSpec {
        name: format!("i{n}").parse().unwrap(),
        source,
        columns: None,
        row_filter: None,
    });
    JobSpec {
        name: name.parse().unwrap(),
        code: Code::Operator {
            operator: "noop".parse().unwrap(),
            config: serde_json::Value::Null,
            secrets: Vec::new(),
        },
        files: BTreeMap::new(),
        inputs: inputs.collect(),
        partitions: (0..partitions).map(|p| format!("p{p}").parse().unwrap()).collect(),
        resources: Resources { cpu_millis: 1000, memory_bytes: 1, disk_bytes: 1 },
        timeout_ms: 1000,
        retries: Retries { max: 0, backoff_ms: 0 },
        limits: JobLimits::default(),
        egress: Vec::new(),
        runtime: None,
    }
}

pub(super) fn spec(jobs: Vec<JobSpec>) -> Spec {
    Spec {
        name: "dag".parse().unwrap(),
        params: BTreeMap::new(),
        jobs,
        publish: BTreeMap::new(),
        concurrency: None,
        deliver: Vec::new(),
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn ago(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

fn task(place: u32) -> TaskId {
    TaskId::in_run(RunId::from_db(17), place).unwrap()
}

fn attempt() -> AttemptId {
    AttemptId::from_db(40)
}

fn ready(since: i64, last_claim: Option<i64>, last_lease: Option<i64>, running: u64) -> Details {
    let workers = Workers { last_claim: last_claim.map(ago), last_lease: last_lease.map(ago), running };
    Details::Ready { since: ago(since), workers }
}

fn last() -> Option<LastAttempt> {
    let detail = Some("it reached 512MiB\nand more lines".to_owned());
    Some(LastAttempt { attempt: attempt(), reason: "memory".to_owned(), detail, at: ago(5) })
}

/// What the rows say, in an order that the snapshot keeps.
fn every_case() -> Vec<(&'static str, Details)> {
    let limit = |scope, name: Option<&str>, max, in_use| LimitUse {
        scope,
        name: name.map(|name| name.parse().unwrap()),
        max,
        in_use,
    };
    let held = |reached, rate| Details::Held { since: ago(60), reached, rate, position: 3 };
    let job = limit(Scope::Job, Some("delays"), 2, 2);
    vec![
        ("just ready", ready(1, None, None, 0)),
        ("ready, and no worker ever asked", ready(60, None, None, 0)),
        ("ready, and no worker asks any more", ready(60, Some(600), Some(900), 0)),
        ("ready, and workers that do not ask because they are full", ready(600, Some(500), Some(700), 8)),
        ("ready, and workers that take other tasks", ready(60, Some(20), Some(1), 8)),
        ("ready, and workers that became full after they asked", ready(60, Some(70), Some(65), 8)),
        ("ready, and workers that wait in vain", ready(60, Some(20), Some(900), 0)),
        ("held by its job", held(vec![job.clone()], None)),
        (
            "held by all three",
            held(vec![job, limit(Scope::Dag, Some("flights"), 8, 9), limit(Scope::Org, None, 50, 50)], None),
        ),
        ("held by a rate", held(vec![], Some((Rate { tasks: 10, per: Period::Minute }, 4.2)))),
        ("held, and there is room", held(vec![], None)),
        (
            "running",
            Details::Leased {
                attempt: attempt(),
                worker: "w".to_owned(),
                since: ago(9),
                until: now() + TimeDelta::seconds(6),
            },
        ),
        ("delayed", Details::Delayed { until: now() + TimeDelta::seconds(90), last: last() }),
        ("delayed, and due", Details::Delayed { until: ago(1), last: None }),
        ("dead", Details::Dead { last: last() }),
        ("cancelled", Details::Cancelled { by: Some(UserId::from_db(3)), at: Some(ago(30)) }),
        ("cancelled by nobody knows whom", Details::Cancelled { by: None, at: None }),
        ("succeeded", Details::Committed { attempt: attempt(), at: ago(3) }),
        ("without a row", Details::Nothing),
    ]
}

fn told(place: u32, job: &str, details: Details) -> TaskWhy {
    let cause = cause(details, now());
    let partition = "2013-01".parse().unwrap();
    let name = job.parse().unwrap();
    let sentence = sentence::sentence(task(place), &called(&name, &partition), &cause, now());
    TaskWhy { task: task(place), job: name, partition, state: TaskState::Queued, sentence, cause }
}

#[test]
fn every_cause_has_its_sentence() {
    let said: Vec<String> = every_case()
        .into_iter()
        .map(|(what, details)| format!("{what}\n  {}", told(3, "delays", details).sentence))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn causes_are_told_to_programs_by_kind() {
    let kinds: Vec<String> = every_case()
        .into_iter()
        .map(|(what, details)| {
            let cause = serde_json::to_value(cause(details, now())).unwrap();
            format!("{}: {what}", cause["kind"].as_str().unwrap())
        })
        .collect();
    insta::assert_snapshot!(kinds.join("\n"));
}

#[test]
fn what_waits_tells_its_input_and_the_root() {
    let root = told(3, "ingest", Details::Dead { last: last() });
    let input = |missing, of| Cause::Input {
        input: "flights".parse().unwrap(),
        job: "ingest".parse().unwrap(),
        missing,
        of,
        root: Box::new(root.clone()),
    };
    let sentence = |cause| sentence::sentence(task(9), "summary", &cause, now());
    let skipped = Cause::Skipped { root: Some(Box::new(root.clone())) };
    let said = [sentence(input(1, 1)), sentence(input(2, 12)), sentence(skipped)];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_run_tells_its_worst_cause() {
    let group =
        |tasks, behind| Group { tasks, behind, example: told(3, "delays", Details::Dead { last: last() }) };
    let run = RunId::from_db(17);
    let said = [
        sentence::of_run(run, RunState::Succeeded, &[]),
        sentence::of_run(run, RunState::Running, &[]),
        sentence::of_run(run, RunState::Failed, &[group(1, 0)]),
        sentence::of_run(run, RunState::Failed, &[group(3, 1)]),
        sentence::of_run(run, RunState::Running, &[group(1, 12)]),
    ];
    insta::assert_snapshot!(said.join("\n"));
}
