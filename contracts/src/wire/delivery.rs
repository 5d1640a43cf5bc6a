//! Deliveries on their way: what a task asks to have sent, and what the egress gateway claims, sends and
//! reports.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::plane::Actor;
use crate::{ClaimId, DeliveryId, Name, OrgId, Secret, WebhookUrl, text_form::text_form};

/// A longer key is none.
const MAX_KEY_BYTES: usize = 128;

/// What a task calls one of its deliveries: 1 to 128 visible ASCII characters. The same key is the same
/// delivery, in every attempt at the task.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DeliveryKey(String);

/// Why a text is not such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a delivery's `key` has 1 to {MAX_KEY_BYTES} visible ASCII characters")]
pub struct InvalidDeliveryKey;

impl DeliveryKey {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeliveryKey {
    type Err = InvalidDeliveryKey;

    fn from_str(unverified: &str) -> Result<Self, InvalidDeliveryKey> {
        let visible = unverified.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (1..=MAX_KEY_BYTES).contains(&unverified.len());
        if visible && fits { Ok(Self(unverified.to_owned())) } else { Err(InvalidDeliveryKey) }
    }
}

impl fmt::Display for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form! { DeliveryKey }

/// `POST /v1/task/deliveries`: has something told to a webhook that the DAG declares for the job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDeliveryRequest {
    /// The webhook.
    pub to: Name,
    /// The same key again is the same delivery, whichever attempt asks.
    pub key: DeliveryKey,
    /// What to tell: up to [`limit::TASK_DELIVERY_BYTES`](super::limit::TASK_DELIVERY_BYTES) of JSON.
    pub body: serde_json::Value,
}

/// The answer: it will be sent. 202 for a new delivery, 200 for one that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDeliveryReply {
    /// The delivery.
    pub delivery: DeliveryId,
}

/// `POST /internal/deliveries/claim`: deliveries to send now. Waits until there is one, or `wait_ms` is up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryClaimRequest {
    /// Made up by the gateway for this claim; reports show it.
    pub claim: ClaimId,
    /// At most this many.
    pub max: u32,
    /// How long to wait, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
}

/// What is to be sent. Whoever claimed it has it alone until the claim ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DeliveryClaimReply {
    /// The deliveries, signed.
    pub deliveries: Vec<OutgoingDelivery>,
}

/// One delivery, as it is sent: everything but a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutgoingDelivery {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Whose it is.
    pub org: OrgId,
    /// On whose behalf, for the audit log: an attempt, or the platform.
    pub actor: Actor,
    /// The webhook's name, for the audit log.
    pub webhook: Name,
    /// Where to.
    pub url: WebhookUrl,
    /// `webhook-id` and `Idempotency-Key`: the same however often it is sent.
    pub message_id: String,
    /// `webhook-timestamp`, in seconds since 1970.
    pub timestamp: i64,
    /// `webhook-signature`: one of each key that signs.
    pub signature: Secret<String>,
    /// The body.
    pub body: Secret<String>,
    /// It has to be sent and answered within this time: the claim ends soon after.
    pub within_ms: u64,
}

/// `POST /internal/deliveries/report`: what came of deliveries that were claimed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryReportRequest {
    /// The claim that they were given to.
    pub claim: ClaimId,
    /// Up to [`limit::CLAIMED_DELIVERIES`](super::limit::CLAIMED_DELIVERIES).
    pub outcomes: Vec<DeliveryOutcome>,
}

/// What came of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryOutcome {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What the receiver did.
    pub outcome: SendOutcome,
}

/// What a receiver did. Nothing of what it said is kept but the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum SendOutcome {
    /// It answered.
    Answered {
        /// The status of HTTP.
        status: u16,
        /// `Retry-After`, in seconds, where it was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
    },
    /// It did not: a name without an address, an address that may not be reached, a closed port, TLS that does
    /// not prove who it is, silence. Which of these is for the gateway's audit rows alone.
    NoAnswer,
}

/// The answer to a report: a verdict for each outcome, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryReportReply {
    /// The verdicts.
    pub verdicts: Vec<ReportVerdict>,
}

/// Whether an outcome counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportVerdict {
    /// It is written down.
    Recorded,
    /// The claim had ended: somebody else sends it, or has.
    Stale,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_short_visible_text() {
        assert_eq!("late-2013".parse::<DeliveryKey>().unwrap().as_str(), "late-2013");
        for bad in ["", "a b", "\n", "ä", &"x".repeat(129)] {
            assert_eq!(bad.parse::<DeliveryKey>(), Err(InvalidDeliveryKey), "{bad:?}");
        }
    }

    #[test]
    fn outcomes_have_one_form() {
        let answered = SendOutcome::Answered { status: 503, retry_after_s: Some(7) };
        let json = r#"{"outcome":"answered","status":503,"retry_after_s":7}"#;
        assert_eq!(serde_json::to_string(&answered).unwrap(), json);
        assert_eq!(
            serde_json::from_str::<SendOutcome>(r#"{"outcome":"no_answer"}"#).unwrap(),
            SendOutcome::NoAnswer
        );
        assert!(serde_json::from_str::<SendOutcome>(r#"{"outcome":"refused"}"#).is_err());
    }
}
