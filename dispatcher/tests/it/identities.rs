//! `POST /internal/identities/resolve`: whose token a plane was shown.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{interval, timeout};
use trace_contracts::{ErrorCode, OrgId, Role};
use trace_dispatcher::{bootstrap, identity::Kind};

use crate::support::app::{TestApp, code};

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);

async fn resolved(test: &TestApp, token: &str) -> Value {
    let answer = test.plane().post("/internal/identities/resolve", &json!({ "token": token })).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

/// Dispatchers are told of a revocation, and look again after five seconds where they were not.
async fn until_refused(test: &TestApp, token: &str) -> Value {
    let mut looks = interval(Duration::from_millis(20));
    loop {
        looks.tick().await;
        let answer = resolved(test, token).await;
        if answer.get("refused").is_some() {
            return answer;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_is_told_whose_token_it_was_shown_until_that_is_revoked() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let main: i64 = sqlx::query_scalar("select org_id from orgs where slug = 'main'")
        .fetch_one(&test.app.db)
        .await
        .unwrap();
    for (name, kind) in [("indexer", Kind::Worker), ("reader", Kind::Plane)] {
        let token = bootstrap::issue_identity(&test.app.db, name, kind).await.unwrap();
        let known = resolved(&test, token.expose()).await;
        assert_eq!(known["name"], name);
        assert_eq!(known["org"], json!(OrgId::from_db(main)), "in whose audit log it stands what it does");

        let path = format!("/v1/workers/{name}/revoke");
        let done = admin.post(&path, &json!({ "reason": "stolen" })).await;
        assert_eq!(done.status(), StatusCode::OK);
        let refused = timeout(SOON, until_refused(&test, token.expose())).await.expect("it is refused soon");
        assert_eq!(refused["refused"]["code"], "forbidden", "{refused}");
        assert_eq!(refused.get("name"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_s_token_is_nobody_s_and_workers_may_not_ask() {
    let test = TestApp::start().await;
    let user = test.issuer.token("alice", "main", Role::Admin);
    for token in ["", "plane_nobody", user.as_str()] {
        assert_eq!(resolved(&test, token).await["refused"]["code"], "forbidden", "{token}");
    }
    let refused = test.worker().post("/internal/identities/resolve", &json!({ "token": "x" })).await;
    assert_eq!(code(refused).await, ErrorCode::Forbidden);
}
