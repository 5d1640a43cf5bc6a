//! A stale fence changes nothing, whatever it is shown for, and is told so.

use reqwest::{Method, StatusCode};
use trace_contracts::{
    ErrorCode, LeaseToken,
    wire::worker::{
        CompleteVerdict, FailureReason, Fence, HeartbeatVerdict, Lease, LogLine, LogRequest, LogStream,
    },
};

use crate::support::{
    Platform,
    dags::{job, partitioned, spec},
    wire::{failed, fence, problem, succeeded},
};

fn log(fence: Fence) -> LogRequest {
    let line = LogLine { at: chrono::Utc::now(), stream: LogStream::Stdout, text: "hello".to_owned() };
    LogRequest { fence, first_seq: 0, lines: vec![line] }
}

/// Every mutation with this lease's fence must be refused and must leave the database as it is.
async fn assert_refused_everywhere(platform: &Platform, lease: &Lease) {
    let before = snapshot(platform).await;
    assert_eq!(platform.heartbeat(vec![fence(lease)]).await, [HeartbeatVerdict::Stale]);
    assert_eq!(platform.complete_one(succeeded(lease)).await, CompleteVerdict::Stale);
    let failure = failed(lease, FailureReason::Exit);
    assert_eq!(platform.complete_one(failure).await, CompleteVerdict::Stale);
    let refused = problem(platform.post("/internal/logs", &log(fence(lease))).await).await;
    assert_eq!(refused.code, ErrorCode::StaleAttempt);
    let launch = serde_json::json!({ "fence": fence(lease) });
    let watch = serde_json::json!({ "fence": fence(lease), "stage": "ticketed", "taken": 0 });
    for (path, body) in [("/internal/launch/ticket", launch), ("/internal/launch/watch", watch)] {
        let refused = problem(platform.post(path, &body).await).await;
        assert_eq!(refused.code, ErrorCode::StaleAttempt, "{path}");
    }
    let token = &lease.capability_token;
    for (method, path) in [
        (Method::POST, "/v1/task/token"),
        (Method::POST, "/v1/task/credentials"),
        (Method::POST, "/v1/task/objects"),
        (Method::GET, "/v1/task/context"),
        (Method::GET, "/v1/task/checkpoint"),
        (Method::PUT, "/v1/task/checkpoint"),
    ] {
        let request = platform.task(method, path, token).body(r#"{"audience":"trace:query"}"#);
        let refused = problem(request.send().await.unwrap()).await;
        assert_eq!(refused.code, ErrorCode::Revoked, "{path}");
    }
    assert_eq!(snapshot(platform).await, before, "a stale fence changed something");
}

async fn snapshot(platform: &Platform) -> Vec<String> {
    let mut rows = Vec::new();
    for sql in [
        "select coalesce(json_agg(r order by task_id)::text, '') from ready r",
        "select coalesce(json_agg(r order by task_id)::text, '') from delayed r",
        "select coalesce(json_agg(r order by task_id)::text, '') from leases r",
        "select coalesce(json_agg(r order by attempt_id)::text, '') from attempts r",
        "select coalesce(json_agg(r order by task_id)::text, '') from task_ends r",
        "select coalesce(json_agg(r order by task_id)::text, '') from commits r",
        "select coalesce(json_agg(r order by run_id)::text, '') from runs r",
        "select coalesce(json_agg(r order by attempt_id, seq)::text, '') from log_lines r",
        "select coalesce(json_agg(r order by task_id)::text, '') from checkpoints r",
    ] {
        rows.push(sqlx::query_scalar(sql).fetch_one(&platform.db).await.unwrap());
    }
    rows
}

async fn expire(platform: &Platform, lease: &Lease) {
    sqlx::query("update leases set expires_at = now() - interval '1 second' where attempt_id = $1")
        .bind(lease.attempt.get())
        .execute(&platform.db)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_fence_of_an_ended_attempt() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 2)])).await;
    let lease = platform.claim(1).await.remove(0);
    assert_eq!(
        platform.complete_one(failed(&lease, FailureReason::Timeout)).await,
        CompleteVerdict::Recorded
    );
    assert_refused_everywhere(&platform, &lease).await;
}

#[tokio::test]
async fn a_fence_of_a_superseded_attempt() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let old = platform.claim_one().await;
    platform.complete_one(failed(&old, FailureReason::Memory)).await;
    let new = platform.claim_one().await;
    assert_eq!(new.launch.task, old.launch.task);
    assert_refused_everywhere(&platform, &old).await;
    assert_eq!(platform.complete_one(succeeded(&new)).await, CompleteVerdict::Recorded);
}

#[tokio::test]
async fn a_fence_past_its_lease_even_before_the_reaper_comes() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    expire(&platform, &lease).await;
    // The row is still there or already reaped: either way it is no authority.
    assert_eq!(platform.heartbeat(vec![fence(&lease)]).await, [HeartbeatVerdict::Stale]);
    assert_eq!(platform.complete_one(succeeded(&lease)).await, CompleteVerdict::Stale);
    assert_eq!(platform.count("select count(*) from commits").await, 0);
}

#[tokio::test]
async fn a_guessed_fence_and_another_workers_fence() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let mut guessed = succeeded(&lease);
    guessed.fence.lease_token = LeaseToken::random();
    assert_eq!(platform.complete_one(guessed.clone()).await, CompleteVerdict::Stale);
    assert_eq!(platform.heartbeat(vec![guessed.fence]).await, [HeartbeatVerdict::Stale]);
    let other = platform.beside().await;
    assert_eq!(other.complete_one(succeeded(&lease)).await, CompleteVerdict::Stale);
    assert_eq!(other.heartbeat(vec![fence(&lease)]).await, [HeartbeatVerdict::Stale]);
    assert_eq!(platform.count("select count(*) from leases").await, 1);
    let right = platform.complete(vec![guessed, succeeded(&lease)]).await;
    assert_eq!(right, [CompleteVerdict::Stale, CompleteVerdict::Recorded], "one bad item stops no other");
}

#[tokio::test]
async fn reasons_that_are_the_dispatchers_own_are_refused() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    for reason in [FailureReason::LeaseExpired, FailureReason::Cancelled] {
        let body = serde_json::json!({ "completions": [failed(&lease, reason)] });
        assert_eq!(platform.post("/internal/complete", &body).await.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(platform.count("select count(*) from leases").await, 1);
}
