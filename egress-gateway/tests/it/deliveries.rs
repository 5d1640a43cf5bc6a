//! Deliveries: sent to vetted addresses over TLS, with what the dispatcher signed, and reported by their status.

use std::net::SocketAddr;

use serde_json::json;
use trace_contracts::{
    DeliveryId, OrgId, Secret,
    wire::{
        delivery::{OutgoingDelivery, SendOutcome},
        plane::{Actor, AuditEntry, AuditVerdict},
    },
};
use trace_egress_gateway::config::Deliveries;

use crate::{
    dns::{Answer, Dns, addresses},
    platform::{Platform, limits, loopback},
    receiver::Certificates,
};

const BODY: &str = r#"{"type":"run.finished","data":"hunter2"}"#;

fn delivery(number: i64, url: &str) -> OutgoingDelivery {
    OutgoingDelivery {
        delivery: DeliveryId::from_db(number),
        org: OrgId::from_db(1),
        actor: Actor::Platform,
        webhook: "ops".parse().unwrap(),
        url: url.parse().unwrap(),
        message_id: format!("msg_{number}"),
        timestamp: 1_356_998_400,
        signature: Secret::new("v1,hunter3 v1,hunter4".to_owned()),
        body: Secret::new(BODY.to_owned()),
        within_ms: 30_000,
    }
}

/// A gateway that believes these certificates and gives receivers two seconds.
async fn gateway(certificates: &Certificates, dns: Option<&Dns>) -> Platform {
    let servers: Vec<SocketAddr> = dns.iter().map(|dns| dns.address).collect();
    let deliveries =
        Deliveries { ca_file: Some(certificates.file()), answered_ms: 2_000, ..Deliveries::default() };
    Platform::delivering(limits(), loopback(), servers, deliveries).await
}

const fn answered(status: u16) -> SendOutcome {
    SendOutcome::Answered { status, retry_after_s: None }
}

async fn row(platform: &Platform, action: &str, delivery: &str) -> AuditEntry {
    platform.audit_of(|entry| entry.action == action && entry.detail["delivery"] == delivery).await
}

#[tokio::test]
async fn a_delivery_is_posted_as_it_was_signed_and_every_send_is_audited() {
    let certificates = Certificates::new();
    let receiver = certificates.receiver("127.0.0.1", "127.0.0.1:0").await;
    let platform = gateway(&certificates, None).await;
    let address = receiver.address;
    platform.due(delivery(1, &format!("https://{address}/services/hunter5?a=b")));
    assert_eq!(platform.reported(DeliveryId::from_db(1)).await, answered(200));
    let received = receiver.received().remove(0);
    assert_eq!((received.line.as_str(), &received.body[..]), ("POST /services/hunter5?a=b", BODY.as_bytes()));
    for (name, value) in [
        ("host", address.to_string().as_str()),
        ("content-type", "application/json"),
        ("webhook-id", "msg_1"),
        ("idempotency-key", "msg_1"),
        ("webhook-timestamp", "1356998400"),
        ("webhook-signature", "v1,hunter3 v1,hunter4"),
    ] {
        assert_eq!(received.headers[name], value, "{name}");
    }
    let decided = row(&platform, "delivery.send", "dl1").await;
    assert_eq!((decided.verdict, decided.object), (AuditVerdict::Allow, address.to_string()));
    assert_eq!(decided.detail["addresses"], json!(["127.0.0.1"]));
    let sent = row(&platform, "delivery.sent", "dl1").await;
    assert_eq!((&sent.detail["outcome"], &sent.detail["bytes_up"]), (&json!(200), &json!(BODY.len())));
    let rows = serde_json::to_string(&platform.audited()).unwrap();
    assert!(!rows.contains("hunter") && !rows.contains("thanks"), "{rows}");
}

#[tokio::test]
async fn redirects_are_answers_and_statuses_are_reported_as_they_are() {
    let certificates = Certificates::new();
    let receiver = certificates.receiver("127.0.0.1", "127.0.0.1:0").await;
    let platform = gateway(&certificates, None).await;
    for (number, status) in [(1, 302), (2, 410), (3, 503), (4, 429)] {
        platform.due(delivery(number, &format!("https://{}/{status}", receiver.address)));
        let expected = match status {
            429 => SendOutcome::Answered { status, retry_after_s: Some(120) },
            _ => answered(status),
        };
        assert_eq!(platform.reported(DeliveryId::from_db(number)).await, expected);
    }
    let lines: Vec<String> = receiver.received().into_iter().map(|one| one.line).collect();
    assert_eq!(lines, ["POST /302", "POST /410", "POST /503", "POST /429"], "nobody went where 302 leads to");
}

#[tokio::test]
async fn a_body_without_end_is_not_read_and_huge_headers_and_silence_are_no_answer() {
    let certificates = Certificates::new();
    let receiver = certificates.receiver("127.0.0.1", "127.0.0.1:0").await;
    let platform = gateway(&certificates, None).await;
    let at = |path: &str| format!("https://{}/{path}", receiver.address);
    platform.due(delivery(1, &at("forever")));
    platform.due(delivery(2, &at("headers")));
    platform.due(delivery(3, &at("endless")));
    assert_eq!(platform.reported(DeliveryId::from_db(3)).await, answered(200));
    assert_eq!(platform.reported(DeliveryId::from_db(2)).await, SendOutcome::NoAnswer);
    assert!(!platform.reports().contains(&DeliveryId::from_db(1)), "a slow receiver holds up no other");
    assert_eq!(platform.reported(DeliveryId::from_db(1)).await, SendOutcome::NoAnswer);
    assert_eq!(row(&platform, "delivery.sent", "dl1").await.detail["outcome"], "no_answer");
}

#[tokio::test]
async fn an_address_is_judged_at_each_delivery() {
    let certificates = Certificates::new();
    let first: Vec<_> = vec!["127.0.0.1".parse().unwrap()];
    // The second answer is the one that is denied.
    let rebound: Vec<_> = vec!["127.0.0.13".parse().unwrap()];
    let dns = Dns::start(vec![
        ("rebinding.test", Answer::Addresses(vec![first, rebound])),
        ("inside.example.com", addresses(&["10.0.0.1"])),
    ])
    .await;
    let receiver = certificates.receiver("rebinding.test", "127.0.0.1:0").await;
    let port = receiver.address.port();
    let forbidden = certificates.receiver("rebinding.test", &format!("127.0.0.13:{port}")).await;
    let platform = gateway(&certificates, Some(&dns)).await;
    let url = format!("https://rebinding.test:{port}/200");
    platform.due(delivery(1, &url));
    assert_eq!(platform.reported(DeliveryId::from_db(1)).await, answered(200));
    assert_eq!(dns.asked("rebinding.test"), 1, "resolved once");
    platform.due(delivery(2, &url));
    assert_eq!(platform.reported(DeliveryId::from_db(2)).await, SendOutcome::NoAnswer);
    assert_eq!((receiver.received().len(), forbidden.received().len()), (1, 0));
    let refused = row(&platform, "delivery.send", "dl2").await;
    assert_eq!((refused.verdict, &refused.detail["rule"]), (AuditVerdict::Deny, &json!("denied_network")));

    platform.due(delivery(3, "https://inside.example.com/"));
    assert_eq!(platform.reported(DeliveryId::from_db(3)).await, SendOutcome::NoAnswer);
    assert_eq!(row(&platform, "delivery.send", "dl3").await.detail["rule"], "private_use");
}

#[tokio::test]
async fn who_does_not_prove_to_be_the_receiver_is_sent_nothing_and_looks_like_a_closed_port() {
    let (certificates, stranger) = (Certificates::new(), Certificates::new());
    let platform = gateway(&certificates, None).await;
    let impostor = stranger.receiver("127.0.0.1", "127.0.0.1:0").await;
    let other_name = certificates.receiver("other.test", "127.0.0.1:0").await;
    platform.due(delivery(1, &format!("https://{}/200", impostor.address)));
    platform.due(delivery(2, &format!("https://{}/200", other_name.address)));
    // Nobody listens there.
    platform.due(delivery(3, "https://127.0.0.1:1/200"));
    for (number, outcome) in [(1, "tls"), (2, "tls"), (3, "unreached")] {
        let delivery = DeliveryId::from_db(number);
        assert_eq!(platform.reported(delivery).await, SendOutcome::NoAnswer);
        assert_eq!(row(&platform, "delivery.sent", &delivery.to_string()).await.detail["outcome"], outcome);
    }
    assert!(impostor.received().is_empty() && other_name.received().is_empty());
}

#[tokio::test]
async fn what_can_not_be_audited_is_not_sent() {
    let certificates = Certificates::new();
    let receiver = certificates.receiver("127.0.0.1", "127.0.0.1:0").await;
    let platform = gateway(&certificates, None).await;
    *platform.dispatcher.audit_is_away.lock().unwrap() = true;
    platform.due(delivery(1, &format!("https://{}/200", receiver.address)));
    // A row that was refused shows that the first delivery was decided on.
    platform.refused_audit().await;
    *platform.dispatcher.audit_is_away.lock().unwrap() = false;
    platform.due(delivery(2, &format!("https://{}/200", receiver.address)));
    assert_eq!(platform.reported(DeliveryId::from_db(2)).await, answered(200));
    assert_eq!(platform.reports(), [DeliveryId::from_db(2)], "nothing is said of what was not sent");
    let ids: Vec<String> = receiver
        .received()
        .iter()
        .map(|one| one.headers["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["msg_2"]);
}
