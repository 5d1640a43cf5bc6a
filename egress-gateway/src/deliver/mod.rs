//! Deliveries to webhooks: claimed from the dispatcher, sent to vetted addresses, and reported.
//!
//! ```text
//! claim ─► vetting: policy ─► resolve, once ─► policy ─► Vetted ─► audit ─► dial ─► TLS ─► POST ─► report
//! ```
//! The dispatcher signs and decides; here is no key, and nothing is remembered. A gateway that dies between sending
//! and reporting leaves a claim that ends, and the delivery goes out again with the same `webhook-id`.

mod post;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use trace_contracts::{
    ClaimId, Host,
    wire::{
        delivery::{
            DeliveryClaimRequest, DeliveryOutcome, DeliveryReportRequest, OutgoingDelivery, SendOutcome,
        },
        limit,
        plane::{AuditEntry, AuditVerdict, Plane},
    },
};
use trace_plane::{
    Backoff, PlaneClient, Reply,
    backoff::Retrying,
    tls::{Dialler, TrustError},
};

use self::post::Answer;
use crate::{
    audit::Facts,
    dial::{dial, wait_until},
    policy::{Rule, Vetted},
    proxy::Core,
};

/// How long a report is tried: the claim ends soon after the time for sending.
const REPORTED_WITHIN: Duration = Duration::from_secs(20);

/// Sends deliveries until the gateway stops.
pub(crate) struct Courier {
    pub(crate) core: Arc<Core>,
    pub(crate) planes: PlaneClient,
    pub(crate) tls: Dialler,
    /// Deliveries at once.
    pub(crate) at_once: usize,
    /// How long a receiver has to answer, the time to reach it included.
    pub(crate) answered_within: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// Not dialled, or not reached.
    #[error("{0}")]
    Rule(Rule),
    /// The receiver did not prove who it is, or hung up in the middle of it.
    #[error("TLS: {0}")]
    Tls(#[from] std::io::Error),
    /// No certificate could be for the host.
    #[error(transparent)]
    Name(#[from] TrustError),
    /// What it answered is no HTTP.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The request can't be written.
    #[error("{0}")]
    Request(#[from] http::Error),
    /// Not in time.
    #[error("no answer in time")]
    Silence,
}

impl Unanswered {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Rule(rule) => rule.as_str(),
            Self::Tls(_) | Self::Name(_) => "tls",
            Self::Http(_) | Self::Request(_) => "bad_answer",
            Self::Silence => "no_answer",
        }
    }
}

impl Courier {
    /// Claims and sends, until the gateway stops. What is under way then is sent to its end.
    pub(crate) async fn run(self) {
        let courier = Arc::new(self);
        let stopping = courier.core.stopping.clone();
        let slots = Arc::new(Semaphore::new(courier.at_once));
        let mut backoff = Backoff::default();
        loop {
            let claimed = tokio::select! {
                () = stopping.cancelled() => return,
                claimed = courier.claim(&slots) => claimed,
            };
            match claimed {
                Ok((claim, deliveries)) => {
                    backoff = Backoff::default();
                    for delivery in deliveries {
                        courier.spawn(claim, delivery, &slots);
                    }
                }
                Err(_away) => {
                    tokio::select! {
                        () = stopping.cancelled() => return,
                        () = backoff.pause() => {}
                    }
                }
            }
        }
    }

    /// Claims as many as there is room for, once there is any.
    async fn claim(&self, slots: &Semaphore) -> Reply<(ClaimId, Vec<OutgoingDelivery>)> {
        // The semaphore is never closed. The slot itself is taken by whoever sends.
        drop(slots.acquire().await);
        // Nothing is claimed that could not be audited and so not be sent.
        self.core.auditor.check()?;
        let claim = ClaimId::random();
        let room = u32::try_from(slots.available_permits()).unwrap_or(u32::MAX);
        let max = room.clamp(1, limit::CLAIMED_DELIVERIES);
        let request = DeliveryClaimRequest { claim, max, wait_ms: limit::WAIT_MS };
        Ok((claim, self.planes.claim_deliveries(&request).await?.deliveries))
    }

    fn spawn(self: &Arc<Self>, claim: ClaimId, delivery: OutgoingDelivery, slots: &Arc<Semaphore>) {
        // There is a slot for each, because no more were claimed; only this loop takes them.
        let slot = Arc::clone(slots).try_acquire_owned();
        let courier = Arc::clone(self);
        self.core.tasks.spawn(async move {
            courier.deliver(claim, &delivery).await;
            drop(slot);
        });
    }

    /// Sends one delivery and reports what came of it.
    async fn deliver(&self, claim: ClaimId, delivery: &OutgoingDelivery) {
        let outcome = match self.send(delivery).await {
            Ok(outcome) => outcome,
            // Its claim ends, and it is sent when it can be audited.
            Err(refusal) => {
                tracing::warn!(delivery = %delivery.delivery, %refusal, "a delivery was not sent");
                return;
            }
        };
        let outcomes = vec![DeliveryOutcome { delivery: delivery.delivery, outcome }];
        let report = DeliveryReportRequest { claim, outcomes };
        let mut retrying = Retrying::new(REPORTED_WITHIN);
        while self.planes.report_deliveries(&report).await.is_err() {
            if !retrying.again().await {
                tracing::warn!(delivery = %delivery.delivery, "what came of a delivery could not be reported: it will be sent again");
                return;
            }
        }
    }

    /// Vets, writes the decision down, and sends.
    ///
    /// # Errors
    /// When it can't be audited: then nothing was dialled.
    async fn send(&self, delivery: &OutgoingDelivery) -> Reply<SendOutcome> {
        let begun = Instant::now();
        let within = self.answered_within.min(Duration::from_millis(delivery.within_ms));
        let reach = begun + self.core.limits.reach().min(within);
        let destination = delivery.url.destination();
        let vetted = match self.core.vetter.vet(destination).await {
            Ok(vetted) => vetted,
            Err(denied) => {
                let facts = Facts { rule: Some(denied.rule), addresses: denied.addresses, figures: None };
                self.core.auditor.decided(entry(delivery, "delivery.send", &facts)).await?;
                wait_until(reach).await;
                return Ok(SendOutcome::NoAnswer);
            }
        };
        let addresses = vetted.addresses().iter().map(std::net::SocketAddr::ip).collect();
        let mut facts = Facts { addresses, ..Facts::default() };
        self.core.auditor.decided(entry(delivery, "delivery.send", &facts)).await?;
        let exchange = self.exchange(&vetted, reach, delivery, &mut facts);
        let answered = timeout_at(begun + within, exchange).await.unwrap_or(Err(Unanswered::Silence));
        let told = match &answered {
            Ok(answer) => json!(answer.status),
            Err(unanswered) => {
                tracing::debug!(delivery = %delivery.delivery, error = %unanswered, "a delivery was not answered");
                json!(unanswered.outcome())
            }
        };
        self.core.auditor.came_to(sent(delivery, &facts, begun.elapsed(), told));
        match answered {
            Ok(Answer { status, retry_after_s }) => Ok(SendOutcome::Answered { status, retry_after_s }),
            Err(_) => {
                // Closed, filtered and private are told at the same moment.
                wait_until(reach).await;
                Ok(SendOutcome::NoAnswer)
            }
        }
    }

    /// Dials a vetted address, has its host prove itself, and sends.
    async fn exchange(
        &self,
        vetted: &Vetted,
        reach: Instant,
        delivery: &OutgoingDelivery,
        facts: &mut Facts,
    ) -> Result<Answer, Unanswered> {
        let (stream, address) = dial(vetted, reach).await.map_err(Unanswered::Rule)?;
        facts.addresses = vec![address.ip()];
        let connector = self.tls.to(&host(&vetted.destination().host))?;
        post::post(connector.connect(stream).await?, delivery).await
    }
}

/// As certificates name it: without brackets.
fn host(host: &Host) -> String {
    match host {
        Host::Name(name) => name.to_string(),
        Host::Address(address) => address.to_string(),
    }
}

/// The row of a decision. Of what is sent it has the numbers, and neither path, body nor signature.
fn entry(delivery: &OutgoingDelivery, action: &str, facts: &Facts) -> AuditEntry {
    AuditEntry {
        plane: Plane::Egress,
        org: delivery.org,
        actor: delivery.actor,
        action: action.to_owned(),
        object: delivery.url.destination().to_string(),
        verdict: if facts.rule.is_some() { AuditVerdict::Deny } else { AuditVerdict::Allow },
        detail: json!({
            "delivery": delivery.delivery, "webhook": delivery.webhook,
            "rule": facts.rule.map(Rule::as_str), "addresses": facts.addresses,
        }),
        kid: None,
    }
}

/// The row of what came of it.
fn sent(delivery: &OutgoingDelivery, facts: &Facts, took: Duration, outcome: Value) -> AuditEntry {
    let mut entry = entry(delivery, "delivery.sent", facts);
    entry.detail["bytes_up"] = delivery.body.expose().len().into();
    entry.detail["ms"] = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into();
    entry.detail["outcome"] = outcome;
    entry
}
