//! A DAG after validation: names resolved, partitions listed, blobs known. What the planner plans
//! from, and what `dag_versions.spec` holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trace_contracts::{
    Name, PartitionKey, RowFilter,
    wire::worker::{Blob, Code, Resources},
};

/// One version of a DAG. `jobs` are in an order in which every job comes after its upstream ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The DAG's name.
    pub name: Name,
    /// Parameters that a trigger may set, with their defaults.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The jobs; `job_no` everywhere is an index into this.
    pub jobs: Vec<JobSpec>,
    /// Published names, each with the job it stands for.
    pub publish: BTreeMap<Name, usize>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name, unique in the DAG.
    pub name: Name,
    /// What runs.
    pub code: Code,
    /// Files by name.
    pub files: BTreeMap<Name, Blob>,
    /// What it reads.
    pub inputs: Vec<InputSpec>,
    /// Its partitions, one task each; `[all]` for a job without partitions. Never empty.
    pub partitions: Vec<PartitionKey>,
    /// Bounds of each attempt.
    pub resources: Resources,
    /// Wall-clock time of each attempt, in milliseconds.
    pub timeout_ms: u64,
    /// What happens after a failure.
    pub retries: Retries,
}

/// One input of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSpec {
    /// The name that the code knows it by.
    pub name: Name,
    /// Where it comes from.
    pub source: Source,
    /// The columns it may see; all when absent.
    pub columns: Option<Vec<String>>,
    /// The rows it may see; all when absent.
    pub row_filter: Option<RowFilter>,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// The task's own partition of an upstream job: ready when that partition is committed.
    SamePartition {
        /// Its index in [`Spec::jobs`].
        job: usize,
    },
    /// Every partition of an upstream job: ready when the whole version is complete.
    WholeJob {
        /// Its index in [`Spec::jobs`].
        job: usize,
    },
    /// A published dataset of the org, pinned when the run starts.
    Dataset {
        /// Its published name.
        dataset: Name,
    },
}

/// What happens after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// Tries after the first one.
    pub max: u32,
    /// Time before the first of them, doubled for each further one, with jitter; in milliseconds.
    pub backoff_ms: u64,
}
