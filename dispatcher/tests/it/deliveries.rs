//! Deliveries: written with their events, claimed by one gateway at a time, and ended or sent again.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use trace_contracts::{
    DeliveryId, Role,
    wire::{
        delivery::{OutgoingDelivery, SendOutcome},
        webhook::DeliveryState,
    },
};
use trace_dispatcher::webhooks::Settings;

use crate::{
    support::{
        app::TestApp,
        deliveries::{ENDING, OPS, TELLING, add, allow, answered, eager, end_runs, said, telling},
    },
    user_deploy::ONE_JOB,
};

/// Types of what was claimed, sorted, and each by its own id.
fn types(deliveries: &[OutgoingDelivery]) -> Vec<String> {
    let ids: BTreeSet<&String> = deliveries.iter().map(|one| &one.message_id).collect();
    assert_eq!(ids.len(), deliveries.len(), "each has an id of its own");
    let mut types: Vec<String> =
        deliveries.iter().map(|one| said(one)["type"].as_str().unwrap().to_owned()).collect();
    types.sort();
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dag_names_is_told_once_and_says_no_more_than_ids_and_counts() {
    let test = TestApp::start().await;
    telling(&test, TELLING).await;
    let run = test.user(Role::Admin).trigger("d").await.run;
    let lease = test.claim().await.remove(0);
    assert!(test.claim_deliveries(10).await.deliveries.is_empty(), "nothing has happened yet");
    test.complete(&lease, json!({ "outcome": "succeeded" })).await;
    let claimed = test.claim_deliveries(10).await;
    assert_eq!(types(&claimed.deliveries), ["dataset.published", "run.finished"]);
    let of = |kind: &str| {
        let found = claimed.deliveries.iter().map(said).find(|said| said["type"] == kind);
        let mut said = found.unwrap();
        assert!(said["timestamp"].take().is_string());
        said
    };
    let version = trace_contracts::DatasetVersionId::in_run(run, 0).unwrap();
    assert_eq!(
        of("run.finished"),
        json!({
            "type": "run.finished", "timestamp": null, "data": {
                "org": lease.launch.org, "dag": "d", "run": run, "state": "succeeded",
                "tasks": { "total": 1, "succeeded": 1, "dead": 0 },
            },
        })
    );
    assert_eq!(
        of("dataset.published"),
        json!({
            "type": "dataset.published", "timestamp": null,
            "data": { "org": lease.launch.org, "dag": "d", "run": run, "dataset": "out", "version": version },
        })
    );

    let run = test.user(Role::Admin).trigger("d").await.run;
    let lease = test.claim().await.remove(0);
    let why = json!({ "outcome": "failed", "reason": "exit", "detail": "hunter3" });
    test.complete(&lease, why).await;
    let claimed = test.claim_deliveries(10).await;
    assert_eq!(types(&claimed.deliveries), ["run.finished", "task.dead"]);
    let said: Vec<Value> = claimed.deliveries.iter().map(said).collect();
    let dead = said.iter().find(|said| said["type"] == "task.dead").unwrap();
    let expected = json!({
        "org": lease.launch.org, "dag": "d", "run": run, "task": lease.launch.task, "job": "a",
        "partition": "all", "reason": "exit",
    });
    assert_eq!(dead["data"], expected);
    assert!(!json!(said).to_string().contains("hunter3"), "what code said stays here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_told_of_and_a_dag_that_names_nobody_writes_nothing() {
    let test = TestApp::start().await;
    telling(&test, ENDING).await;
    let admin = test.user(Role::Admin);
    let run = admin.trigger("d").await.run;
    admin.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
    let (_, delivery) = test.claim_delivery().await;
    assert_eq!(said(&delivery)["data"]["state"], "cancelled");
    admin.deploy(&ONE_JOB.replace("name: d", "name: quiet").replace("out:", "silent:")).await;
    end_runs(&test, "quiet", 2).await;
    let written: i64 =
        sqlx::query_scalar("select count(*) from deliveries").fetch_one(&test.app.db).await.unwrap();
    assert_eq!(written, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_hears_of_an_event() {
    let test = TestApp::start().await;
    telling(&test, ENDING).await;
    let (claimed, ()) = tokio::join!(test.claim_deliveries_within(1, 20_000), end_runs(&test, "d", 1));
    assert_eq!(claimed.deliveries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_after_sending_leaves_a_delivery_that_is_sent_again_as_it_was() {
    let test = TestApp::delivering(Settings { claim_ms: 400, ..Settings::default() }).await;
    telling(&test, ENDING).await;
    end_runs(&test, "d", 1).await;
    let (dead_gateway, first) = test.claim_delivery().await;
    assert!(test.claim_deliveries(10).await.deliveries.is_empty(), "it is somebody's");
    let again = test.claim_deliveries_within(10, 20_000).await;
    let second = &again.deliveries[0];
    assert_eq!((second.delivery, &second.message_id), (first.delivery, &first.message_id));
    assert_eq!(second.body, first.body);
    assert_eq!(test.report(dead_gateway, first.delivery, answered(500)).await, "stale");
    assert_eq!(test.report(again.claim, first.delivery, answered(200)).await, "recorded");
    assert_eq!(test.report(again.claim, first.delivery, answered(500)).await, "stale", "it has ended");
    let listed = test.deliveries().await;
    assert_eq!(
        (listed[0].state, listed[0].tries, listed[0].last_status),
        (DeliveryState::Delivered, 2, Some(200))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_claim_disjoint_sets() {
    const WEBHOOKS: usize = 6;
    const EACH: usize = 3;
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    allow(&admin, "*.example.com:443").await;
    let mut yaml = ENDING.replace("  - { on: run_finished, to: ops }\n", "");
    for hook in 0..WEBHOOKS {
        add(&admin, &format!("h{hook}"), &format!("https://h{hook}.example.com/")).await;
        yaml += &format!("  - {{ on: run_finished, to: h{hook} }}\n");
    }
    admin.deploy(&yaml).await;
    end_runs(&test, "d", EACH).await;
    let gateway = || async {
        let mut taken: Vec<DeliveryId> = Vec::new();
        loop {
            let claimed = test.claim_deliveries(2).await.deliveries;
            if claimed.is_empty() {
                return taken;
            }
            taken.extend(claimed.iter().map(|one| one.delivery));
        }
    };
    let (one, other, third) = tokio::join!(gateway(), gateway(), gateway());
    let rest = gateway().await;
    let taken: Vec<DeliveryId> = [one, other, third, rest].concat();
    let different: BTreeSet<DeliveryId> = taken.iter().copied().collect();
    assert_eq!((taken.len(), different.len()), (WEBHOOKS * EACH, WEBHOOKS * EACH));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_removed_since_stops_a_delivery_and_a_redrive_sends_it_as_it_was() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    add(&admin, "ops", OPS).await;
    let rule = allow(&admin, "hooks.example.com:443").await;
    admin.deploy(ENDING).await;
    end_runs(&test, "d", 1).await;
    test.remove_rule(&rule).await;
    assert!(test.claim_deliveries(10).await.deliveries.is_empty());
    let dead = test.deliveries().await.remove(0);
    assert_eq!(dead.state, DeliveryState::Dead);
    let reason = dead.reason.unwrap();
    assert!(reason.contains("`trace egress allow hooks.example.com:443 --dag d`"), "{reason}");
    let log: Vec<Value> = admin.get("/v1/audit?limit=1000").await;
    let refused = log.iter().find(|row| row["action"] == "delivery.send").unwrap();
    assert_eq!((&refused["verdict"], &refused["object"]), (&json!("deny"), &json!("hooks.example.com:443")));

    assert_eq!(test.redrive().await, 1);
    assert!(test.claim_deliveries(10).await.deliveries.is_empty(), "there is no rule still");
    allow(&admin, "hooks.example.com:443").await;
    // A denial beats every permission, here as everywhere.
    let denied = admin.post("/v1/egress", &json!({ "effect": "deny", "to": "*.example.com:443" })).await;
    let denied: Value = denied.json().await.unwrap();
    assert_eq!(test.redrive().await, 1);
    assert!(test.claim_deliveries(10).await.deliveries.is_empty());
    test.remove_rule(denied["rule"]["rule"].as_str().unwrap()).await;
    assert_eq!(test.redrive().await, 1);
    let sent = test.answer_next(204).await;
    assert_eq!(sent.delivery, dead.delivery);
    assert_eq!(test.redrive().await, 0, "what was delivered is not dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_succeed_later_is_tried_so_often_and_then_waits_for_an_admin() {
    let test = TestApp::delivering(Settings { max_tries: 3, rest_after: 100, ..eager() }).await;
    telling(&test, ENDING).await;
    end_runs(&test, "d", 1).await;
    let ids: BTreeSet<String> = [test.answer_next(503).await, test.answer_next(429).await]
        .into_iter()
        .map(|one| one.message_id)
        .collect();
    let (claim, delivery) = test.claim_delivery().await;
    assert_eq!(test.report(claim, delivery.delivery, SendOutcome::NoAnswer).await, "recorded");
    assert_eq!(ids, BTreeSet::from([delivery.message_id]), "the same each time");
    let dead = test.deliveries().await.remove(0);
    assert_eq!((dead.state, dead.tries, dead.last_status), (DeliveryState::Dead, 3, Some(429)));
    assert_eq!(dead.reason.as_deref(), Some("given up after 3 tries"));
    assert_eq!(test.redrive().await, 1);
    test.answer_next(200).await;
    let delivered = test.deliveries().await.remove(0);
    assert_eq!((delivered.state, delivered.tries), (DeliveryState::Delivered, 1), "counted anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_s_retry_after_is_waited_for() {
    let test = TestApp::delivering(Settings { longest_retry_ms: 3_600_000, ..eager() }).await;
    telling(&test, ENDING).await;
    end_runs(&test, "d", 1).await;
    let (claim, delivery) = test.claim_delivery().await;
    let busy = SendOutcome::Answered { status: 429, retry_after_s: Some(600) };
    test.report(claim, delivery.delivery, busy).await;
    assert!(test.claim_deliveries(10).await.deliveries.is_empty());
    let wait: f64 =
        sqlx::query_scalar("select extract(epoch from due_at - now())::float8 from due_deliveries")
            .fetch_one(&test.app.db)
            .await
            .unwrap();
    assert!((500.0..=600.0).contains(&wait), "{wait}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_succeed_is_not_tried_again() {
    let test = TestApp::delivering(eager()).await;
    telling(&test, ENDING).await;
    for (status, told) in [(404, "answered 404"), (302, "a redirect"), (400, "answered 400")] {
        end_runs(&test, "d", 1).await;
        test.answer_next(status).await;
        assert!(test.claim_deliveries(10).await.deliveries.is_empty(), "{status}");
        let dead = test.deliveries().await.remove(0);
        assert_eq!((dead.state, dead.tries), (DeliveryState::Dead, 1), "{status}");
        assert!(dead.reason.unwrap().contains(told));
    }
    assert_eq!(test.ops().await.failures, 0, "a receiver that answers works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_alone_claims_and_reports_are_bounded() {
    let test = TestApp::start().await;
    let outcomes: Vec<Value> = (1..=65)
        .map(|n| json!({ "delivery": format!("dl{n}"), "outcome": { "outcome": "no_answer" } }))
        .collect();
    let body = json!({ "claim": trace_contracts::ClaimId::random(), "outcomes": outcomes });
    assert_eq!(test.plane().post("/internal/deliveries/report", &body).await.status(), 400);
    assert_eq!(test.worker().send(Method::POST, "/internal/deliveries/claim").await.status(), 403);
}
