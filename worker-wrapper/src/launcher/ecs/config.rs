//! What an operator says about ECS.

use std::{num::NonZeroU32, time::Duration};

use serde::Deserialize;
use trace_aws::Aws;

/// Where attempts are started, and as what.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where ECS is.
    pub aws: Aws,
    /// The cluster's name or ARN.
    pub cluster: String,
    /// The family of the task definition, which has no task role: the newest revision is started.
    pub task_definition: String,
    /// The container in it that is the runner.
    #[serde(default = "default_container")]
    pub container: String,
    /// Isolated subnets.
    pub subnets: Vec<String>,
    /// Groups that reach the platform's listeners for tasks and nothing else.
    pub security_groups: Vec<String>,
    /// Tells the tasks of this platform from those of another in the same cluster; a few letters.
    #[serde(default = "default_platform")]
    pub platform: String,
    /// Tasks started in a second, by this worker. Fargate allows 20 an account, unless it was asked for more.
    #[serde(default = "default_rate")]
    pub launches_per_second: NonZeroU32,
    /// How often the tasks that run are described, in milliseconds: a hundred in one call.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// How often tasks are looked for whose attempt is over, in milliseconds.
    #[serde(default = "default_sweep_ms")]
    pub sweep_ms: u64,
}

impl Config {
    /// What ECS is told of who started a task.
    pub(super) fn started_by(&self, attempt: &str) -> String {
        format!("{}/{attempt}", self.platform)
    }

    /// The family, without a revision or an ARN around it.
    pub(super) fn family(&self) -> &str {
        let name = self.task_definition.rsplit('/').next().unwrap_or_default();
        name.split(':').next().unwrap_or_default()
    }

    /// How often the tasks that run are described.
    pub(super) const fn poll(&self) -> Duration {
        Duration::from_millis(if self.poll_ms < 100 { 100 } else { self.poll_ms })
    }

    /// How often tasks are looked for whose attempt is over.
    pub(super) const fn sweep(&self) -> Duration {
        Duration::from_millis(if self.sweep_ms < 1000 { 1000 } else { self.sweep_ms })
    }
}

fn default_container() -> String {
    "runner".to_owned()
}

fn default_platform() -> String {
    "trace".to_owned()
}

const fn default_rate() -> NonZeroU32 {
    NonZeroU32::new(10).expect("not zero")
}

const fn default_poll_ms() -> u64 {
    5_000
}

const fn default_sweep_ms() -> u64 {
    120_000
}
