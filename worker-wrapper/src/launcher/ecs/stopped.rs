//! Why a task has stopped that did not report its end: what ECS says, and what it means.
//!
//! What the code can bring about by itself counts as its failure, also where it takes the runner along. What
//! only ECS can say, and only about itself, is the platform's.

use aws_sdk_ecs::types::{Container, Task, TaskStopCode};

use crate::launcher::{Error, Exit, remote::SILENT};

/// What ECS says of a task that has stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stopped {
    /// The kind of reason.
    pub code: String,
    /// For people.
    pub reason: String,
    /// What the runner exited with.
    pub exit_code: Option<i32>,
    /// Why its container stopped, for people.
    pub container_reason: String,
}

/// Signals as a container's exit code has them.
const SIGNALS: i32 = 128;

impl Stopped {
    /// Reads the task's description.
    pub(super) fn of(task: &Task, container: &str) -> Self {
        let named = |one: &&Container| one.name() == Some(container);
        let runner = task.containers().iter().find(named);
        Self {
            code: task.stop_code().map(TaskStopCode::as_str).unwrap_or_default().to_owned(),
            reason: task.stopped_reason().unwrap_or_default().to_owned(),
            exit_code: runner.and_then(Container::exit_code),
            container_reason: runner.and_then(Container::reason).unwrap_or_default().to_owned(),
        }
    }

    /// How the attempt ended.
    ///
    /// # Errors
    /// When it is the platform's fault.
    pub(super) fn explain(&self, memory_limit: u64) -> Result<Exit, Error> {
        let said = format!("{} {}", self.reason, self.container_reason);
        let ours = |what: &str| Err(Error::Machine(format!("{what} (ECS says: {})", said.trim())));
        if said.contains("OutOfMemory") {
            return Ok(Exit::Memory { limit: memory_limit });
        }
        match (self.code.as_str(), self.exit_code) {
            ("EssentialContainerExited", Some(0)) => Ok(Exit::Status(SILENT)),
            ("EssentialContainerExited", Some(code)) if code > SIGNALS => Ok(Exit::Signal(code - SIGNALS)),
            ("EssentialContainerExited", Some(code)) => Ok(Exit::Status(code)),
            ("SpotInterruption" | "TerminationNotice", _) => {
                ours("Fargate has taken the capacity back that the task ran on; it runs again")
            }
            ("UserInitiated", _) => ours("somebody stopped the task in ECS"),
            _ => ours(advice(&said)),
        }
    }
}

/// What to do about a task that did not get as far as its runner.
fn advice(said: &str) -> &'static str {
    let table = [
        (
            "CannotPullContainer",
            "the runner's image can't be pulled: check the image in the task definition, the execution role, and the endpoints of ECR and S3",
        ),
        ("pull image", "the runner's image can't be pulled: check the image in the task definition"),
        (
            "Capacity is unavailable",
            "Fargate has no capacity in these subnets' zones just now; it is tried again",
        ),
        (
            "network interface",
            "the task got no network: check free addresses in the subnets and the account's limit on interfaces",
        ),
        (
            "ResourceInitializationError",
            "Fargate could not prepare the task: check the endpoints that it needs and the execution role",
        ),
        (
            "CannotStartContainer",
            "the runner could not be started: check the image's platform and entry point",
        ),
        (
            "CannotCreateContainer",
            "the runner could not be started: check the task definition's volumes and user",
        ),
        ("imeout", "the task took too long to start: look at its description in ECS"),
    ];
    let found = table.iter().find(|(words, _)| said.contains(words));
    found.map_or("the task stopped before its runner reported an end", |(_, advice)| advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 512 << 20;

    fn stopped(code: &str, reason: &str, exit_code: Option<i32>, container: &str) -> Result<Exit, String> {
        let stopped = Stopped {
            code: code.to_owned(),
            reason: reason.to_owned(),
            exit_code,
            container_reason: container.to_owned(),
        };
        stopped.explain(LIMIT).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_code_can_bring_about_counts_as_its_failure() {
        let exited = "Essential container in task exited";
        let essential = "EssentialContainerExited";
        let memory = "OutOfMemoryError: Container killed due to memory usage";
        for (exit_code, container, expected) in [
            (Some(137), memory, Exit::Memory { limit: LIMIT }),
            (Some(137), "", Exit::Signal(9)),
            (Some(139), "", Exit::Signal(11)),
            (Some(1), "", Exit::Status(1)),
            (Some(0), "", Exit::Status(SILENT)),
        ] {
            assert_eq!(stopped(essential, exited, exit_code, container).unwrap(), expected);
        }
    }

    #[test]
    fn what_ecs_says_of_itself_is_ours_and_says_what_to_do() {
        let table = [
            (
                "TaskFailedToStart",
                "CannotPullContainerError: pull image manifest has been retried 5 times",
                "endpoints of ECR",
            ),
            (
                "TaskFailedToStart",
                "Capacity is unavailable at this time. Please try again later",
                "no capacity",
            ),
            (
                "TaskFailedToStart",
                "Timeout waiting for network interface provisioning to complete.",
                "free addresses",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth",
                "execution role",
            ),
            ("TaskFailedToStart", "CannotStartContainerError: exec format error", "entry point"),
            ("TaskFailedToStart", "CannotCreateContainerError: volume", "volumes"),
            ("TaskFailedToStart", "Timeout: the task took longer than 3m", "too long"),
            ("SpotInterruption", "Your Spot Task was interrupted.", "runs again"),
            ("TerminationNotice", "a maintenance event", "runs again"),
            ("UserInitiated", "Task stopped by user", "somebody"),
            ("", "", "before its runner"),
            ("EssentialContainerExited", "it never started", "before its runner"),
            ("ANewCode", "of the future", "before its runner"),
        ];
        for (code, reason, advice) in table {
            let error = stopped(code, reason, None, "").unwrap_err();
            assert!(error.contains(advice) && error.contains(reason), "{code} {reason}: {error}");
        }
    }
}
