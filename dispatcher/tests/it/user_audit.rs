//! The audit log: complete, append-only, read by few.

use reqwest::Method;
use serde_json::{Value, json};
use trace_contracts::Role;

use crate::{support::app::TestApp, user_deploy::ONE_JOB};

#[tokio::test(flavor = "multi_thread")]
async fn what_users_do_is_in_the_log_and_stays_there() {
    let test = TestApp::start().await;
    let (writer, admin) = (test.user(Role::Writer), test.user(Role::Admin));
    writer.deploy(ONE_JOB).await;
    let run = writer.trigger("d").await.run;
    writer.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
    admin.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
    admin.post("/v1/datasets/out/grants", &json!({ "role": "reader" })).await;
    let auditor = test.user(Role::Auditor);
    let shown = |entries: &[Value]| -> Vec<String> {
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or("?").to_owned();
        entries
            .iter()
            .map(|entry| {
                let object = text(entry, "object").replace(&run.to_string(), "RUN");
                let object = if object.len() == 64 { "SHA256".to_owned() } else { object };
                format!("{} {} {object}", text(entry, "verdict"), text(entry, "action"))
            })
            .collect()
    };
    let entries: Vec<Value> = auditor.get("/v1/audit").await;
    assert_eq!(
        shown(&entries),
        [
            "allow blob.put SHA256",
            "allow dag.deploy d",
            "allow run.trigger d",
            "deny run.cancel /v1/runs/RUN/cancel",
            "allow run.cancel RUN",
            "allow dataset.grant out",
        ]
    );
    let last = entries.last().unwrap()["audit_id"].as_i64().unwrap();
    let next: Vec<Value> = auditor.get(&format!("/v1/audit?after={last}&limit=1")).await;
    assert_eq!(shown(&next), ["allow audit.read audit"], "reading it is in it");

    for change in ["update audit set verdict = 'allow'", "delete from audit", "truncate audit"] {
        let error = sqlx::query(change).execute(&test.app.db).await.unwrap_err();
        assert!(error.to_string().contains("audit is append-only"), "{change}: {error}");
    }
    let rival = test.named("spy", "rival", Role::Auditor);
    let foreign: Vec<Value> = rival.get("/v1/audit").await;
    assert!(foreign.is_empty(), "another org's log is its own");
    assert_eq!(test.user(Role::Operator).send(Method::GET, "/v1/audit").await.status(), 403);
}
