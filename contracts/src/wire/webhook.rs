//! `/v1/webhooks`: where an org's deliveries go, and what became of them.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DeliveryId, Destination, Name, RunId, Secret, TaskId, UserId, WebhookUrl};

/// What a DAG has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryEvent {
    /// A run has ended: succeeded, failed or was cancelled.
    RunFinished,
    /// A task's retries are used up.
    TaskDead,
    /// A published dataset has a new current version.
    DatasetPublished,
    /// What the code of a task has told.
    TaskMessage,
}

impl DeliveryEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RunFinished, Self::TaskDead, Self::DatasetPublished, Self::TaskMessage];

    /// The name used in DAG YAML, the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunFinished => "run_finished",
            Self::TaskDead => "task_dead",
            Self::DatasetPublished => "dataset_published",
            Self::TaskMessage => "task_message",
        }
    }

    /// The `type` of what is sent, as Standard Webhooks writes types.
    #[must_use]
    pub const fn message_type(self) -> &'static str {
        match self {
            Self::RunFinished => "run.finished",
            Self::TaskDead => "task.dead",
            Self::DatasetPublished => "dataset.published",
            Self::TaskMessage => "task.message",
        }
    }
}

impl fmt::Display for DeliveryEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `POST /v1/webhooks`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// What DAGs call it.
    pub name: Name,
    /// Where its deliveries go. It is not shown again but for host and port.
    pub url: WebhookUrl,
}

/// A webhook (`GET /v1/webhooks`, in the order of their names).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookInfo {
    /// What DAGs call it.
    pub name: Name,
    /// Where its deliveries go; rules of egress are about this.
    pub destination: Destination,
    /// Who added it.
    pub added_by: UserId,
    /// When.
    pub added_at: DateTime<Utc>,
    /// Why nothing is sent there, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
    /// Deliveries that failed since the last one that succeeded.
    pub failures: u32,
    /// Nothing is sent before then, because so many failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<DateTime<Utc>>,
    /// Until when the key before the present one signs, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_key_until: Option<DateTime<Utc>>,
    /// Deliveries that are still to be sent.
    pub due: u64,
}

/// The answer to `POST /v1/webhooks` and `POST /v1/webhooks/{name}/rotate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebhookKeyReply {
    /// The webhook.
    pub webhook: WebhookInfo,
    /// The key that signs from now on, for the receiver: `whsec_` and base64. It is not shown again.
    pub key: Secret<String>,
}

/// `POST /v1/webhooks/{name}/rotate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// For how long the key before signs, too, in seconds; a day when absent, a week at most. With 0 it is
    /// gone at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<u32>,
}

/// One delivery (`GET /v1/webhooks/{name}/deliveries`, the newest first). What it says is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryInfo {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What it tells of.
    pub event: DeliveryEvent,
    /// Of which DAG.
    pub dag: Name,
    /// Of which run.
    pub run: RunId,
    /// Of which task, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was sent, or was about to be.
    pub tries: u32,
    /// The status that was last answered; absent when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// Why it is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// To be sent, or sent again.
    Due,
    /// The receiver took it.
    Delivered,
    /// It was given up; an admin may have it sent again.
    Dead,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Due, Self::Delivered, Self::Dead];

    /// The name used in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `POST /v1/webhooks/{name}/redrive`: dead deliveries to be sent again, with their keys of before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedriveRequest {
    /// These alone; every dead one of the webhook when absent, a thousand at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliveries: Option<Vec<DeliveryId>>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedriveReply {
    /// How many are due again.
    pub redriven: u64,
}
