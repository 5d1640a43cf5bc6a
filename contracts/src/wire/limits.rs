//! `/v1/limits`: what an org may use at most.

use serde::{Deserialize, Serialize};

/// Limits of an org, set by its admins (`PUT /v1/limits`); absent is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgLimits {
    /// Tasks that are ready or running at once.
    #[serde(default)]
    pub tasks_at_once: Option<u32>,
    /// Runs that start in any hour.
    #[serde(default)]
    pub runs_an_hour: Option<u32>,
    /// Tasks that are due, held back or wait for their next try. A run that would pass it is not started.
    #[serde(default)]
    pub queued_tasks: Option<u32>,
}

/// The bounds of numbers of tasks in [`OrgLimits`].
pub const TASKS: (u32, u32) = (1, 1_000_000);
/// The bounds of numbers of runs in [`OrgLimits`].
pub const RUNS: (u32, u32) = (1, 10_000);

/// What is in use of the limits of an org.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct OrgUse {
    /// Tasks that count under the limit; absent when there has never been one.
    pub tasks_at_once: Option<u64>,
    /// Runs of the last hour.
    pub runs_last_hour: u64,
    /// Tasks that are due, held back or wait for their next try.
    pub queued_tasks: u64,
}

/// `GET /v1/limits`, and the answer of `PUT /v1/limits`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LimitsInfo {
    /// What is set.
    pub limits: OrgLimits,
    /// What is in use.
    pub in_use: OrgUse,
}
