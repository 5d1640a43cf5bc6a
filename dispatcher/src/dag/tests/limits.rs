//! Limits and priorities, and files as large as a DAG may be.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::{blobs, check, errors_with, here, job, spec_of};
use crate::dag::{
    bounds::MAX_JOBS,
    spec::{JobLimits, Period, Rate, Source},
};

#[test]
fn limits_are_read_and_a_job_overrides_the_priority_of_its_dag() {
    let spec = spec_of(
        "name: d
concurrency: 8
priority: 5
jobs:
  - { name: a, udf: { language: python, path: u } }
  - name: b
    udf: { language: python, path: u }
    concurrency: 2
    priority: -100
    rate: { tasks: 10, per: minute }
",
    );
    assert_eq!(spec.concurrency, Some(8));
    assert_eq!(spec.jobs[0].limits, JobLimits { priority: 5, ..JobLimits::default() });
    let rate = Some(Rate { tasks: 10, per: Period::Minute });
    assert_eq!(spec.jobs[1].limits, JobLimits { concurrency: Some(2), rate, priority: -100 });
    assert!(spec.is_limited());
}

/// What is stored of a DAG without limits, and so its version, stays as it was before there were any.
#[test]
fn a_dag_without_limits_is_stored_without_them() {
    let spec = spec_of(&job(""));
    assert!(!spec.is_limited());
    let stored = serde_json::to_value(&spec).unwrap();
    assert!(stored.get("concurrency").is_none() && stored["jobs"][0].get("limits").is_none());
    assert_eq!(serde_json::from_value::<crate::dag::spec::Spec>(stored).unwrap(), spec);
}

#[test]
fn limits_must_make_sense() {
    let mut said = String::new();
    for lines in [
        "    concurrency: 0\n",
        "    concurrency: 100001\n",
        "    concurrency: many\n",
        "    priority: 101\n",
        "    priority: -99999999999\n",
        "    priority: high\n",
        "    rate: 10\n",
        "    rate: { tasks: 10 }\n",
        "    rate: { tasks: 0, per: minute }\n",
        "    rate: { tasks: 10, per: day }\n",
        "    rate: { tasks: 10, per: minute, burst: 1 }\n",
        "    concurency: 1\n",
        "concurrency: 0\npriority: 1.5\n",
    ] {
        let errors = errors_with(&job(lines), &["u"]);
        writeln!(said, "{}\n{errors}", lines.trim()).unwrap();
    }
    assert_snapshot!(said);
}

/// As many jobs as a DAG may have, each reading from up to three before it.
fn largest() -> String {
    (0..MAX_JOBS).fold("name: large\nconcurrency: 64\njobs:\n".to_owned(), |mut yaml, n| {
        write!(
            yaml,
            "  - name: job_{n}\n    udf: {{ language: python, path: u }}\n    timeout: 60s\n    inputs:\n"
        )
        .unwrap();
        for upstream in (1..=3).filter(|back| *back <= n).map(|back| n - back) {
            writeln!(yaml, "      - {{ name: from_{upstream}, from: {{ job: job_{upstream} }} }}").unwrap();
        }
        yaml
    })
}

#[test]
fn the_largest_dag_is_read() {
    let yaml = largest().replace("    inputs:\n  - name: job_1\n", "  - name: job_1\n");
    let spec = check(&yaml, &blobs(&["u"]), &here()).unwrap().spec;
    assert_eq!(spec.jobs.len(), MAX_JOBS);
    assert_eq!(spec.jobs[MAX_JOBS - 1].inputs[0].source, Source::WholeJob { job: MAX_JOBS - 2 });
}

/// The mistakes that once cost the square of the number of jobs.
#[test]
fn the_largest_dag_may_be_wrong_everywhere() {
    let each = |line: fn(usize) -> String| {
        (0..MAX_JOBS).fold("name: large\njobs:\n".to_owned(), |yaml, n| {
            yaml + &format!("  - {{ name: job_{n}, udf: {{ language: python, path: u }}, {} }}\n", line(n))
        })
    };
    let unknown = each(|n| format!("inputs: [{{ name: i, from: {{ job: jab_{n} }} }}]"));
    let circles = each(|n| format!("inputs: [{{ name: i, from: {{ job: job_{} }} }}]", n ^ 1));
    let one_circle =
        each(|n| format!("inputs: [{{ name: i, from: {{ job: job_{} }} }}]", (n + 1) % MAX_JOBS));
    let same_as = each(|n| format!("partitions: {{ same_as: job_{} }}", (n + 1) % MAX_JOBS));
    let mut said = String::new();
    for yaml in [unknown, circles, one_circle, same_as] {
        let errors = errors_with(&yaml, &["u"]);
        let lines: Vec<&str> = errors.lines().collect();
        writeln!(said, "{} lines\n{}\n…\n{}\n", lines.len(), lines[0], lines[lines.len() - 1]).unwrap();
    }
    assert_snapshot!(said);
}

#[test]
fn partitions_are_taken_over_through_any_number_of_jobs() {
    let mut yaml = "name: chain\njobs:\n".to_owned();
    for n in 0..2_000 {
        writeln!(
            yaml,
            "  - {{ name: job_{n}, udf: {{ language: python, path: u }}, partitions: {{ same_as: job_{} }} }}",
            n + 1
        )
        .unwrap();
    }
    let last = "  - { name: job_2000, udf: { language: python, path: u }, partitions: { list: [a, b] } }\n";
    let spec = spec_of(&format!("{yaml}{last}"));
    assert!(spec.jobs.iter().all(|job| job.partitions.len() == 2));
}
