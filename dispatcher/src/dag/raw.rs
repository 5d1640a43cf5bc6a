//! The file as it is written, before names are resolved. These types are also what the JSON Schema
//! of the file is generated from.

use trace_contracts::{Name, PartitionKey, Runtime, grant::FilterValue, wire::worker::Language};

use super::{
    decode::{List, Located, Table, record},
    deliver::RawDeliver,
    egress::RawEgress,
    leaf::{AllPartitions, ByMonth, ColumnName, Json, Month, RelativePath},
    quantity::{Bytes, Count, CpuMillis, Millis, Priority},
    spec::Period,
};

record! {
    /// A DAG: jobs, what they read from each other, and what they publish.
    pub struct RawDag {
        /// The DAG's name, unique in its org.
        required name: Located<Name> = "name",
        /// Parameters that a trigger may set, with their defaults.
        optional params: Table<Name, Located<Json>> = "params",
        /// The jobs, in any order.
        required jobs: List<RawJob> = "jobs",
        /// Datasets to publish, by the name that others read them by.
        optional publish: Table<Name, RawPublish> = "publish",
        /// Tasks of the DAG, over all its runs, that are ready or running at once; left out, any number.
        optional concurrency: Located<Count> = "concurrency",
        /// Which tasks go first: -100 to 100, 0 when left out. A point is worth a minute of waiting.
        optional priority: Located<Priority> = "priority",
        /// What is told to which webhooks of the org. An admin has to allow the destination of each.
        optional deliver: List<RawDeliver> = "deliver",
        /// Where jobs run; left out, the environment decides.
        optional runtime: Located<Runtime> = "runtime",
    }
}

record! {
    /// One job: a built-in operator, or a function of yours.
    pub struct RawJob where schema has {
        "oneOf": [{ "required": ["operator"] }, { "required": ["udf"] }],
    } {
        /// The job's name, unique in the DAG.
        required name: Located<Name> = "name",
        /// A built-in, trusted operator.
        optional operator: Located<Name> = "operator",
        /// Settings of the operator.
        optional with: Table<Name, Located<Json>> = "with",
        /// A function of yours; it runs confined.
        optional udf: RawUdf = "udf",
        /// Files that the job gets, by the name it finds them under in `TRACE_FILES_DIR`.
        optional files: Table<Name, Located<RelativePath>> = "files",
        /// What the job reads.
        optional inputs: List<RawInput> = "inputs",
        /// One task for each of them; without partitions the job is one task.
        optional partitions: RawPartitions = "partitions",
        /// Bounds of each attempt.
        optional resources: RawResources = "resources",
        /// Wall-clock time of each attempt.
        optional timeout: Located<Millis> = "timeout",
        /// What happens after a failure.
        optional retries: RawRetries = "retries",
        /// Tasks of the job, over all runs, that are ready or running at once; left out, any number.
        optional concurrency: Located<Count> = "concurrency",
        /// Which tasks go first: -100 to 100; left out, the DAG's.
        optional priority: Located<Priority> = "priority",
        /// How often a task may start; left out, at any time.
        optional rate: RawRate = "rate",
        /// Secrets of the org that an operator finds in its environment, by name; never for a `udf`.
        optional secrets: List<Located<Name>> = "secrets",
        /// Destinations outside the platform that the job reaches, and how much. An admin has to allow each.
        optional egress: List<RawEgress> = "egress",
        /// Where the job runs; left out, the DAG's, or else the environment decides.
        optional runtime: Located<Runtime> = "runtime",
    }
}

record! {
    /// A function of yours.
    pub struct RawUdf {
        /// `python` runs `main.py`, `rust` runs the executable `main`.
        required language: Located<Language> = "language",
        /// The folder with the code, relative to this file.
        required path: Located<RelativePath> = "path",
    }
}

record! {
    /// One input of a job.
    pub struct RawInput {
        /// The name that the code knows it by: its table's name in SQL.
        required name: Located<Name> = "name",
        /// Where it comes from.
        required from: RawSource = "from",
        /// Columns that the job may see; left out, all of them.
        optional columns: List<Located<ColumnName>> = "columns",
        /// Rows that the job may see: those where every column has its value; left out, all of them.
        optional filter: Table<ColumnName, Located<FilterValue>> = "where",
        /// `all` to read every partition of a job that has the same ones.
        optional partitions: Located<AllPartitions> = "partitions",
    }
}

record! {
    /// A job of this DAG, or a published dataset of the org.
    pub struct RawSource where schema has { "oneOf": [{ "required": ["job"] }, { "required": ["dataset"] }] } {
        /// A job of this DAG.
        optional job: Located<Name> = "job",
        /// A dataset that another DAG of the org publishes.
        optional dataset: Located<Name> = "dataset",
    }
}

record! {
    /// A range of months, a list, or the partitions of another job.
    pub struct RawPartitions where schema has {
        "oneOf": [{ "required": ["by", "from", "to"] }, { "required": ["list"] }, { "required": ["same_as"] }],
    } {
        /// The first month.
        optional from: Located<Month> = "from",
        /// The last month, included.
        optional to: Located<Month> = "to",
        /// The partitions, written out.
        optional list: List<Located<PartitionKey>> = "list",
        /// The partitions of another job, so that each task reads its own partition of that job.
        optional same_as: Located<Name> = "same_as",
        ;
        /// `month`, with `from` and `to`.
        "by": Located<ByMonth>,
    }
}

record! {
    /// Bounds of each attempt.
    pub struct RawResources {
        /// Cores.
        optional cpu: Located<CpuMillis> = "cpu",
        /// Memory, temporary files in memory included.
        optional memory: Located<Bytes> = "memory",
        /// Output and temporary files.
        optional disk: Located<Bytes> = "disk",
    }
}

record! {
    /// What happens after a failure.
    pub struct RawRetries {
        /// Tries after the first one.
        optional max: Located<Count> = "max",
        /// Time before the first of them, doubled for each further one.
        optional backoff: Located<Millis> = "backoff",
    }
}

record! {
    /// How often a task of the job may start: so many at once, and as many again in each period.
    pub struct RawRate {
        /// How many.
        required tasks: Located<Count> = "tasks",
        /// In which time: `second`, `minute` or `hour`.
        required per: Located<Period> = "per",
    }
}

record! {
    /// A published dataset.
    pub struct RawPublish {
        /// The job whose output it is.
        required from: RawPublishSource = "from",
    }
}

record! {
    /// A job of this DAG.
    pub struct RawPublishSource {
        /// The job.
        required job: Located<Name> = "job",
    }
}
