//! Runs, tasks and logs.

use std::time::Duration;

use chrono::Utc;
use reqwest::{Method, StatusCode};
use serde_json::json;
use trace_contracts::{
    ErrorCode, Role,
    wire::user::{DatasetInfo, LogReply, RunInfo, RunState, TaskCounts, TaskInfo, TaskState},
};

use crate::{
    support::app::{TestApp, code, problem},
    user_deploy::ONE_JOB,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_can_be_watched_to_its_end() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    writer.deploy(ONE_JOB).await;
    let run = writer.trigger("d").await;
    assert_eq!(run.state, RunState::Running);
    assert_eq!(run.tasks, TaskCounts { queued: 2, waiting: 1, ..TaskCounts::default() });

    let leases = test.claim().await;
    let path = format!("/v1/runs/{}", run.run);
    let now: RunInfo = writer.get(&path).await;
    assert_eq!(now.tasks, TaskCounts { running: 2, waiting: 1, ..TaskCounts::default() });
    for lease in &leases {
        test.complete(lease, json!({ "outcome": "succeeded" })).await;
    }
    test.run_everything().await;
    let ended: RunInfo = writer.get(&path).await;
    assert_eq!((ended.state, ended.tasks.succeeded), (RunState::Succeeded, 3));
    assert!(ended.finished_at.is_some());

    let tasks: Vec<TaskInfo> = writer.get(&format!("{path}/tasks")).await;
    let shown: Vec<_> = tasks.iter().map(|task| format!("{} {}", task.job, task.partition)).collect();
    assert_eq!(shown, ["a x", "a y", "b all"]);
    assert!(tasks.iter().all(|task| task.state == TaskState::Succeeded && task.attempts.len() == 1));
    assert_eq!(tasks[0].attempts[0].outcome.as_deref(), Some("succeeded"));
    let rest: Vec<TaskInfo> = writer.get(&format!("{path}/tasks?limit=1&after={}", tasks[0].task)).await;
    assert_eq!(rest.iter().map(|task| task.task).collect::<Vec<_>>(), [tasks[1].task]);

    let out: DatasetInfo = writer.get("/v1/datasets/out").await;
    let current = out.current.unwrap();
    assert_eq!((current.run, current.objects, current.bytes), (run.run, 1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_safe_to_repeat() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    writer.deploy(ONE_JOB).await;
    let trigger = |key: &'static str, body: serde_json::Value| {
        let request =
            writer.request(Method::POST, "/v1/dags/d/runs").header("idempotency-key", key).json(&body);
        async move { request.send().await.unwrap() }
    };
    let first = trigger("k", json!({ "params": { "worst": 3 } })).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let first: RunInfo = first.json().await.unwrap();
    let again = trigger("k", json!({ "params": { "worst": 3 } })).await;
    assert_eq!(again.status(), StatusCode::OK);
    let again: RunInfo = again.json().await.unwrap();
    assert_eq!(again.run, first.run);
    assert_eq!(code(trigger("k", json!({})).await).await, ErrorCode::Conflict);
    let other: RunInfo = trigger("l", json!({})).await.json().await.unwrap();
    assert_ne!(other.run, first.run);

    let refused = problem(trigger("m", json!({ "params": { "wrst": 3, "worst": "x" } })).await).await;
    assert_eq!(refused.code, ErrorCode::BadRequest);
    insta::assert_json_snapshot!(refused);
    assert_eq!(code(trigger("a b", json!({})).await).await, ErrorCode::BadRequest);

    let runs: Vec<RunInfo> = writer.get("/v1/runs?dag=d").await;
    assert_eq!(runs.iter().map(|run| run.run).collect::<Vec<_>>(), [other.run, first.run]);
    let older: Vec<RunInfo> = writer.get(&format!("/v1/runs?limit=1&after={}", other.run)).await;
    assert_eq!(older.iter().map(|run| run.run).collect::<Vec<_>>(), [first.run]);
    let none: Vec<RunInfo> = writer.get("/v1/runs?dag=nowhere").await;
    assert!(none.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_come_back_by_hand() {
    let test = TestApp::start().await;
    let (writer, operator) = (test.user(Role::Writer), test.user(Role::Operator));
    writer.deploy(ONE_JOB).await;
    let run = writer.trigger("d").await.run;
    let leases = test.claim().await;
    let failed = json!({ "outcome": "failed", "reason": "memory", "detail": "it reached 512MiB" });
    test.complete(&leases[0], failed).await;
    test.complete(&leases[1], json!({ "outcome": "succeeded" })).await;
    let info: RunInfo = writer.get(&format!("/v1/runs/{run}")).await;
    let counts = TaskCounts { succeeded: 1, dead: 1, skipped: 1, ..TaskCounts::default() };
    assert_eq!((info.state, info.tasks), (RunState::Failed, counts));

    let dead: Vec<TaskInfo> = writer.get("/v1/dead-letters").await;
    assert_eq!(dead.len(), 1);
    let attempt = &dead[0].attempts[0];
    assert_eq!(
        (attempt.outcome.as_deref(), attempt.detail.as_deref()),
        (Some("memory"), Some("it reached 512MiB"))
    );

    let retry = format!("/v1/tasks/{}/retry", dead[0].task);
    assert_eq!(code(writer.post(&retry, &json!({})).await).await, ErrorCode::Forbidden);
    let revived: TaskInfo = operator.post(&retry, &json!({})).await.json().await.unwrap();
    assert!(matches!(revived.state, TaskState::Queued | TaskState::Failed), "{:?}", revived.state);
    assert_eq!(code(operator.post(&retry, &json!({})).await).await, ErrorCode::Conflict);
    test.run_everything().await;
    let info: RunInfo = writer.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((info.state, info.tasks.succeeded), (RunState::Succeeded, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_stays_cancelled() {
    let test = TestApp::start().await;
    let (writer, operator) = (test.user(Role::Writer), test.user(Role::Operator));
    writer.deploy(ONE_JOB).await;
    let run = writer.trigger("d").await.run;
    let _leases = test.claim().await;
    let cancel = format!("/v1/runs/{run}/cancel");
    let info: RunInfo = operator.post(&cancel, &json!({})).await.json().await.unwrap();
    let counts = TaskCounts { cancelled: 2, skipped: 1, ..TaskCounts::default() };
    assert_eq!((info.state, info.tasks), (RunState::Cancelled, counts));
    assert_eq!(operator.post(&cancel, &json!({})).await.status(), StatusCode::OK, "again is fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_while_they_are_written() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    writer.deploy(ONE_JOB).await;
    writer.trigger("d").await;
    let lease = test.claim().await.remove(0);
    let path = format!("/v1/tasks/{}/logs", lease.launch.task);
    let nothing: LogReply = writer.get(&path).await;
    assert_eq!((nothing.attempt, nothing.lines.len(), nothing.done), (Some(lease.attempt), 0, false));

    let follow = format!("{path}?wait_ms=30000");
    let follower = writer.get::<LogReply>(&follow);
    let line = json!({ "at": Utc::now(), "stream": "stdout", "text": "hello" });
    let fence =
        json!({ "task": lease.launch.task, "attempt": lease.attempt, "lease_token": lease.lease_token });
    let body = json!({ "fence": fence, "first_seq": 0, "lines": [line] });
    let worker = test.worker();
    let (reply, written) = tokio::time::timeout(Duration::from_secs(25), async {
        tokio::join!(follower, worker.post("/internal/logs", &body))
    })
    .await
    .expect("the line ends the wait");
    assert!(written.status().is_success());
    assert_eq!((reply.lines[0].seq, &*reply.lines[0].text, reply.done), (0, "hello", false));

    let rest = format!("{path}?attempt={}&after=0&wait_ms=30000", lease.attempt);
    let waiting = writer.get::<LogReply>(&rest);
    let (reply, ()) = tokio::join!(waiting, test.complete(&lease, json!({ "outcome": "succeeded" })));
    assert_eq!((reply.lines.len(), reply.done), (0, true), "the end of the attempt ends the wait");
    let foreign = writer.send(Method::GET, &format!("{path}?attempt=a999")).await;
    assert_eq!(code(foreign).await, ErrorCode::NotFound);
}
