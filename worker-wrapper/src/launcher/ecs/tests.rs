//! What moto does not do: tasks that stop by themselves, throttling, lost replies.

use std::collections::VecDeque;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::launcher::{
    Exit,
    remote::scripted::{Call, Cloud, GO, LONG, Runner, Server, end, lock, order},
};

/// ECS.
#[derive(Default)]
struct Script {
    /// What `RunTask` answers before it starts anything.
    refusals: VecDeque<(u16, &'static str)>,
    /// `RunTask` answers once the test lets it.
    is_slow: bool,
    /// How `DescribeTasks` describes the task.
    task: Value,
}

#[async_trait]
impl Cloud for Script {
    async fn answer(server: &Server<Self>, call: &Call) -> Option<Response> {
        let reply = match call.name.as_str() {
            "RunTask" => {
                if let Some((status, code)) = lock(&server.cloud).refusals.pop_front() {
                    let status = StatusCode::from_u16(status).unwrap();
                    let refusal = json!({ "__type": code, "message": "for a reason" });
                    return Some((status, Json(refusal)).into_response());
                }
                if lock(&server.cloud).is_slow {
                    server.called(GO).await;
                }
                json!({ "tasks": [{ "taskArn": "arn:task/1" }], "failures": [] })
            }
            "DescribeTasks" => json!({ "tasks": [lock(&server.cloud).task.clone()], "failures": [] }),
            "ListTasks" => json!({ "taskArns": [] }),
            _ => return None,
        };
        Some(Json(reply).into_response())
    }
}

async fn scene(script: Script, runner: Runner) -> (Arc<Server<Script>>, EcsLauncher) {
    let (server, address, dispatcher) = Server::start(script, runner).await;
    let config: Config = serde_json::from_value(json!({
        "aws": {
            "region": "eu-west-1", "endpoint": address.as_str(),
            "keys": { "access_key_id": "a", "secret_access_key": "b" },
        },
        "cluster": "c", "task_definition": "udf", "subnets": ["subnet-1"], "security_groups": ["sg-1"],
        "poll_ms": 100,
    }))
    .unwrap();
    (server, EcsLauncher::start(&config, dispatcher))
}

fn stopped(code: &str, reason: &str, container: Value) -> Value {
    json!({
        "taskArn": "arn:task/1", "lastStatus": "STOPPED", "stopCode": code, "stoppedReason": reason,
        "containers": [container],
    })
}

#[tokio::test]
async fn a_task_that_stops_without_a_word_is_explained() {
    let pull =
        stopped("TaskFailedToStart", "CannotPullContainerError: not found", json!({ "name": "runner" }));
    let (_server, launcher) = scene(Script { task: pull, ..Script::default() }, Runner::none()).await;
    let Err(Error::Machine(why)) = end(&launcher).await else { panic!("it is not the code's fault") };
    assert!(why.contains("execution role") && why.contains("not found"), "{why}");

    let container = json!({ "name": "runner", "exitCode": 137, "reason": "OutOfMemoryError: killed" });
    let memory = stopped("EssentialContainerExited", "Essential container in task exited", container);
    let (_server, launcher) = scene(Script { task: memory, ..Script::default() }, Runner::none()).await;
    assert_eq!(end(&launcher).await.unwrap().exit, Exit::Memory { limit: 256 << 20 });
}

#[tokio::test]
async fn what_the_runner_reports_comes_before_what_ecs_says_and_the_task_is_stopped() {
    let running = json!({ "taskArn": "arn:task/1", "lastStatus": "RUNNING" });
    let events = vec![
        json!({ "event": "printed", "stream": "stdout", "bytes": "aGVsbG8K" }),
        json!({ "event": "ended", "how": { "how": "status", "status": 3 } }),
    ];
    let script = Script { task: running, ..Script::default() };
    let (server, launcher) = scene(script, Runner::reported(events)).await;
    assert_eq!(end(&launcher).await.unwrap().exit, Exit::Status(3));
    server.called("StopTask").await;
    let run = &server.calls("RunTask")[0].body;
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
    let events = vec![json!({ "event": "ended", "how": { "how": "succeeded" } })];
    let script = Script { refusals, ..Script::default() };
    let (server, launcher) = scene(script, Runner::reported(events)).await;
    assert_eq!(end(&launcher).await.unwrap().exit, Exit::Success);
    let runs = server.calls("RunTask");
    assert_eq!(runs.len(), 5);
    assert!(
        runs.iter().all(|run| run.body["clientToken"] == runs[0].body["clientToken"]),
        "one task, however often it is asked"
    );
}

#[tokio::test]
async fn what_ecs_refuses_is_not_tried_again() {
    let refusals = VecDeque::from([(400, "AccessDeniedException")]);
    let (server, launcher) = scene(Script { refusals, ..Script::default() }, Runner::none()).await;
    let Err(Error::Machine(why)) = launcher.launch(order()).await.map(drop) else { panic!("it was started") };
    assert!(why.contains("RunTask") && why.contains("role"), "{why}");
    assert_eq!(server.calls("RunTask").len(), 1);
}

#[tokio::test]
async fn a_launch_that_is_given_up_on_its_way_leaves_no_task() {
    let (server, launcher) = scene(Script { is_slow: true, ..Script::default() }, Runner::none()).await;
    let launcher = Arc::new(launcher);
    let launching = tokio::spawn({
        let launcher = Arc::clone(&launcher);
        async move { launcher.launch(order()).await.map(drop) }
    });
    server.called("RunTask").await;
    launching.abort();
    assert!(launching.await.unwrap_err().is_cancelled());
    assert!(server.calls("StopTask").is_empty());
    server.note(GO);
    server.called("StopTask").await;
}

#[tokio::test]
async fn a_killed_attempt_has_ended_once_its_task_has_stopped() {
    let running = json!({ "taskArn": "arn:task/1", "lastStatus": "RUNNING" });
    let (server, launcher) = scene(Script { task: running, ..Script::default() }, Runner::none()).await;
    let Launched { kill, ended, .. } = launcher.launch(order()).await.unwrap();
    kill();
    let ended = tokio::spawn(ended);
    server.called("StopTask").await;
    assert!(!ended.is_finished());
    lock(&server.cloud).task = stopped("UserInitiated", "the attempt is over", json!({}));
    assert_eq!(timeout(LONG, ended).await.unwrap().unwrap().unwrap().exit, Exit::Killed);
}
