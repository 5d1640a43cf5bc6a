//! A DAG after validation: names resolved, partitions listed, blobs known. What the planner plans
//! from, and what `dag_versions.spec` holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trace_contracts::{
    EgressGrant, Name, PartitionKey, RowFilter, Runtime,
    wire::{
        webhook::DeliveryEvent,
        worker::{Blob, Code, Resources},
    },
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
    /// Tasks of the DAG, over all its runs, that are ready or running at once; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// What is told to which webhooks. Left out of the JSON where there is nothing, so that what is stored of a DAG
    /// without it stays as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliver: Vec<Deliver>,
}

/// Something that a DAG has told to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deliver {
    /// The webhook.
    pub to: Name,
    /// What.
    #[serde(flatten)]
    pub what: DeliverWhat,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum DeliverWhat {
    /// A run has ended.
    RunFinished,
    /// A task's retries are used up.
    TaskDead,
    /// A published dataset has a new current version.
    DatasetPublished,
    /// What the code of this job tells by itself.
    TaskMessage {
        /// The job.
        job: Name,
    },
}

impl DeliverWhat {
    /// The kind of event.
    #[must_use]
    pub const fn event(&self) -> DeliveryEvent {
        match self {
            Self::RunFinished => DeliveryEvent::RunFinished,
            Self::TaskDead => DeliveryEvent::TaskDead,
            Self::DatasetPublished => DeliveryEvent::DatasetPublished,
            Self::TaskMessage { .. } => DeliveryEvent::TaskMessage,
        }
    }
}

impl Spec {
    /// The webhooks that are told of events of a kind.
    pub fn told(&self, event: DeliveryEvent) -> impl Iterator<Item = &Name> {
        self.deliver.iter().filter(move |one| one.what.event() == event).map(|one| &one.to)
    }

    /// Whether the code of a job may tell a webhook something.
    #[must_use]
    pub fn may_tell(&self, job: &Name, to: &Name) -> bool {
        let is = |what: &DeliverWhat| matches!(what, DeliverWhat::TaskMessage { job: of } if of == job);
        self.deliver.iter().any(|one| one.to == *to && is(&one.what))
    }

    /// Whether a limit of its own holds tasks of this version back.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.concurrency.is_some() || self.jobs.iter().any(|job| job.limits.is_some())
    }
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
    /// What holds its tasks back, and which go first. Left out of the JSON where nothing is set, so
    /// that what is stored of a DAG without limits stays as it was.
    #[serde(default, skip_serializing_if = "JobLimits::is_default")]
    pub limits: JobLimits,
    /// Destinations outside that it declares, each once. What of it an attempt may reach is for an admin's
    /// rules to say. Left out of the JSON where there is none, for the same reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<EgressGrant>,
    /// Where it asks to run. Left out of the JSON where it does not, for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
}

/// What holds tasks of a job back, and which go first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLimits {
    /// Tasks of the job, over all runs, that are ready or running at once; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How often one may start; any time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// From -100 to 100. The higher goes first, and waiting makes up for it: see
    /// [`admission::rank`](crate::admission::rank).
    #[serde(default)]
    pub priority: i16,
}

impl JobLimits {
    /// Whether one of them may hold a task back.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.concurrency.is_some() || self.rate.is_some()
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How often tasks of a job may start: `tasks` at once, and as many again in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub tasks: u32,
    /// In which time.
    pub per: Period,
}

/// The time that a [`Rate`] is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// The word in a DAG's YAML.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }
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
