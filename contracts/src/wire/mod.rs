//! Bodies on the wire. Every request body refuses fields that it does not know; replies may grow.

pub mod authority;
pub mod delivery;
pub mod egress;
pub mod lambda;
pub mod launch;
pub mod limits;
pub mod plane;
pub mod queue;
pub mod task;
pub mod user;
pub mod webhook;
pub mod why;
pub mod worker;

/// Headers that are part of the protocol.
pub mod header {
    /// Makes a trigger safe to repeat: the same key answers the same run.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// Rows in a query's reply.
    pub const ROWS: &str = "trace-rows";
}

/// Bounds of what a body may hold; the same on both ends.
pub mod limit {
    /// A DAG's YAML: 10,000 jobs with a few hundred bytes each.
    pub const DAG_YAML_BYTES: usize = 4 * 1024 * 1024;
    /// A JSON body that is neither a deploy nor a blob.
    pub const JSON_BODY_BYTES: usize = 4 * 1024 * 1024;
    /// The body of a deploy: the YAML with its line ends and quotes escaped, and the blobs' hashes.
    pub const DEPLOY_BODY_BYTES: usize = 8 * 1024 * 1024;
    /// One blob: a bundle or an input file.
    pub const BLOB_BYTES: u64 = 1024 * 1024 * 1024;
    /// One SQL statement.
    pub const SQL_BYTES: usize = 64 * 1024;
    /// One task's checkpoint.
    pub const CHECKPOINT_BYTES: usize = 64 * 1024;
    /// The body of one delivery that a task sends, as JSON.
    pub const TASK_DELIVERY_BYTES: usize = 64 * 1024;
    /// Deliveries of one task, over all of its attempts.
    pub const DELIVERIES_PER_TASK: u32 = 100;
    /// Deliveries that one claim of a gateway answers.
    pub const CLAIMED_DELIVERIES: u32 = 64;
    /// Webhooks of an org.
    pub const WEBHOOKS: u32 = 100;
    /// Items in one batch of the worker API.
    pub const BATCH_ITEMS: usize = 500;
    /// Attempts in one liveness request.
    pub const LIVENESS_ATTEMPTS: usize = 10_000;
    /// The longest that any request may ask to wait, in milliseconds.
    pub const WAIT_MS: u64 = 30_000;
    /// Events in one report of a runner.
    pub const REPORT_EVENTS: usize = 64;
    /// What one event of a runner may hold of what the code printed, before it is encoded.
    pub const PRINTED_BYTES: usize = 16 * 1024;
    /// What the runner of one attempt may report in all, as it is kept: what it may log, encoded, and some.
    pub const REPORTED_BYTES_PER_ATTEMPT: u64 = 4 * 1024 * 1024;
    /// What one attempt may log in all.
    pub const LOG_BYTES_PER_ATTEMPT: usize = 1024 * 1024;
}
