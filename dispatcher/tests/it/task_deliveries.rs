//! `POST /v1/task/deliveries`: what the code of a task tells.

use serde_json::{Value, json};
use trace_contracts::{ErrorCode, Role, wire::worker::Lease};

use crate::support::{
    app::{TestApp, code, problem},
    deliveries::{ENDING, TELLING, said, telling},
};

async fn tell(test: &TestApp, lease: &Lease, body: Value) -> reqwest::Response {
    test.task(&lease.capability_token).post("/v1/task/deliveries", &body).await
}

async fn lease(test: &TestApp) -> Lease {
    test.user(Role::Admin).trigger("d").await;
    test.claim().await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_tells_once_by_its_key_over_all_its_attempts() {
    let test = TestApp::start().await;
    telling(&test, &TELLING.replace("max: 0", "max: 1, backoff: 0s")).await;
    let first = lease(&test).await;
    let message = json!({ "to": "ops", "key": "late", "body": { "type": "run.finished", "late": 7 } });
    let told = tell(&test, &first, message.clone()).await;
    assert_eq!(told.status(), 202);
    let told: Value = told.json().await.unwrap();
    let again = tell(&test, &first, message.clone()).await;
    assert_eq!((again.status().as_u16(), again.json::<Value>().await.unwrap()), (200, told.clone()));
    let other = json!({ "to": "ops", "key": "late", "body": 8 });
    assert_eq!(code(tell(&test, &first, other).await).await, ErrorCode::Conflict);

    test.complete(&first, json!({ "outcome": "failed", "reason": "exit", "detail": "" })).await;
    assert_eq!(
        code(tell(&test, &first, message.clone()).await).await,
        ErrorCode::Revoked,
        "the attempt is over"
    );
    let second = test.claim().await.remove(0);
    let again = tell(&test, &second, message).await;
    assert_eq!((again.status().as_u16(), again.json::<Value>().await.unwrap()), (200, told));

    let (_, delivery) = test.claim_delivery().await;
    let said = said(&delivery);
    assert_eq!(said["type"], "task.message", "it does not pass for what the platform tells");
    assert_eq!(said["data"]["body"], json!({ "type": "run.finished", "late": 7 }));
    assert_eq!((&said["data"]["task"], &said["data"]["key"]), (&json!(first.launch.task), &json!("late")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_tells_what_its_dag_declares_and_so_much() {
    let test = TestApp::start().await;
    telling(&test, ENDING).await;
    let undeclared = lease(&test).await;
    let message = |key: &str, body: Value| json!({ "to": "ops", "key": key, "body": body });
    let refused = problem(tell(&test, &undeclared, message("k", json!(1))).await).await;
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert!(refused.detail.contains("{ on: task_message, to: ops, job: a }"), "{}", refused.detail);

    test.user(Role::Admin).deploy(TELLING).await;
    let declared = lease(&test).await;
    let elsewhere = json!({ "to": "other", "key": "k", "body": 1 });
    assert_eq!(code(tell(&test, &declared, elsewhere).await).await, ErrorCode::Forbidden);
    let large = message("k", json!("x".repeat(64 * 1024)));
    assert_eq!(code(tell(&test, &declared, large).await).await, ErrorCode::PayloadTooLarge);
    assert_eq!(code(tell(&test, &declared, message("a b", json!(1))).await).await, ErrorCode::BadRequest);
    assert_eq!(code(tell(&test, &declared, message("", json!(1))).await).await, ErrorCode::BadRequest);
    // JSON's own escape for NUL goes through as it is.
    assert_eq!(tell(&test, &declared, message("nul", json!("\0"))).await.status(), 202);
    for n in 1..100 {
        assert_eq!(tell(&test, &declared, message(&format!("k{n}"), json!(n))).await.status(), 202);
    }
    let one_more = tell(&test, &declared, message("more", json!(1))).await;
    assert_eq!(code(one_more).await, ErrorCode::LimitExceeded);
    assert_eq!(
        tell(&test, &declared, message("k1", json!(1))).await.status(),
        200,
        "what was told stays told"
    );
}
