//! Suspending a user, and revoking a worker: at once, and for everything of theirs.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trace_contracts::{
    ErrorCode, Role, UserId,
    wire::{
        authority::{RevokeWorkerReply, SuspendReply, UserInfo},
        user::{RunInfo, RunState},
    },
};

use crate::{
    support::app::{Client, TestApp, code},
    user_deploy::ONE_JOB,
};

async fn id(client: &Client) -> UserId {
    let who: Value = client.get("/v1/whoami").await;
    serde_json::from_value(who["user"].clone()).unwrap()
}

async fn suspend(admin: &Client, user: UserId) -> SuspendReply {
    let response = admin.post(&format!("/v1/users/{user}/suspend"), &json!({ "reason": "stolen" })).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_user_s_tokens_and_runs_end_and_others_go_on() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let (mallory, alice) =
        (test.named("mallory", "main", Role::Writer), test.named("alice", "main", Role::Writer));
    mallory.deploy(ONE_JOB).await;
    let theirs = [mallory.trigger("d").await.run, mallory.trigger("d").await.run];
    let hers = alice.trigger("d").await.run;
    let leases = test.claim().await;
    assert_eq!(leases.len(), 6);

    let who = id(&mallory).await;
    let done = suspend(&admin, who).await;
    assert_eq!(done.runs_cancelled, 2);
    assert!(done.user.suspended_at.is_some());
    for (method, path) in
        [(Method::GET, "/v1/whoami"), (Method::GET, "/v1/runs"), (Method::GET, "/v1/datasets")]
    {
        assert_eq!(code(mallory.send(method, path).await).await, ErrorCode::Forbidden, "{path}");
    }
    assert_eq!(code(mallory.post("/v1/dags/d/runs", &json!({})).await).await, ErrorCode::Forbidden);
    for run in theirs {
        let run: RunInfo = admin.get(&format!("/v1/runs/{run}")).await;
        assert_eq!(run.state, RunState::Cancelled);
    }
    let run: RunInfo = admin.get(&format!("/v1/runs/{hers}")).await;
    assert_eq!(run.state, RunState::Running);
    let live: i64 = sqlx::query_scalar("select count(*) from leases").fetch_one(&test.app.db).await.unwrap();
    assert_eq!(live, 2, "what runs for others goes on");

    let listed: Vec<UserInfo> = admin.get("/v1/users").await;
    let suspended: Vec<_> = listed.iter().filter(|user| user.suspended_at.is_some()).collect();
    assert_eq!((suspended.len(), suspended[0].user), (1, who));
    let log: Vec<Value> = admin.get("/v1/audit").await;
    let entry = log.iter().find(|entry| entry["action"] == "user.suspend").expect("it is in the log");
    assert_eq!((&entry["object"], &entry["detail"]["reason"]), (&json!(who), &json!("stolen")));

    let restored = admin.post(&format!("/v1/users/{who}/restore"), &json!({ "reason": "found" })).await;
    assert_eq!(restored.status(), StatusCode::OK);
    assert_eq!(id(&mallory).await, who);
    let run: RunInfo = mallory.get(&format!("/v1/runs/{}", theirs[0])).await;
    assert_eq!(run.state, RunState::Cancelled, "what was cancelled stays so");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_locks_themselves_out_or_reaches_into_another_org() {
    let test = TestApp::start().await;
    let (admin, rival) = (test.user(Role::Admin), test.named("rival_admin", "rival", Role::Admin));
    let (own, why) = (id(&admin).await, json!({ "reason": "x" }));
    let refused = admin.post(&format!("/v1/users/{own}/suspend"), &why).await;
    assert_eq!(code(refused).await, ErrorCode::Conflict);
    let refused = rival.post(&format!("/v1/users/{own}/suspend"), &why).await;
    assert_eq!(code(refused).await, ErrorCode::NotFound);
    assert_eq!(id(&admin).await, own);
}

/// What a plane is told is about the user, and what it asks with is not refused; both are written down.
#[tokio::test(flavor = "multi_thread")]
async fn a_plane_is_told_that_a_user_is_suspended() {
    let test = TestApp::start().await;
    let (admin, mallory) = (test.user(Role::Admin), test.named("mallory", "main", Role::Writer));
    let who = id(&mallory).await;
    suspend(&admin, who).await;
    let token = test.issuer.token("mallory", "main", Role::Writer);
    let answer = test.plane().post("/internal/users/resolve", &json!({ "token": token })).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["refused"]["code"], "forbidden", "{answer}");
    let log: Vec<Value> = admin.get("/v1/audit").await;
    let denied = |entry: &&Value| entry["object"] == "/v1/query" && entry["actor"]["user"] == json!(who);
    let entry = log.iter().find(denied).expect("it is in the log");
    assert_eq!(entry["verdict"], "deny");

    let answer = test.plane().post("/internal/users/resolve", &json!({ "token": "nobody's" })).await;
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["refused"]["code"], "unauthenticated");
    let refused = test.worker().post("/internal/users/resolve", &json!({ "token": token })).await;
    assert_eq!(code(refused).await, ErrorCode::Forbidden, "this one may not ask");
}

/// Whichever comes first: afterwards nothing of theirs runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_races_a_suspension_leaves_nothing_running() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    admin.deploy(ONE_JOB).await;
    for round in 0..8 {
        let mallory = test.named(&format!("mallory_{round}"), "main", Role::Writer);
        let who = id(&mallory).await;
        let (path, none) = ("/v1/dags/d/runs", json!({}));
        let triggers = join_all((0..4).map(|_| mallory.post(path, &none)));
        let (answers, _) = tokio::join!(triggers, suspend(&admin, who));
        for answer in answers {
            assert!(matches!(answer.status(), StatusCode::CREATED | StatusCode::FORBIDDEN), "{answer:?}");
        }
        let running: i64 =
            sqlx::query_scalar("select count(*) from runs where state = 'running' and triggered_by = $1")
                .bind(who.get())
                .fetch_one(&test.app.db)
                .await
                .unwrap();
        assert_eq!(running, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_worker_opens_nothing_and_its_tasks_go_to_others() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    admin.deploy(ONE_JOB).await;
    admin.trigger("d").await;
    let leases = test.claim().await;
    assert_eq!(leases.len(), 2);
    let reply = admin.post("/v1/workers/worker/revoke", &json!({ "reason": "broken into" })).await;
    let reply: RevokeWorkerReply = reply.json().await.unwrap();
    assert_eq!(reply.attempts_ended, 2);
    // Identities are remembered for a while, and news of a revocation end that.
    let beat = json!({ "leases": [] });
    while test.worker().post("/internal/heartbeat", &beat).await.status() != StatusCode::FORBIDDEN {}
    let ready: i64 = sqlx::query_scalar("select count(*) from ready where failures = 0")
        .fetch_one(&test.app.db)
        .await
        .unwrap();
    assert_eq!(ready, 2, "and it uses up no retry");
    let refused = test.named("rival_admin", "rival", Role::Admin);
    let refused = refused.post("/v1/workers/worker/revoke", &json!({ "reason": "x" })).await;
    assert_eq!(code(refused).await, ErrorCode::Forbidden);
}
