//! ECS as moto has it: tasks are written down and never run. The test stands in for the agent that runs them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use aws_sdk_ecs::{
    Client,
    types::{Compatibility, ContainerDefinition, NetworkMode, Task},
};
use tokio_util::task::AbortOnDropHandle;
use trace_aws::Aws;
use trace_worker_wrapper::launcher::ecs::Config;
use url::Url;

use crate::{
    PATIENCE, REGION,
    container::{Container, Image, Writable},
    emulator::reached_at,
};

/// Says where moto is.
const VARIABLE: &str = "TRACE_TEST_MOTO";
/// The family of the runner's task definition.
const FAMILY: &str = "trace-udf";

/// A cluster in moto.
#[derive(Clone)]
pub struct Moto {
    endpoint: Url,
    /// ECS, for the test itself.
    pub client: Client,
    /// The cluster's name.
    pub cluster: String,
    subnet: String,
}

impl Moto {
    /// A new cluster in the moto that the script has started.
    ///
    /// # Errors
    /// When moto does not do what it is asked.
    ///
    /// # Panics
    /// When there is none: nothing here is skipped for want of it.
    #[expect(clippy::disallowed_methods, reason = "it is said in the environment, for tests alone")]
    pub async fn here() -> anyhow::Result<Self> {
        let endpoint = std::env::var(VARIABLE).unwrap_or_else(|_| {
            panic!("{VARIABLE} does not say where moto is: run `make localstack`, which starts one")
        });
        let endpoint: Url = endpoint.parse()?;
        let client = Client::new(&reached_at(&endpoint).sdk(PATIENCE));
        let cluster = format!("trace-{}", uuid::Uuid::new_v4().simple());
        client.create_cluster().cluster_name(&cluster).send().await?;
        let runner = ContainerDefinition::builder().name("runner").image("runner").essential(true);
        // moto adds up what containers ask for.
        let runner = runner.cpu(256).memory(512).build();
        let register = client.register_task_definition().family(FAMILY).cpu("256").memory("512");
        let register = register.network_mode(NetworkMode::Awsvpc).container_definitions(runner);
        register.requires_compatibilities(Compatibility::Fargate).send().await?;
        tasks_stay_as_they_are(&endpoint).await?;
        let subnet = subnet(&endpoint).await?;
        Ok(Self { endpoint, client, cluster, subnet })
    }

    /// How it is reached.
    #[must_use]
    pub fn aws(&self) -> Aws {
        reached_at(&self.endpoint)
    }

    /// What a worker is told of it.
    ///
    /// # Errors
    /// When that is no configuration.
    pub fn config(&self) -> anyhow::Result<Config> {
        Ok(serde_json::from_value(serde_json::json!({
            "aws": {
                "region": REGION, "endpoint": self.endpoint.as_str(),
                "keys": { "access_key_id": "test", "secret_access_key": "test" },
            },
            "cluster": self.cluster, "task_definition": FAMILY,
            "subnets": [self.subnet], "security_groups": [],
            "poll_ms": 200, "sweep_ms": 1000,
        }))?)
    }

    /// All tasks of the cluster, in whatever state.
    ///
    /// # Errors
    /// When moto fails.
    pub async fn tasks(&self) -> anyhow::Result<Vec<Task>> {
        let mut arns = Vec::new();
        for status in [aws_sdk_ecs::types::DesiredStatus::Running, aws_sdk_ecs::types::DesiredStatus::Stopped]
        {
            let listed =
                self.client.list_tasks().cluster(&self.cluster).desired_status(status).send().await?;
            arns.extend(listed.task_arns.unwrap_or_default());
        }
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let described =
            self.client.describe_tasks().cluster(&self.cluster).set_tasks(Some(arns)).send().await?;
        Ok(described.tasks.unwrap_or_default())
    }
}

/// Left to itself, moto moves a task on towards its end each time that it is described.
async fn tasks_stay_as_they_are(endpoint: &Url) -> anyhow::Result<()> {
    let transition = serde_json::json!({ "progression": "manual", "times": 1_000_000 });
    let body = serde_json::json!({ "model_name": "ecs::task", "transition": transition });
    let http = reqwest::Client::builder().no_proxy().build()?;
    let call = http.post(endpoint.join("moto-api/state-manager/set-transition")?).json(&body);
    call.send().await?.error_for_status()?;
    Ok(())
}

/// One of the subnets that moto's account has from the start. Asked without a client of EC2, which takes minutes
/// to compile.
async fn subnet(endpoint: &Url) -> anyhow::Result<String> {
    let credential = format!("Credential=test/20200101/{REGION}/ec2/aws4_request");
    let authorization = format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none");
    let http = reqwest::Client::builder().no_proxy().build()?;
    let call = http.post(endpoint.clone()).header("authorization", authorization);
    let call = call.header("content-type", "application/x-www-form-urlencoded");
    let answer = call.body("Action=DescribeSubnets&Version=2016-11-15").send().await?.text().await?;
    let after = answer.split_once("<subnetId>").with_context(|| format!("no subnet: {answer}"))?.1;
    Ok(after.split('<').next().unwrap_or_default().to_owned())
}

/// The variables that each task was given by the launcher, by the task's ARN.
type Seen = Arc<Mutex<HashMap<String, Vec<(String, String)>>>>;

/// Runs the tasks of a cluster as containers of this machine.
pub struct Agent {
    seen: Seen,
    _running: AbortOnDropHandle<()>,
}

impl Agent {
    /// Runs what is started, from now on, with these addresses in reach: of the dispatcher's listener for tasks, the
    /// query service, and the object store.
    #[must_use]
    pub fn start(moto: &Moto, image: Image, reachable: [SocketAddr; 3]) -> Self {
        let seen = Seen::default();
        let run = run(moto.clone(), image, reachable, Arc::clone(&seen));
        Self { seen, _running: AbortOnDropHandle::new(tokio::spawn(run)) }
    }

    /// The variables that each task was given by the launcher, by the task's ARN.
    #[must_use]
    pub fn seen(&self) -> HashMap<String, Vec<(String, String)>> {
        lock(&self.seen).clone()
    }
}

/// Starts a container for each task that is to run, for ever.
async fn run(moto: Moto, image: Image, reachable: [SocketAddr; 3], seen: Seen) {
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(100));
    let mut containers = tokio::task::JoinSet::new();
    loop {
        looks.tick().await;
        let Ok(tasks) = moto.tasks().await else { continue };
        for task in tasks.iter().filter(|task| task.desired_status() == Some("RUNNING")) {
            let arn = task.task_arn().unwrap_or_default().to_owned();
            let given = overridden(task);
            if lock(&seen).insert(arn.clone(), given.clone()).is_none() {
                containers.spawn(live(moto.clone(), arn, image.clone(), given, reachable));
            }
        }
        while containers.try_join_next().is_some() {}
    }
}

/// One task, from its start to its end.
async fn live(
    moto: Moto,
    arn: String,
    image: Image,
    given: Vec<(String, String)>,
    reachable: [SocketAddr; 3],
) {
    let named = ["TRACE_TASK_API", "TRACE_QUERY", "TRACE_OBJECT_STORE"].into_iter().zip(reachable);
    let of_definition = named.map(|(name, at)| (name.to_owned(), format!("http://{at}/")));
    let variables: Vec<(String, String)> = of_definition.chain(given).collect();
    match image.start(Writable::Volumes, &variables, &reachable).await {
        Ok(container) => stay(&moto, &arn, container).await,
        Err(error) => eprintln!("a container did not start: {error:#}"),
    }
}

/// Until the container has ended, or its task is stopped.
async fn stay(moto: &Moto, arn: &str, mut container: Container) {
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(200));
    loop {
        tokio::select! {
            _ended = container.ended() => return,
            _ = looks.tick() => {
                let tasks = moto.tasks().await.unwrap_or_default();
                let is_stopped = |task: &Task| task.task_arn() == Some(arn) && task.desired_status() == Some("STOPPED");
                if tasks.iter().any(is_stopped) {
                    container.terminate();
                }
            }
        }
    }
}

fn overridden(task: &Task) -> Vec<(String, String)> {
    let containers = task.overrides().map(|overrides| overrides.container_overrides()).unwrap_or_default();
    let variables = containers.iter().flat_map(|container| container.environment());
    let pair = |variable: &aws_sdk_ecs::types::KeyValuePair| {
        (variable.name().unwrap_or_default().to_owned(), variable.value().unwrap_or_default().to_owned())
    };
    variables.map(pair).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
