//! Who may read what.

use reqwest::{Method, StatusCode};
use serde_json::json;
use trace_contracts::{
    ErrorCode, Role,
    wire::{plane::ResolveUserReply, user::DatasetInfo},
};
use trace_dispatcher::http::user::resolve_user;

use crate::{
    support::app::{TestApp, code, problem},
    user_deploy::ONE_JOB,
};

const READS_OUT: &str = "name: reader
jobs:
  - name: a
    udf: { language: python, path: u }
    inputs: [{ name: i, from: { dataset: out } }]
publish: { copy: { from: { job: a } } }
";

/// The names of the datasets that a user may query.
async fn queryable(test: &TestApp, user: &str, org: &str, role: Role) -> Vec<String> {
    let token = test.issuer.token(user, org, role);
    let reply: ResolveUserReply = resolve_user(&test.app, &token).await.expect("the user is known");
    reply.datasets.iter().map(|dataset| dataset.name.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_read_by_admins_its_deployer_and_granted_roles() {
    let test = TestApp::start().await;
    let ann = test.named("ann", "main", Role::Writer);
    ann.deploy(ONE_JOB).await;
    ann.trigger("d").await;
    assert!(queryable(&test, "ann", "main", Role::Writer).await.is_empty(), "there is no version yet");
    test.run_everything().await;

    for (user, role, expected) in [
        ("ann", Role::Writer, 1),
        ("ann", Role::Reader, 0),
        ("bob", Role::Writer, 0),
        ("eve", Role::Reader, 0),
        ("ada", Role::Admin, 1),
    ] {
        assert_eq!(queryable(&test, user, "main", role).await.len(), expected, "{user} {role}");
    }
    assert!(queryable(&test, "rita", "rival", Role::Admin).await.is_empty(), "nothing crosses the org");

    let admin = test.user(Role::Admin);
    let info: DatasetInfo =
        admin.post("/v1/datasets/out/grants", &json!({ "role": "reader" })).await.json().await.unwrap();
    assert_eq!(info.read_roles, [Role::Reader]);
    assert_eq!(queryable(&test, "eve", "main", Role::Reader).await, ["out"]);
    assert!(queryable(&test, "bob", "main", Role::Writer).await.is_empty(), "writers were granted nothing");
    let auditor = admin.post("/v1/datasets/out/grants", &json!({ "role": "auditor" })).await;
    assert_eq!(code(auditor).await, ErrorCode::BadRequest);
    let again = admin.post("/v1/datasets/out/grants", &json!({ "role": "reader" })).await;
    assert_eq!(again.json::<DatasetInfo>().await.unwrap().read_roles, [Role::Reader]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dag_reads_what_its_deployer_and_its_trigger_may_read() {
    let test = TestApp::start().await;
    let (ann, bob) = (test.named("ann", "main", Role::Writer), test.named("bob", "main", Role::Writer));
    ann.deploy(ONE_JOB).await;
    ann.trigger("d").await;
    test.run_everything().await;

    let refused = problem(bob.try_deploy(READS_OUT, b"a bundle").await).await;
    assert_eq!(refused.code, ErrorCode::InvalidDag);
    assert_eq!((refused.errors[0].line, refused.errors.len()), (Some(5), 1));

    // Bob can't get at it through Ann's DAG either, nor by deploying over it.
    ann.deploy(READS_OUT).await;
    let refused = problem(bob.post("/v1/dags/reader/runs", &json!({})).await).await;
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert!(refused.detail.starts_with("you may not read the dataset `out`"), "{}", refused.detail);
    let runs: Vec<serde_json::Value> = bob.get("/v1/runs?dag=reader").await;
    assert!(runs.is_empty(), "nothing was started");
    assert_eq!(bob.try_deploy(ONE_JOB, b"bob's code").await.status(), StatusCode::CREATED);
    assert!(queryable(&test, "bob", "main", Role::Writer).await.is_empty());

    let admin = test.user(Role::Admin);
    admin.post("/v1/datasets/out/grants", &json!({ "role": "writer" })).await;
    let run = bob.trigger("reader").await;
    test.run_everything().await;
    let audit: Vec<serde_json::Value> = admin.get("/v1/audit?limit=1000").await;
    let denied = audit.iter().filter(|entry| entry["verdict"] == "deny").count();
    assert_eq!(denied, 1, "the refused trigger is in the log");
    assert!(audit.iter().any(|entry| entry["detail"]["run"] == json!(run.run)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_or_of_no_org_gets_nothing() {
    let test = TestApp::start().await;
    let ann = test.named("ann", "main", Role::Writer);
    ann.deploy(ONE_JOB).await;
    sqlx::query("update users set suspended_at = now() where external_id = 'ann'")
        .execute(&test.app.db)
        .await
        .unwrap();
    let refused = problem(ann.send(Method::GET, "/v1/dags").await).await;
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert!(refused.detail.contains("suspended"), "{}", refused.detail);
    let nobody = test.named("eve", "nowhere", Role::Admin);
    assert_eq!(code(nobody.send(Method::GET, "/v1/dags").await).await, ErrorCode::Forbidden);
    let bob = test.named("bob", "main", Role::Admin);
    assert_eq!(bob.send(Method::GET, "/v1/whoami").await.status(), StatusCode::OK);
    let moved = test.named("bob", "rival", Role::Admin);
    assert_eq!(code(moved.send(Method::GET, "/v1/whoami").await).await, ErrorCode::Forbidden);
}
