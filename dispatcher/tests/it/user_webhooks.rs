//! `/v1/webhooks`, and what a deploy says of it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use trace_contracts::{
    ErrorCode, Role, Secret,
    wire::{
        delivery::OutgoingDelivery,
        webhook::{WebhookInfo, WebhookKeyReply},
    },
};
use trace_dispatcher::config::Egress;

use crate::support::{
    app::{Client, TestApp, code, problem},
    deliveries::{ENDING, OPS, TELLING, add, allow, end_runs, telling},
};

/// Whether the specification's own library takes a delivery under a key.
fn verifies(delivery: &OutgoingDelivery, key: &Secret<String>) -> bool {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("webhook-id", delivery.message_id.parse().unwrap());
    headers.insert("webhook-timestamp", delivery.timestamp.to_string().parse().unwrap());
    headers.insert("webhook-signature", delivery.signature.expose().parse().unwrap());
    let webhook = Webhook::new(key.expose()).unwrap();
    webhook.verify(delivery.body.expose().as_bytes(), &headers).is_ok()
}

async fn rotate(client: &Client, overlap_seconds: u32) -> WebhookKeyReply {
    let body = json!({ "overlap_seconds": overlap_seconds });
    client.post("/v1/webhooks/ops/rotate", &body).await.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_keys_sign_while_they_rotate_and_the_specification_s_library_takes_either() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let first = telling(&test, ENDING).await.key;
    end_runs(&test, "d", 1).await;
    let (_, delivery) = test.claim_delivery().await;
    assert!(verifies(&delivery, &first));
    let mut changed = delivery.clone();
    changed.body = Secret::new(delivery.body.expose().replace("succeeded", "failed"));
    assert!(!verifies(&changed, &first));

    let rotated = rotate(&admin, 600).await;
    assert!(rotated.webhook.old_key_until.is_some());
    end_runs(&test, "d", 1).await;
    let (_, delivery) = test.claim_delivery().await;
    assert!(verifies(&delivery, &first) && verifies(&delivery, &rotated.key));

    let leaked = rotate(&admin, 0).await;
    assert_eq!(leaked.webhook.old_key_until, None);
    end_runs(&test, "d", 1).await;
    let (_, delivery) = test.claim_delivery().await;
    assert!(verifies(&delivery, &leaked.key));
    assert!(!verifies(&delivery, &first) && !verifies(&delivery, &rotated.key));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_alone_gives_neither_keys_nor_paths_away() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    let added = add(&admin, "ops", OPS).await;
    assert!(added.key.expose().starts_with("whsec_"));
    let rows: Vec<String> = sqlx::query_scalar(
        "select w::text from webhooks w union all select k::text from webhook_keys k
        union all select a::text from audit a",
    )
    .fetch_all(&test.app.db)
    .await
    .unwrap();
    let all = rows.join("\n");
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in ["hunter2", added.key.expose().strip_prefix("whsec_").unwrap()] {
        assert!(!all.contains(secret) && !all.contains(&hex(secret)), "{all}");
    }
    assert!(rows.len() >= 3 && all.contains("hooks.example.com:443"));
    let listed: Value = admin.get("/v1/webhooks").await;
    assert!(!listed.to_string().contains("hunter2") && !listed.to_string().contains("whsec_"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_moved_to_another_webhook_signs_nothing() {
    let test = TestApp::start().await;
    telling(&test, ENDING).await;
    end_runs(&test, "d", 1).await;
    let rival = test.named("rival_admin", "rival", Role::Admin);
    add(&rival, "theirs", "https://theirs.example.com/").await;
    // Somebody who can write to the database lets one org's key sign for another.
    sqlx::query(
        "update webhook_keys k set sealed = o.sealed from webhook_keys o
        where k.webhook_id = (select webhook_id from webhooks where name = 'ops') and o.key_id <> k.key_id",
    )
    .execute(&test.app.db)
    .await
    .unwrap();
    assert!(test.claim_deliveries(10).await.deliveries.is_empty());
    let reason = test.deliveries().await.remove(0).reason.unwrap();
    assert!(reason.contains("can't be opened"), "{reason}");
}

/// What a deploy is refused with.
async fn mistakes(client: &Client, yaml: &str) -> Vec<String> {
    let refused = problem(client.try_deploy(yaml, b"content").await).await;
    assert_eq!(refused.code, ErrorCode::InvalidDag);
    refused.errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dag_is_deployed_once_there_is_a_webhook_that_it_may_reach() {
    let test = TestApp::start().await;
    let (admin, writer) = (test.user(Role::Admin), test.user(Role::Writer));
    let wrong = mistakes(&writer, TELLING).await;
    assert_eq!(wrong.len(), 4);
    assert!(
        wrong[0].starts_with("deliver[0].to: ") && wrong[0].contains("`trace webhooks add ops"),
        "{wrong:?}"
    );
    add(&test.named("rival_admin", "rival", Role::Admin), "ops", OPS).await;
    assert_eq!(mistakes(&writer, TELLING).await.len(), 4, "another org's webhook is none");
    add(&admin, "ops", OPS).await;
    let wrong = mistakes(&writer, TELLING).await;
    assert!(wrong[0].contains("`trace egress allow hooks.example.com:443 --dag d`"), "{wrong:?}");
    allow(&admin, "*.example.com:443").await;
    writer.deploy(TELLING).await;

    let without = TestApp::with(Egress::None).await;
    add(&without.user(Role::Admin), "ops", OPS).await;
    let wrong = mistakes(&without.user(Role::Admin), ENDING).await;
    assert!(wrong[0].contains("no egress gateway"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_deliver_is_told_by_its_place() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let with = |entry: &str| format!("{}  - {entry}\n", ENDING);
    for (entry, told) in [
        ("{ on: run_finished, to: ops }", "is told of this already"),
        ("{ on: run_started, to: ops }", "is not an event that is told"),
        ("{ on: task_message, to: ops }", "name it with `job`"),
        ("{ on: task_message, to: ops, job: b }", "`b`"),
        ("{ on: task_dead, to: ops, job: a }", "leave `job` out"),
        ("{ on: task_dead, to: 'https://hooks.example.com/' }", "deliver[1].to"),
    ] {
        let wrong = mistakes(&writer, &with(entry)).await;
        assert!(wrong.iter().any(|wrong| wrong.contains(told)), "{entry}: {wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_have_one_name_each_and_addresses_that_are_plain() {
    let test = TestApp::start().await;
    let admin = test.user(Role::Admin);
    add(&admin, "ops", OPS).await;
    let again = admin.post("/v1/webhooks", &json!({ "name": "ops", "url": OPS })).await;
    assert_eq!(code(again).await, ErrorCode::Conflict);
    for url in
        ["http://hooks.example.com/", "https://user:hunter2@example.com/", "https://example.com/ hunter2"]
    {
        let refused = problem(admin.post("/v1/webhooks", &json!({ "name": "x", "url": url })).await).await;
        assert_eq!(refused.code, ErrorCode::BadRequest);
        assert!(!refused.detail.contains("hunter2"), "{}", refused.detail);
    }
    let long = admin.post("/v1/webhooks/ops/rotate", &json!({ "overlap_seconds": 604_801 })).await;
    assert_eq!(code(long).await, ErrorCode::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_to_a_removed_webhook_is_given_up_and_a_new_one_of_its_name_is_told_of_what_follows() {
    let test = TestApp::start().await;
    telling(&test, ENDING).await;
    end_runs(&test, "d", 1).await;
    let admin = test.user(Role::Admin);
    let removed = admin.send(Method::DELETE, "/v1/webhooks/ops").await;
    assert_eq!(removed.status(), StatusCode::OK);
    // The event happens while there is no webhook of the name.
    end_runs(&test, "d", 1).await;
    assert!(test.claim_deliveries(10).await.deliveries.is_empty());
    let ends: Vec<(String, String)> =
        sqlx::query_as("select state, reason from delivery_ends").fetch_all(&test.app.db).await.unwrap();
    assert_eq!(ends, vec![("dead".to_owned(), "the webhook was removed".to_owned()); 2]);
    let keys: i64 =
        sqlx::query_scalar("select count(*) from webhook_keys").fetch_one(&test.app.db).await.unwrap();
    assert_eq!(keys, 0);
    let added = add(&admin, "ops", OPS).await;
    end_runs(&test, "d", 1).await;
    let (_, delivery) = test.claim_delivery().await;
    assert!(verifies(&delivery, &added.key));
    let listed: Vec<WebhookInfo> = admin.get("/v1/webhooks").await;
    assert_eq!(listed.len(), 1);
}
