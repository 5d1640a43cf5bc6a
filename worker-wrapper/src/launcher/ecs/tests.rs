//! What moto does not do: tasks that stop by themselves, throttling, lost replies. ECS and the dispatcher are one
//! server here, which answers as the test says and remembers what it was asked.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};
use trace_contracts::{LeaseToken, Secret, TaskId, wire::worker::Resources};
use trace_plane::Trust;
use trace_surface::Program;

use super::*;
use crate::launcher::{Ended, Exit};

const LONG: Duration = Duration::from_secs(30);

/// ECS and the dispatcher.
#[derive(Default)]
struct Server {
    script: Mutex<Script>,
    asked: Mutex<Vec<(String, Value)>>,
    news: watch::Sender<()>,
}

#[derive(Default)]
struct Script {
    /// What `RunTask` answers before it starts anything.
    refusals: VecDeque<(u16, &'static str)>,
    /// `RunTask` answers once this is true.
    is_slow: bool,
    /// How `DescribeTasks` describes the task.
    task: Value,
    /// What the runner has reported, once.
    events: Value,
    is_redeemed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    fn calls(&self, name: &str) -> Vec<Value> {
        lock(&self.asked).iter().filter(|(asked, _)| asked == name).map(|(_, body)| body.clone()).collect()
    }

    async fn called(&self, name: &str) {
        let mut news = self.news.subscribe();
        let waiting = async {
            while self.calls(name).is_empty() {
                news.changed().await.unwrap();
            }
        };
        timeout(LONG, waiting).await.unwrap();
    }
}

async fn answer(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()?.split('.').nth(1));
    let name = target.unwrap_or(uri.path()).to_owned();
    lock(&server.asked).push((name.clone(), serde_json::from_slice(&body).unwrap_or_default()));
    server.news.send_replace(());
    let reply = match name.as_str() {
        "RunTask" => {
            if let Some((status, code)) = lock(&server.script).refusals.pop_front() {
                let status = StatusCode::from_u16(status).unwrap();
                return (status, Json(json!({ "__type": code, "message": "for a reason" }))).into_response();
            }
            if lock(&server.script).is_slow {
                server.called("/go").await;
            }
            json!({ "tasks": [{ "taskArn": "arn:task/1" }], "failures": [] })
        }
        "DescribeTasks" => json!({ "tasks": [lock(&server.script).task.clone()], "failures": [] }),
        "ListTasks" => json!({ "taskArns": [] }),
        "/internal/launch/ticket" => json!({
            "ticket": LaunchTicket::random(), "expires_at": "2030-01-01T00:00:00Z", "valid_ms": 60_000,
        }),
        "/internal/launch/watch" => {
            let (stage, events) = {
                let mut script = lock(&server.script);
                (if script.is_redeemed { "redeemed" } else { "ticketed" }, script.events.take())
            };
            if events.is_null() && stage == "ticketed" {
                server.called("/never").await;
            }
            json!({ "stage": stage, "events": if events.is_null() { json!([]) } else { events } })
        }
        _ => json!({}),
    };
    Json(reply).into_response()
}

async fn scene(script: Script) -> (Arc<Server>, EcsLauncher) {
    let server = Arc::new(Server { script: Mutex::new(script), ..Server::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config: Config = serde_json::from_value(json!({
        "aws": {
            "region": "eu-west-1", "endpoint": address,
            "keys": { "access_key_id": "a", "secret_access_key": "b" },
        },
        "cluster": "c", "task_definition": "udf", "subnets": ["subnet-1"], "security_groups": ["sg-1"],
        "poll_ms": 100,
    }))
    .unwrap();
    let dispatcher =
        Dispatcher::new(address.parse().unwrap(), Secret::new("worker".to_owned()), &Trust::default());
    (server, EcsLauncher::start(&config, dispatcher))
}

fn order() -> Order {
    let fence = Fence {
        task: TaskId::from_db(1 << 20),
        attempt: AttemptId::from_db(40),
        lease_token: LeaseToken::random(),
    };
    Order {
        lease: Some(fence),
        program: Program::Python,
        bundle: None,
        files: None,
        inputs: None,
        env: Vec::new(),
        resources: Resources { cpu_millis: 250, memory_bytes: 256 << 20, disk_bytes: 1 << 20 },
        timeout: Duration::from_secs(60),
        egress: None,
    }
}

fn stopped(code: &str, reason: &str, container: Value) -> Value {
    json!({
        "taskArn": "arn:task/1", "lastStatus": "STOPPED", "stopCode": code, "stoppedReason": reason,
        "containers": [container],
    })
}

async fn end(launcher: &EcsLauncher) -> Result<Ended, Error> {
    timeout(LONG, launcher.launch(order()).await.unwrap().ended).await.unwrap()
}

#[tokio::test]
async fn a_task_that_stops_without_a_word_is_explained() {
    let pull =
        stopped("TaskFailedToStart", "CannotPullContainerError: not found", json!({ "name": "runner" }));
    let (_server, launcher) = scene(Script { task: pull, ..Script::default() }).await;
    let Err(Error::Machine(why)) = end(&launcher).await else { panic!("it is not the code's fault") };
    assert!(why.contains("execution role") && why.contains("not found"), "{why}");

    let container = json!({ "name": "runner", "exitCode": 137, "reason": "OutOfMemoryError: killed" });
    let memory = stopped("EssentialContainerExited", "Essential container in task exited", container);
    let (_server, launcher) = scene(Script { task: memory, ..Script::default() }).await;
    assert_eq!(end(&launcher).await.unwrap().exit, Exit::Memory { limit: 256 << 20 });
}

#[tokio::test]
async fn what_the_runner_reports_comes_before_what_ecs_says_and_the_task_is_stopped() {
    let running = json!({ "taskArn": "arn:task/1", "lastStatus": "RUNNING" });
    let events = json!([
        { "event": "printed", "stream": "stdout", "bytes": "aGVsbG8K" },
        { "event": "ended", "how": { "how": "status", "status": 3 } },
    ]);
    let script = Script { task: running, events, is_redeemed: true, ..Script::default() };
    let (server, launcher) = scene(script).await;
    assert_eq!(end(&launcher).await.unwrap().exit, Exit::Status(3));
    server.called("StopTask").await;
    let run = &server.calls("RunTask")[0];
    assert_eq!((&run["startedBy"], &run["launchType"]), (&json!("trace/a40"), &json!("FARGATE")));
    let network = &run["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(network["assignPublicIp"], "DISABLED");
    assert_eq!((&network["subnets"], &network["securityGroups"]), (&json!(["subnet-1"]), &json!(["sg-1"])));
    let given = &run["overrides"]["containerOverrides"][0]["environment"];
    assert_eq!(given.as_array().unwrap().len(), 1);
    assert_eq!(given[0]["name"], "TRACE_LAUNCH_TICKET");
    assert!(run["overrides"].get("taskRoleArn").is_none() && run["enableExecuteCommand"] == json!(false));
}

#[tokio::test]
async fn throttling_is_waited_out_with_the_same_token() {
    let refusals = VecDeque::from([
        (400, "ThrottlingException"),
        (400, "ThrottlingException"),
        (400, "ThrottlingException"),
        (500, "ServerException"),
    ]);
    let events = json!([{ "event": "ended", "how": { "how": "succeeded" } }]);
    let script = Script { refusals, events, is_redeemed: true, ..Script::default() };
    let (server, launcher) = scene(script).await;
    assert_eq!(end(&launcher).await.unwrap().exit, Exit::Success);
    let runs = server.calls("RunTask");
    assert_eq!(runs.len(), 5);
    assert!(
        runs.iter().all(|run| run["clientToken"] == runs[0]["clientToken"]),
        "one task, however often it is asked"
    );
}

#[tokio::test]
async fn what_ecs_refuses_is_not_tried_again() {
    let refusals = VecDeque::from([(400, "AccessDeniedException")]);
    let (server, launcher) = scene(Script { refusals, ..Script::default() }).await;
    let Err(Error::Machine(why)) = launcher.launch(order()).await.map(drop) else { panic!("it was started") };
    assert!(why.contains("RunTask") && why.contains("role"), "{why}");
    assert_eq!(server.calls("RunTask").len(), 1);
}

#[tokio::test]
async fn a_launch_that_is_given_up_on_its_way_leaves_no_task() {
    let (server, launcher) = scene(Script { is_slow: true, ..Script::default() }).await;
    let launcher = Arc::new(launcher);
    let launching = tokio::spawn({
        let launcher = Arc::clone(&launcher);
        async move { launcher.launch(order()).await.map(drop) }
    });
    server.called("RunTask").await;
    launching.abort();
    assert!(launching.await.unwrap_err().is_cancelled());
    assert!(server.calls("StopTask").is_empty());
    lock(&server.asked).push(("/go".to_owned(), Value::Null));
    server.news.send_replace(());
    server.called("StopTask").await;
}

#[tokio::test]
async fn a_killed_attempt_has_ended_once_its_task_has_stopped() {
    let running = json!({ "taskArn": "arn:task/1", "lastStatus": "RUNNING" });
    let (server, launcher) = scene(Script { task: running, ..Script::default() }).await;
    let Launched { kill, ended, .. } = launcher.launch(order()).await.unwrap();
    kill();
    let ended = tokio::spawn(ended);
    server.called("StopTask").await;
    assert!(!ended.is_finished());
    lock(&server.script).task = stopped("UserInitiated", "the attempt is over", json!({}));
    assert_eq!(timeout(LONG, ended).await.unwrap().unwrap().unwrap().exit, Exit::Killed);
}
