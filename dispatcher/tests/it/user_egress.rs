//! `/v1/egress`, what a deploy says of it, and what attempts are given and lose.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trace_contracts::{
    Audience, Capability, ClaimId, ErrorCode, Role, Secret,
    keys::KeySet,
    wire::{
        egress::{EgressChange, EgressRuleInfo},
        task::TokenReply,
        worker::{ClaimReply, Lease},
    },
};
use trace_dispatcher::config::Egress;

use crate::support::app::{CAPABILITY_ISSUER, Client, TestApp, code, problem};

/// A DAG of one job that reaches two destinations, one of them with budgets of its own.
const REACHING: &str = "name: d
jobs:
  - name: a
    udf: { language: python, path: u }
    egress:
      - api.example.com:443
      - { to: b.example.com:8443, bytes: 1KiB, requests: 2 }
";

/// The same for a built-in operator.
const OPERATOR: &str = "name: o
jobs:
  - name: a
    operator: csv_to_parquet
    files: { source: data.csv }
    egress: [api.example.com:443]
";

/// One that reaches nothing.
const STAYING: &str = "name: s
jobs:
  - name: a
    udf: { language: python, path: u }
";

async fn set(client: &Client, effect: &str, to: &str, dag: Option<&str>) -> EgressChange {
    let response = client.post("/v1/egress", &json!({ "effect": effect, "to": to, "dag": dag })).await;
    let status = response.status();
    assert!(status.is_success(), "{status}: {}", response.text().await.unwrap());
    response.json().await.unwrap()
}

async fn remove(client: &Client, change: &EgressChange) -> EgressChange {
    let path = format!("/v1/egress/{}", change.rule.rule);
    client.send(Method::DELETE, &path).await.json().await.unwrap()
}

/// What a deploy is refused with, as `line field: message`.
async fn mistakes(client: &Client, yaml: &str) -> Vec<String> {
    let refused = problem(client.try_deploy(yaml, b"content").await).await;
    assert_eq!(refused.code, ErrorCode::InvalidDag);
    let said = |error: &trace_contracts::FieldError| {
        format!("{} {}: {}", error.line.unwrap_or_default(), error.field, error.message)
    };
    refused.errors.iter().map(said).collect()
}

fn verify(test: &TestApp, token: &Secret<String>, audience: Audience) -> Capability {
    let keys = KeySet::from_jwks(&test.app.keys.jwks()).unwrap();
    Capability::verify(token.expose(), &keys, CAPABILITY_ISSUER, audience).unwrap()
}

/// The destinations of a lease's capability.
fn reached(test: &TestApp, lease: &Lease) -> Vec<String> {
    let capability = verify(test, &lease.capability_token, Audience::Dispatcher);
    capability.grants().egress.iter().map(|grant| grant.destination.to_string()).collect()
}

async fn exchange(test: &TestApp, token: &Secret<String>, audience: Audience) -> reqwest::Response {
    let url = format!("http://{}/v1/task/token", test.addresses.tasks);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(url).bearer_auth(token.expose()).json(&json!({ "audience": audience }));
    request.send().await.unwrap()
}

/// The one task that is ready, or is about to be: a second loss lets it wait a little.
async fn one_lease(test: &TestApp) -> Lease {
    let body = json!({ "claim_id": ClaimId::random(), "max": 2, "wait_ms": 20_000 });
    let reply = test.worker().post("/internal/claim", &body).await;
    let mut reply: ClaimReply = reply.json().await.unwrap();
    assert_eq!(reply.leases.len(), 1);
    reply.leases.remove(0)
}

/// Deploys, with both destinations allowed, and takes the one task.
async fn reaching(test: &TestApp, admin: &Client) -> (EgressChange, Lease) {
    let rule = set(admin, "allow", "*.example.com:443", None).await;
    set(admin, "allow", "b.example.com:8443", Some("d")).await;
    admin.deploy(REACHING).await;
    admin.trigger("d").await;
    (rule, one_lease(test).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dag_is_deployed_once_an_admin_allows_what_it_declares() {
    let test = TestApp::start().await;
    let (admin, writer) = (test.user(Role::Admin), test.user(Role::Writer));
    insta::assert_json_snapshot!("nothing_is_allowed", mistakes(&writer, REACHING).await);
    insta::assert_json_snapshot!("nothing_is_allowed_to_an_operator", mistakes(&writer, OPERATOR).await);
    let rival = test.named("rival_admin", "rival", Role::Admin);
    set(&rival, "allow", "*.example.com:443", None).await;
    set(&admin, "allow", "*.example.com:443", Some("o")).await;
    assert_eq!(mistakes(&writer, REACHING).await.len(), 2, "of another org, and for another DAG");
    writer.deploy(OPERATOR).await;

    set(&admin, "allow", "*.example.com:443", None).await;
    let denial = set(&admin, "deny", "api.example.com:443", None).await;
    let denied = mistakes(&writer, REACHING).await;
    assert!(denied[0].contains("`trace egress remove e4`"), "{denied:?}");
    remove(&admin, &denial).await;
    assert_eq!(mistakes(&writer, REACHING).await.len(), 1, "the port counts");
    set(&admin, "allow", "b.example.com:8443", Some("d")).await;
    writer.deploy(REACHING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_nothing_that_reaches_out_is_deployed() {
    let test = TestApp::with(Egress::None).await;
    let admin = test.user(Role::Admin);
    set(&admin, "allow", "*.example.com:443", None).await;
    insta::assert_json_snapshot!("no_gateway", mistakes(&admin, REACHING).await);
    admin.deploy(STAYING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_has_what_is_declared_and_allowed_now() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let (_, lease) = reaching(&test, &admin).await;
    let capability = verify(&test, &lease.capability_token, Audience::Dispatcher);
    insta::assert_json_snapshot!("granted", capability.grants().egress);

    let reply = exchange(&test, &lease.capability_token, Audience::Egress).await;
    let reply: TokenReply = reply.json().await.unwrap();
    let egress = verify(&test, &reply.token, Audience::Egress);
    assert_eq!(egress.grants().egress, capability.grants().egress);
    assert!(egress.grants().inputs.is_empty(), "the gateway needs not know what a task reads");
    let reply = exchange(&test, &lease.capability_token, Audience::Query).await;
    let reply: TokenReply = reply.json().await.unwrap();
    assert!(verify(&test, &reply.token, Audience::Query).grants().egress.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_capability_is_decided_anew() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let (_, lease) = reaching(&test, &admin).await;
    // As if the attempt that holds it had not been ended yet.
    let gone = "delete from egress_rules where destination = '*.example.com:443'";
    sqlx::query(gone).execute(&test.app.db).await.unwrap();
    let reply = exchange(&test, &lease.capability_token, Audience::Dispatcher).await;
    let reply: TokenReply = reply.json().await.unwrap();
    let refreshed = Lease { capability_token: reply.token, ..lease.clone() };
    assert_eq!(reached(&test, &refreshed), ["b.example.com:8443"]);
    sqlx::query("delete from egress_rules").execute(&test.app.db).await.unwrap();
    let refused = problem(exchange(&test, &lease.capability_token, Audience::Egress).await).await;
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert!(refused.detail.contains("trace egress allow"), "{}", refused.detail);
    // What a capability has lost it does not get back: the next attempt does.
    set(&admin, "allow", "*.example.com:443", None).await;
    let again = exchange(&test, &refreshed.capability_token, Audience::Egress).await;
    assert_eq!(code(again).await, ErrorCode::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loses_its_permission_is_ended_and_runs_again_without_it() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    admin.deploy(STAYING).await;
    admin.trigger("s").await;
    let staying = one_lease(&test).await;
    let (rule, lease) = reaching(&test, &admin).await;

    let removed = remove(&admin, &rule).await;
    assert_eq!((removed.attempts_ended, removed.rule), (1, rule.rule));
    let over = exchange(&test, &lease.capability_token, Audience::Egress).await;
    assert_eq!(code(over).await, ErrorCode::Revoked);
    assert_eq!(exchange(&test, &staying.capability_token, Audience::Query).await.status(), StatusCode::OK);
    let again = one_lease(&test).await;
    assert_eq!((again.launch.task, again.launch.failures), (lease.launch.task, 0), "no retry is used up");
    assert_eq!(reached(&test, &again), ["b.example.com:8443"]);

    let denied = set(&admin, "deny", "*.example.com:8443", Some("d")).await;
    assert_eq!(denied.attempts_ended, 1);
    let third = one_lease(&test).await;
    assert_eq!(reached(&test, &third), [""; 0]);
    let unsettled = "select count(*) from egress_rules where state <> 'holds'";
    let unsettled: i64 = sqlx::query_scalar(unsettled).fetch_one(&test.app.db).await.unwrap();
    assert_eq!(unsettled, 0);
    let ended = "select count(*) from attempts where outcome = 'egress_withdrawn'";
    let ended: i64 = sqlx::query_scalar(ended).fetch_one(&test.app.db).await.unwrap();
    assert_eq!(ended, 2);
    assert_eq!(set(&admin, "deny", "*.example.com:8443", Some("d")).await.attempts_ended, 0, "set before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_rule_still_allows_goes_on() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let (rule, lease) = reaching(&test, &admin).await;
    set(&admin, "allow", "api.example.com:443", Some("d")).await;
    assert_eq!(remove(&admin, &rule).await.attempts_ended, 0);
    assert_eq!(set(&admin, "deny", "*.example.com:443", Some("other")).await.attempts_ended, 0);
    assert_eq!(set(&admin, "deny", "*.example.net:443", None).await.attempts_ended, 0);
    let rival = test.named("rival_admin", "rival", Role::Admin);
    assert_eq!(set(&rival, "deny", "*.example.com:443", None).await.attempts_ended, 0);
    assert_eq!(exchange(&test, &lease.capability_token, Audience::Egress).await.status(), StatusCode::OK);
}

/// The dispatcher that took the permission away stopped before it had ended what held it.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_ends_what_another_dispatcher_left() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let (rule, lease) = reaching(&test, &admin).await;
    let mut news = test.app.liveness.news();
    let mut later = test.app.db.begin().await.unwrap();
    sqlx::query("update egress_rules set state = 'ends' where rule_id = $1")
        .bind(rule.rule.rule.get())
        .execute(&mut *later)
        .await
        .unwrap();
    trace_dispatcher::db::notify::send(&mut later, trace_dispatcher::db::notify::Channel::Later)
        .await
        .unwrap();
    later.commit().await.unwrap();
    news.recv().await.unwrap();
    let over = exchange(&test, &lease.capability_token, Audience::Egress).await;
    assert_eq!(code(over).await, ErrorCode::Revoked);
    // Not by its lease running out, which would come later.
    let outcomes = sqlx::query_scalar("select outcome from attempts");
    let outcomes: Vec<String> = outcomes.fetch_all(&test.app.db).await.unwrap();
    assert_eq!(outcomes, ["egress_withdrawn"]);
    let rules: Vec<EgressRuleInfo> = admin.get("/v1/egress").await;
    assert_eq!(rules.len(), 1, "{rules:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_listed_once_and_changes_are_audited() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let body = json!({ "effect": "allow", "to": "*.Example.com:443" });
    assert_eq!(admin.post("/v1/egress", &body).await.status(), StatusCode::CREATED);
    assert_eq!(admin.post("/v1/egress", &body).await.status(), StatusCode::OK);
    let own = set(&admin, "deny", "pay.example.com:443", Some("d")).await;
    let listed: Vec<EgressRuleInfo> = test.user(Role::Auditor).get("/v1/egress").await;
    let shown: Vec<String> = listed.iter().map(|rule| format!("{} {}", rule.effect, rule.to)).collect();
    assert_eq!(shown, ["allow *.example.com:443", "deny pay.example.com:443"]);
    remove(&admin, &own).await;
    let again = admin.send(Method::DELETE, &format!("/v1/egress/{}", own.rule.rule)).await;
    assert_eq!(code(again).await, ErrorCode::NotFound);
    assert_eq!(code(admin.send(Method::DELETE, "/v1/egress/3").await).await, ErrorCode::NotFound);

    for bad in ["*:443", "*.com:443", "api.example.com", "http://api.example.com:443", "a b:443", ""] {
        let refused = admin.post("/v1/egress", &json!({ "effect": "allow", "to": bad })).await;
        assert_eq!(code(refused).await, ErrorCode::BadRequest, "{bad}");
    }
    let audit: Vec<Value> = admin.get("/v1/audit").await;
    let changes: Vec<String> = audit
        .iter()
        .filter(|entry| entry["action"].as_str().is_some_and(|action| action.starts_with("egress.")))
        .map(|entry| format!("{} {} {}", entry["action"], entry["object"], entry["detail"]["effect"]))
        .collect();
    insta::assert_json_snapshot!("audited", changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_has_so_many_rules_and_no_more() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let first = set(&admin, "allow", "first.example.com:443", None).await;
    let rest = "insert into egress_rules (org_id, effect, destination, set_by)
        select org_id, effect, n || '.example.com:443', set_by from egress_rules, generate_series(2, 1000) n";
    sqlx::query(rest).execute(&test.app.db).await.unwrap();
    let more = json!({ "effect": "allow", "to": "more.example.com:443" });
    let refused = problem(admin.post("/v1/egress", &more).await).await;
    assert_eq!(refused.code, ErrorCode::LimitExceeded);
    assert!(refused.detail.contains("trace egress list"), "{}", refused.detail);
    remove(&admin, &first).await;
    assert_eq!(admin.post("/v1/egress", &more).await.status(), StatusCode::CREATED);
}
