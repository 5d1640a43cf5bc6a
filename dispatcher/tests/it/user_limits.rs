//! `/v1/limits`, and what a trigger is told when there is no room.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trace_contracts::{
    ErrorCode, Role,
    wire::{
        limits::LimitsInfo,
        user::{RunInfo, RunState},
    },
};

use crate::support::app::{Client, TestApp, code, problem};

fn dag(concurrency: u32, partitions: &str) -> String {
    format!(
        "name: d
jobs:
  - name: a
    udf: {{ language: python, path: u }}
    partitions: {{ list: [{partitions}] }}
    concurrency: {concurrency}
"
    )
}

async fn put(client: &Client, limits: Value) -> reqwest::Response {
    client.request(Method::PUT, "/v1/limits").json(&limits).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sets_limits_and_everybody_sees_them() {
    let test = TestApp::start().await;
    let (admin, reader) = (test.user(Role::Admin), test.user(Role::Reader));
    let none: LimitsInfo = reader.get("/v1/limits").await;
    assert_eq!((none.limits.tasks_at_once, none.in_use.queued_tasks), (None, 0));
    let set: LimitsInfo =
        put(&admin, json!({ "tasks_at_once": 2, "queued_tasks": 10 })).await.json().await.unwrap();
    assert_eq!((set.limits.tasks_at_once, set.limits.runs_an_hour), (Some(2), None));
    admin.deploy(&dag(5, "x, y, z")).await;
    admin.trigger("d").await;
    let seen: LimitsInfo = reader.get("/v1/limits").await;
    assert_eq!(
        (seen.in_use.tasks_at_once, seen.in_use.queued_tasks, seen.in_use.runs_last_hour),
        (Some(2), 3, 1)
    );
    assert_eq!(test.claim().await.len(), 2);
    let seen: LimitsInfo = reader.get("/v1/limits").await;
    assert_eq!((seen.in_use.tasks_at_once, seen.in_use.queued_tasks), (Some(2), 1));

    let refused = problem(put(&admin, json!({ "tasks_at_once": 0, "runs_an_hour": 10_001 })).await).await;
    assert_eq!(refused.code, ErrorCode::BadRequest);
    insta::assert_json_snapshot!(refused.errors);
    assert_eq!(code(put(&admin, json!({ "tasks": 1 })).await).await, ErrorCode::BadRequest);
    let audit: Vec<Value> = admin.get("/v1/audit").await;
    let set = audit.iter().find(|entry| entry["action"] == "limits.set").expect("it is in the audit log");
    assert_eq!(set["detail"]["limits"]["tasks_at_once"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_beyond_the_runs_of_an_hour_is_told_when_to_try_again() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    admin.deploy(&dag(5, "x")).await;
    put(&admin, json!({ "runs_an_hour": 2 })).await;
    let trigger = |key: &'static str| {
        let request = admin.request(Method::POST, "/v1/dags/d/runs").header("idempotency-key", key);
        async move { request.json(&json!({})).send().await.unwrap() }
    };
    let first: RunInfo = trigger("one").await.json().await.unwrap();
    assert_eq!(trigger("two").await.status(), StatusCode::CREATED);
    let refused = trigger("three").await;
    let header: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let refused = problem(refused).await;
    assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::TooManyRequests, Some(header)));
    assert!((3_000..=3_600).contains(&header), "{header}");
    assert!(refused.detail.starts_with("your org may start 2 runs an hour"), "{}", refused.detail);
    let again: RunInfo = trigger("one").await.json().await.unwrap();
    assert_eq!(again.run, first.run, "a key that has its run is answered with it");
    let older = "update runs set created_at = created_at - interval '1 hour' where idempotency_key = 'one'";
    sqlx::query(older).execute(&test.app.db).await.unwrap();
    assert_eq!(trigger("three").await.status(), StatusCode::CREATED);
    assert_eq!(trigger("four").await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_pushes_back_until_it_is_worked_off() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    admin.deploy(&dag(1, "x, y")).await;
    put(&admin, json!({ "queued_tasks": 3 })).await;
    let first = admin.trigger("d").await;
    let refused = admin.post("/v1/dags/d/runs", &json!({})).await;
    assert_eq!(refused.headers()["retry-after"], "5");
    let refused = problem(refused).await;
    assert_eq!(refused.code, ErrorCode::TooManyRequests);
    assert!(
        refused.detail.contains("3 tasks queued; it has 2, and this run would add 2"),
        "{}",
        refused.detail
    );
    let runs: Vec<RunInfo> = admin.get("/v1/runs").await;
    assert_eq!(runs.len(), 1, "nothing was started");
    test.run_everything().await;
    let done: RunInfo = admin.get(&format!("/v1/runs/{}", first.run)).await;
    assert_eq!(done.state, RunState::Succeeded);
    admin.trigger("d").await;

    admin.deploy(&dag(1, "x, y, z, w")).await;
    let never = admin.post("/v1/dags/d/runs", &json!({})).await;
    assert_eq!(code(never).await, ErrorCode::LimitExceeded, "waiting does not help a run that is too large");
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_at_once_do_not_share_room() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    admin.deploy(&dag(1, "x, y")).await;
    put(&admin, json!({ "queued_tasks": 6 })).await;
    let body = json!({});
    let triggers = (0..8).map(|_| admin.post("/v1/dags/d/runs", &body));
    let answers = futures::future::join_all(triggers).await;
    let started = answers.iter().filter(|answer| answer.status() == StatusCode::CREATED).count();
    assert_eq!(started, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_raises_a_limit_lets_what_runs_already_go() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    admin.deploy(&dag(1, "x, y, z")).await;
    let run = admin.trigger("d").await;
    assert_eq!(test.claim().await.len(), 1);
    admin.deploy(&dag(2, "x, y, z")).await;
    let waiting = json!({ "claim_id": trace_contracts::ClaimId::random(), "max": 9, "wait_ms": 20_000 });
    let reply: Value = test.worker().post("/internal/claim", &waiting).await.json().await.unwrap();
    let leases = reply["leases"].as_array().unwrap();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0]["launch"]["run"], run.run.to_string());
}
