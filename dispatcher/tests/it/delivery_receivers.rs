//! Receivers that fail: left alone for a while, tried with one delivery, and trusted again; and that no receiver
//! keeps others waiting.

use serde_json::json;
use trace_contracts::{
    Role,
    wire::{delivery::SendOutcome, webhook::DeliveryState},
};
use trace_dispatcher::webhooks::Settings;

use crate::support::{
    app::TestApp,
    deliveries::{ENDING, add, allow, answered, eager, end_runs, telling},
};

/// The time for which receivers rest is up.
async fn rested(test: &TestApp) {
    sqlx::query("update webhook_circuits set open_until = now() where open_until is not null")
        .execute(&test.app.db)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_left_alone_then_tried_with_one_then_trusted_again() {
    let test = TestApp::delivering(Settings { rest_after: 2, rest_ms: 60_000, ..eager() }).await;
    telling(&test, ENDING).await;
    end_runs(&test, "d", 3).await;
    let claimed = test.claim_deliveries(10).await;
    assert_eq!(claimed.deliveries.len(), 3);
    for one in &claimed.deliveries {
        test.report(claimed.claim, one.delivery, SendOutcome::NoAnswer).await;
    }
    assert!(test.claim_deliveries(10).await.deliveries.is_empty(), "it rests");
    let ops = test.ops().await;
    assert_eq!((ops.failures, ops.due, ops.rests_until.is_some()), (3, 3, true));

    rested(&test).await;
    let probe = test.claim_deliveries(10).await;
    assert_eq!(probe.deliveries.len(), 1, "one, to see");
    assert!(test.claim_deliveries(10).await.deliveries.is_empty(), "and no other meanwhile");
    test.report(probe.claim, probe.deliveries[0].delivery, answered(500)).await;
    assert!(test.claim_deliveries(10).await.deliveries.is_empty(), "it rests again");

    rested(&test).await;
    let probe = test.claim_deliveries(10).await;
    assert_eq!(probe.deliveries.len(), 1);
    test.report(probe.claim, probe.deliveries[0].delivery, answered(200)).await;
    assert_eq!(test.claim_deliveries(10).await.deliveries.len(), 2, "it works again");
    assert_eq!(test.ops().await.failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_disabled_until_an_admin_enables_it() {
    let test = TestApp::delivering(eager()).await;
    telling(&test, ENDING).await;
    end_runs(&test, "d", 2).await;
    let claimed = test.claim_deliveries(10).await;
    test.report(claimed.claim, claimed.deliveries[0].delivery, answered(410)).await;
    test.report(claimed.claim, claimed.deliveries[1].delivery, answered(503)).await;
    let disabled = test.ops().await.disabled.unwrap();
    assert!(disabled.contains("410"), "{disabled}");
    assert!(test.claim_deliveries(10).await.deliveries.is_empty());
    let dead = test.deliveries().await;
    assert!(dead.iter().all(|one| one.state == DeliveryState::Dead), "{dead:?}");
    assert!(dead[0].reason.as_ref().unwrap().contains("`trace webhooks enable ops`"));

    let admin = test.user(Role::Admin);
    admin.post("/v1/webhooks/ops/enable", &json!({})).await;
    assert_eq!(test.ops().await.disabled, None);
    assert_eq!(test.redrive().await, 2);
    assert_eq!(test.claim_deliveries(10).await.deliveries.len(), 2);
    let log: Vec<serde_json::Value> = admin.get("/v1/audit?limit=1000").await;
    for action in ["webhook.add", "webhook.disable", "webhook.enable", "delivery.redrive"] {
        assert!(log.iter().any(|row| row["action"] == action && row["object"] == "ops"), "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_has_few_at_once_and_holds_up_no_other() {
    let test = TestApp::delivering(Settings { at_once: 2, ..Settings::default() }).await;
    telling(&test, ENDING).await;
    let admin = test.user(Role::Admin);
    add(&admin, "quick", "https://quick.example.com/").await;
    allow(&admin, "quick.example.com:443").await;
    admin.deploy(&ENDING.replace("name: d", "name: other").replace("to: ops", "to: quick")).await;
    end_runs(&test, "d", 5).await;
    let slow = test.claim_deliveries(10).await;
    assert_eq!(slow.deliveries.len(), 2);
    assert!(test.claim_deliveries(10).await.deliveries.is_empty(), "three more wait for it");
    end_runs(&test, "other", 1).await;
    let quick = test.claim_deliveries(10).await;
    assert_eq!(quick.deliveries.iter().map(|one| &*one.webhook).collect::<Vec<_>>(), ["quick"]);
    test.report(slow.claim, slow.deliveries[0].delivery, answered(200)).await;
    assert_eq!(test.claim_deliveries(10).await.deliveries.len(), 1, "there is room for one again");
}
