//! Bounds and defaults of a DAG. `docs/dag-yaml.md` repeats them for people.

use trace_contracts::wire::worker::Resources;

use super::spec::Retries;

/// Jobs in one DAG.
pub const MAX_JOBS: usize = 10_000;
/// Tasks of one run: all partitions of all jobs.
pub const MAX_TASKS: usize = 100_000;
/// Inputs of one job. With [`MAX_GRANT_BYTES`] it keeps a capability token within a header.
pub const MAX_INPUTS: usize = 24;
/// Columns, filters and destinations of one job, as text.
pub const MAX_GRANT_BYTES: usize = 3 * 1024;
/// Destinations of one job.
pub const MAX_EGRESS: usize = 16;
/// Destinations of all jobs of one DAG.
pub const MAX_EGRESS_OF_DAG: usize = 1_000;
/// Entries of `deliver` of one DAG.
pub const MAX_DELIVER: usize = 64;
/// Files of one job.
pub const MAX_FILES: usize = 64;
/// Secrets of one job.
pub const MAX_SECRETS: usize = 16;
/// Parameters of one DAG.
pub const MAX_PARAMS: usize = 100;
/// Settings of one operator, and parameters of one run, as JSON: they travel in an environment.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// Cores of one attempt, in thousandths.
pub const CPU_MILLIS: (u32, u32) = (50, 64_000);
/// Memory of one attempt.
pub const MEMORY_BYTES: (u64, u64) = (32 << 20, 256 << 30);
/// Output and temporary files of one attempt.
pub const DISK_BYTES: (u64, u64) = (1 << 20, 1 << 40);
/// Wall-clock time of one attempt.
pub const TIMEOUT_MS: (u64, u64) = (1_000, 24 * 3_600_000);
/// Time before the first retry.
pub const BACKOFF_MS: (u64, u64) = (0, 3_600_000);
/// Tries after the first one.
pub const MAX_RETRIES: u32 = 20;
/// Tasks at once, of a DAG or a job.
pub const CONCURRENCY: (u32, u32) = (1, 100_000);
/// Tasks of a rate.
pub const RATE_TASKS: (u32, u32) = (1, 100_000);
/// Bytes that one attempt may exchange with one destination, in both directions together.
pub const EGRESS_BYTES: (u64, u64) = (1 << 10, 1 << 40);
/// Requests and tunnels of one attempt to one destination.
pub const EGRESS_REQUESTS: (u32, u32) = (1, 1_000_000);
/// Priority of a DAG or a job.
pub const PRIORITY: (i16, i16) = (-100, 100);

/// What an attempt gets when the job does not say.
pub const RESOURCES: Resources =
    Resources { cpu_millis: 1_000, memory_bytes: 512 << 20, disk_bytes: 256 << 20 };
/// How long an attempt may take when the job does not say.
pub const TIMEOUT_DEFAULT_MS: u64 = 5 * 60_000;
/// What happens after a failure when the job does not say.
pub const RETRIES: Retries = Retries { max: 3, backoff_ms: 2_000 };
/// Bytes to one destination when the job does not say.
pub const EGRESS_BYTES_DEFAULT: u64 = 10 << 20;
/// Requests to one destination when the job does not say.
pub const EGRESS_REQUESTS_DEFAULT: u32 = 100;
/// The priority when neither job nor DAG says.
pub const PRIORITY_DEFAULT: i16 = 0;
