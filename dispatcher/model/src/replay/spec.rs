//! The shape of a DAG from `dag_versions.spec`: only what says which task waits for which.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::shape::{Draft, Reads, Shape};

/// Why a spec can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not the JSON that is expected.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A job reads one that is not there.
    #[error("it has no job {0}")]
    NoJob(usize),
}

#[derive(Deserialize)]
struct Spec {
    jobs: Vec<Job>,
    publish: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Job {
    inputs: Vec<Input>,
    partitions: Vec<String>,
    retries: Retries,
}

#[derive(Deserialize)]
struct Input {
    source: Source,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Source {
    SamePartition { job: usize },
    WholeJob { job: usize },
    Dataset {},
}

#[derive(Deserialize)]
struct Retries {
    max: u32,
}

/// Reads a spec.
///
/// # Errors
/// When it is not one.
pub fn shape(json: &str) -> Result<Shape, Error> {
    let spec: Spec = serde_json::from_str(json)?;
    let drafts: Vec<Draft> = spec
        .jobs
        .into_iter()
        .map(|job| Draft {
            partitions: job.partitions,
            inputs: job.inputs.iter().map(|input| reads(&input.source)).collect(),
            retries: job.retries.max,
        })
        .collect();
    Shape::new(&drafts, spec.publish.into_values().collect()).map_err(Error::NoJob)
}

const fn reads(source: &Source) -> Reads {
    match source {
        Source::SamePartition { job } => Reads::Same(*job),
        Source::WholeJob { job } => Reads::Whole(*job),
        Source::Dataset {} => Reads::Dataset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_order_of_tasks_is_read() {
        let json = r#"{"name": "d", "params": {}, "publish": {"x": 1}, "jobs": [
            {"name": "a", "partitions": ["1", "2"], "inputs": [
                {"name": "w", "source": {"kind": "dataset", "dataset": "weather"}, "columns": null}
            ], "retries": {"max": 3, "backoff_ms": 1}},
            {"name": "b", "partitions": ["all"], "inputs": [
                {"name": "a", "source": {"kind": "whole_job", "job": 0}}
            ], "retries": {"max": 0, "backoff_ms": 1}}]}"#;
        let shape = shape(json).unwrap();
        assert_eq!((shape.total(), shape.waiting_for(0)), (3, vec![2]));
        assert!(shape.publishes(1));
        assert_eq!(shape.jobs()[0].retries, 3);
    }
}
