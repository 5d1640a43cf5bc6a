//! The calls of ECS that the launcher makes, and what it makes of their answers.

use std::time::Duration;

use aws_sdk_ecs::{
    Client,
    types::{
        AssignPublicIp, AwsVpcConfiguration, ContainerOverride, DesiredStatus, EphemeralStorage,
        KeyValuePair, LaunchType, NetworkConfiguration, Task, TaskOverride,
    },
};
use trace_aws::{Failure, Patience};
use trace_contracts::{AttemptId, LaunchTicket};

use super::{config::Config, size::Size};

/// Launching is tried again by the launcher itself, at its rate.
const PATIENCE: Patience =
    Patience { attempt: Duration::from_secs(20), operation: Duration::from_secs(60), tries: 3 };
/// Tasks in one description.
pub(super) const DESCRIBED: usize = 100;
/// Pages of a listing that are read: ten thousand tasks.
const PAGES: usize = 100;
/// Where the runner finds its ticket.
const TICKET: &str = "TRACE_LAUNCH_TICKET";

/// The ARN of a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TaskArn(pub(super) String);

/// Why no task was started.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] Failure),
    /// ECS has answered and started nothing.
    #[error("ECS has started no task: {0}")]
    Placement(String),
}

impl NotStarted {
    /// Whether it may go better in a while.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Call(failure) => failure.is_passing(),
            // Capacity is what a placement fails for; what is wrong with the request is an error of the call.
            Self::Placement(_) => true,
        }
    }
}

/// ECS, for one cluster.
#[derive(Debug, Clone)]
pub(super) struct Ecs {
    client: Client,
    config: Config,
}

impl Ecs {
    pub(super) fn new(config: &Config) -> Self {
        Self { client: Client::new(&config.aws.sdk(PATIENCE)), config: config.clone() }
    }

    /// Starts the task of an attempt. The same ticket again starts no second one.
    pub(super) async fn run(
        &self,
        attempt: AttemptId,
        ticket: &LaunchTicket,
        size: Size,
    ) -> Result<TaskArn, NotStarted> {
        let call = self
            .client
            .run_task()
            .cluster(&self.config.cluster)
            .task_definition(&self.config.task_definition)
            .launch_type(LaunchType::Fargate)
            .count(1)
            .enable_execute_command(false)
            // One for each ticket, and a ticket is the attempt's: at most 64 characters.
            .client_token(format!("{attempt}-{}", &ticket.sha256().to_string()[..32]))
            .started_by(self.config.started_by(&attempt.to_string()))
            .network_configuration(self.network()?)
            .overrides(self.overrides(ticket, size));
        let answer = call.send().await.map_err(|error| Failure::of("ECS", "RunTask", &error))?;
        if let Some(arn) = answer.tasks().first().and_then(Task::task_arn) {
            return Ok(TaskArn(arn.to_owned()));
        }
        let why = answer.failures().first().and_then(|failure| failure.reason()).unwrap_or("no reason given");
        Err(NotStarted::Placement(why.chars().take(300).collect()))
    }

    fn network(&self) -> Result<NetworkConfiguration, Failure> {
        let vpc = AwsVpcConfiguration::builder()
            .set_subnets(Some(self.config.subnets.clone()))
            .set_security_groups(Some(self.config.security_groups.clone()))
            .assign_public_ip(AssignPublicIp::Disabled)
            .build()
            .map_err(|error| Failure::unreadable("ECS", "RunTask", &error.to_string()))?;
        Ok(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
    }

    /// The size of the job and its ticket. Whoever may describe tasks can read this.
    fn overrides(&self, ticket: &LaunchTicket, size: Size) -> TaskOverride {
        let runner = ContainerOverride::builder()
            .name(&self.config.container)
            .memory(i32::try_from(size.container_memory).unwrap_or(i32::MAX))
            .environment(KeyValuePair::builder().name(TICKET).value(ticket.expose()).build())
            .build();
        TaskOverride::builder()
            .cpu(size.cpu.to_string())
            .memory(size.memory.to_string())
            .ephemeral_storage(
                EphemeralStorage::builder()
                    .size_in_gib(i32::try_from(size.storage).unwrap_or(i32::MAX))
                    .build(),
            )
            .container_overrides(runner)
            .build()
    }

    /// Describes tasks, a hundred at most. What ECS knows nothing of is left out.
    pub(super) async fn describe(&self, tasks: &[TaskArn]) -> Result<Vec<Task>, Failure> {
        let arns = tasks.iter().map(|task| task.0.clone()).collect();
        let call = self.client.describe_tasks().cluster(&self.config.cluster).set_tasks(Some(arns));
        let answer = call.send().await.map_err(|error| Failure::of("ECS", "DescribeTasks", &error))?;
        Ok(answer.tasks.unwrap_or_default())
    }

    /// Stops a task. One that has stopped stays so.
    pub(super) async fn stop(&self, task: &TaskArn, why: &str) -> Result<(), Failure> {
        let call = self.client.stop_task().cluster(&self.config.cluster).task(&task.0).reason(why);
        call.send().await.map_err(|error| Failure::of("ECS", "StopTask", &error))?;
        Ok(())
    }

    /// Every task of the task definition that is to run.
    pub(super) async fn list(&self) -> Result<Vec<TaskArn>, Failure> {
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            let call = self.client.list_tasks().cluster(&self.config.cluster).set_next_token(next);
            let call = call.family(self.config.family()).desired_status(DesiredStatus::Running);
            let page = call.send().await.map_err(|error| Failure::of("ECS", "ListTasks", &error))?;
            found.extend(page.task_arns.unwrap_or_default().into_iter().map(TaskArn));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// The attempt that a task was started for, by this platform.
    pub(super) fn attempt_of(&self, task: &Task) -> Option<AttemptId> {
        let started_by = task.started_by()?;
        started_by.strip_prefix(&self.config.platform)?.strip_prefix('/')?.parse().ok()
    }

    /// The runner's container.
    pub(super) fn container(&self) -> &str {
        &self.config.container
    }
}
