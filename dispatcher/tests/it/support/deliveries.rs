//! Webhooks, and a gateway that a test plays: it claims and reports, and sends nothing.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trace_contracts::{
    ClaimId, DeliveryId, Role,
    wire::{
        delivery::{DeliveryClaimReply, OutgoingDelivery, SendOutcome},
        webhook::{DeliveryInfo, WebhookInfo, WebhookKeyReply},
    },
};
use trace_dispatcher::webhooks::Settings;

use super::app::{Client, TestApp};

/// A DAG of one job that has everything told to `ops`.
pub const TELLING: &str = "name: d
jobs:
  - name: a
    udf: { language: python, path: u }
    retries: { max: 0 }
publish:
  out: { from: { job: a } }
deliver:
  - { on: run_finished, to: ops }
  - { on: task_dead, to: ops }
  - { on: dataset_published, to: ops }
  - { on: task_message, to: ops, job: a }
";

/// One that has the end of its runs told to `ops`.
pub const ENDING: &str = "name: d
jobs:
  - name: a
    udf: { language: python, path: u }
deliver:
  - { on: run_finished, to: ops }
";

/// Where `ops` is; the path is the receiver's secret.
pub const OPS: &str = "https://hooks.example.com/services/hunter2";

/// Times short enough for tests: a try fails and is due again.
pub fn eager() -> Settings {
    Settings { first_retry_ms: 0, longest_retry_ms: 0, ..Settings::default() }
}

/// A gateway's claim.
pub struct Claimed {
    pub claim: ClaimId,
    pub deliveries: Vec<OutgoingDelivery>,
}

pub async fn add(client: &Client, name: &str, url: &str) -> WebhookKeyReply {
    let response = client.post("/v1/webhooks", &json!({ "name": name, "url": url })).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    response.json().await.unwrap()
}

pub async fn allow(client: &Client, to: &str) -> String {
    let response = client.post("/v1/egress", &json!({ "effect": "allow", "to": to })).await;
    let change: Value = response.json().await.unwrap();
    change["rule"]["rule"].as_str().unwrap().to_owned()
}

/// Adds `ops`, allows it, and deploys this DAG.
pub async fn telling(test: &TestApp, yaml: &str) -> WebhookKeyReply {
    let admin = test.user(Role::Admin);
    let added = add(&admin, "ops", OPS).await;
    allow(&admin, "hooks.example.com:443").await;
    admin.deploy(yaml).await;
    added
}

/// Runs `d` to its end, so many times: as many deliveries are due with [`ENDING`].
pub async fn end_runs(test: &TestApp, dag: &str, runs: usize) {
    for _ in 0..runs {
        test.user(Role::Admin).trigger(dag).await;
        test.run_everything().await;
    }
}

impl TestApp {
    /// What is due now.
    pub async fn claim_deliveries(&self, max: u32) -> Claimed {
        self.claim_deliveries_within(max, 0).await
    }

    /// What is due within a time.
    pub async fn claim_deliveries_within(&self, max: u32, wait_ms: u64) -> Claimed {
        let claim = ClaimId::random();
        let body = json!({ "claim": claim, "max": max, "wait_ms": wait_ms });
        let response = self.plane().post("/internal/deliveries/claim", &body).await;
        assert_eq!(response.status(), StatusCode::OK);
        let reply: DeliveryClaimReply = response.json().await.unwrap();
        Claimed { claim, deliveries: reply.deliveries }
    }

    /// The one delivery that is due now.
    pub async fn claim_delivery(&self) -> (ClaimId, OutgoingDelivery) {
        let mut claimed = self.claim_deliveries(10).await;
        assert_eq!(claimed.deliveries.len(), 1);
        (claimed.claim, claimed.deliveries.remove(0))
    }

    /// Says what came of a delivery; answers the verdict.
    pub async fn report(&self, claim: ClaimId, delivery: DeliveryId, outcome: SendOutcome) -> String {
        let body = json!({ "claim": claim, "outcomes": [{ "delivery": delivery, "outcome": outcome }] });
        let response = self.plane().post("/internal/deliveries/report", &body).await;
        let reply: Value = response.json().await.unwrap();
        reply["verdicts"][0].as_str().unwrap().to_owned()
    }

    /// Claims the one delivery that is due, and says that it was answered like this.
    pub async fn answer_next(&self, status: u16) -> OutgoingDelivery {
        let (claim, delivery) = self.claim_delivery().await;
        assert_eq!(self.report(claim, delivery.delivery, answered(status)).await, "recorded");
        delivery
    }

    /// The deliveries of `ops`, the newest first.
    pub async fn deliveries(&self) -> Vec<DeliveryInfo> {
        self.user(Role::Admin).get("/v1/webhooks/ops/deliveries").await
    }

    /// `ops` as people see it.
    pub async fn ops(&self) -> WebhookInfo {
        self.user(Role::Admin).get::<Vec<WebhookInfo>>("/v1/webhooks").await.remove(0)
    }

    /// Has the dead deliveries of `ops` sent again; answers how many.
    pub async fn redrive(&self) -> u64 {
        let response = self.user(Role::Admin).post("/v1/webhooks/ops/redrive", &json!({})).await;
        let reply: Value = response.json().await.unwrap();
        reply["redriven"].as_u64().unwrap()
    }

    pub async fn remove_rule(&self, rule: &str) {
        let response = self.user(Role::Admin).send(Method::DELETE, &format!("/v1/egress/{rule}")).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}

pub const fn answered(status: u16) -> SendOutcome {
    SendOutcome::Answered { status, retry_after_s: None }
}

/// What a delivery says.
pub fn said(delivery: &OutgoingDelivery) -> Value {
    serde_json::from_str(delivery.body.expose()).unwrap()
}
