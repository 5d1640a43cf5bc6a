//! Runtimes: each has a queue, a task is announced in that of its own, and nobody takes what was announced to others.
//! Nothing is sent here: SQS is where nobody listens.

use std::collections::BTreeMap;

use trace_contracts::{ErrorCode, Role, RunId, Runtime, TaskId, wire::worker::ClaimRequest};
use trace_dispatcher::{
    dag::spec::JobSpec,
    queue::{
        Source,
        sqs::{Config, Queues},
    },
};

use crate::{
    support::{
        Platform,
        app::{TestApp, problem as problem_of},
        dags::{job, spec},
        platform::Options,
        wire::{claiming, problem},
    },
    user_deploy::ONE_JOB,
};

async fn platform(queues: Queues) -> Platform {
    let aws = serde_json::json!({
        "region": "eu-west-1", "endpoint": "http://127.0.0.1:1",
        "keys": { "access_key_id": "a", "secret_access_key": "b" },
    });
    let config = Config { aws: serde_json::from_value(aws).unwrap(), queues, resend_after_seconds: 3_600 };
    Platform::with(Options { wake_ups: Source::Sqs(Box::new(config)), ..Options::default() }).await
}

fn two() -> Queues {
    let address = |runtime: Runtime| (runtime, format!("http://127.0.0.1:1/1/{runtime}"));
    let addresses = [Runtime::Process, Runtime::Lambda].map(address);
    Queues::new(BTreeMap::from(addresses), Some(Runtime::Process)).unwrap()
}

fn asking(name: &str, runtime: Option<Runtime>) -> JobSpec {
    JobSpec { runtime, ..job(name) }
}

/// Tasks by what they ask for: nothing, processes, Lambda, and what nobody offers.
async fn run(platform: &Platform) -> (RunId, [TaskId; 4]) {
    let jobs = vec![
        asking("a", None),
        asking("b", Some(Runtime::Process)),
        asking("c", Some(Runtime::Lambda)),
        asking("d", Some(Runtime::EcsUdf)),
    ];
    let run = platform.run(spec("d", jobs)).await;
    (run, [0, 1, 2, 3].map(|place| TaskId::in_run(run, place).unwrap()))
}

fn of(runtime: Runtime, tasks: &[TaskId]) -> ClaimRequest {
    ClaimRequest { tasks: Some(tasks.to_vec()), runtime: Some(runtime), ..claiming(10) }
}

async fn claimed(platform: &Platform, request: &ClaimRequest) -> Vec<TaskId> {
    platform.claim_as(request).await.iter().map(|lease| lease.launch.task).collect()
}

#[tokio::test]
async fn a_task_is_announced_in_the_queue_of_its_runtime() {
    let platform = platform(two()).await;
    let (_, [plain, process, lambda, other]) = run(&platform).await;
    let rows: Vec<(i64, String)> = sqlx::query_as("select task_id, runtime from outbox order by task_id")
        .fetch_all(&platform.db)
        .await
        .unwrap();
    let expected = [(plain, "process"), (process, "process"), (lambda, "lambda"), (other, "process")];
    assert_eq!(rows, expected.map(|(task, runtime)| (task.get(), runtime.to_owned())));
}

#[tokio::test]
async fn a_worker_is_given_tasks_of_the_runtime_that_it_launches_and_no_others() {
    let platform = platform(two()).await;
    let (run, tasks) = run(&platform).await;
    // Somebody has named them all in both queues, one of a run that there never was, and one that no DAG lists.
    let nowhere = TaskId::in_run(RunId::from_db(run.get() + 1_000), 0).unwrap();
    let all = [tasks.to_vec(), vec![nowhere, TaskId::in_run(run, 400).unwrap()]].concat();
    assert_eq!(claimed(&platform, &of(Runtime::Lambda, &all)).await, [tasks[2]]);
    // One that does not say launches processes.
    let silent = ClaimRequest { runtime: None, ..of(Runtime::Process, &all) };
    assert_eq!(claimed(&platform, &silent).await, [tasks[0], tasks[1], tasks[3]]);
}

#[tokio::test]
async fn a_worker_that_nothing_is_announced_to_is_told_so() {
    let platform = platform(two()).await;
    let refused = problem(platform.post("/internal/claim", &of(Runtime::EcsUdf, &[])).await).await;
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(
        refused.detail.contains("`ecs_udf`") && refused.detail.contains("`process`, `lambda`"),
        "{refused:?}"
    );
    // Whatever is ready may be others'.
    let any = ClaimRequest { runtime: Some(Runtime::Lambda), ..claiming(10) };
    let refused = problem(platform.post("/internal/claim", &any).await).await;
    assert!(refused.detail.contains("queue of `lambda`"), "{refused:?}");
}

#[tokio::test]
async fn where_there_is_one_queue_its_workers_take_everything_and_others_nothing() {
    let queue = Queues::only(Runtime::Lambda, "http://127.0.0.1:1/1/lambda".to_owned());
    let platform = platform(queue).await;
    let (_, tasks) = run(&platform).await;
    let refused = problem(platform.post("/internal/claim", &of(Runtime::EcsUdf, &tasks)).await).await;
    assert!(refused.detail.contains("queues for `lambda`"), "{refused:?}");
    assert_eq!(claimed(&platform, &of(Runtime::Lambda, &tasks)).await, tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dag_that_asks_for_what_is_not_offered_is_not_deployed() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let asking =
        |runtime: &str| ONE_JOB.replace("partitions:", &format!("runtime: {runtime}\n    partitions:"));
    writer.deploy(&asking("process")).await;
    let refused = problem_of(writer.try_deploy(&asking("lambda"), b"x").await).await;
    assert_eq!(refused.code, ErrorCode::InvalidDag);
    let message = &refused.errors[0].message;
    assert!(message.contains("`lambda` is not offered here: use one of `process`"), "{message}");
}
