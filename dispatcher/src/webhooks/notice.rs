//! From an event to what is told of it: ids, names, states and counts. Never parameters, SQL, what code printed
//! or why it failed in words: what is secret or a literal of somebody's data stays here.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use trace_contracts::{
    DatasetVersionId, Name, TaskId,
    wire::{user::RunState, webhook::DeliveryEvent, worker::FailureReason},
};

use crate::{
    db::{self, deliveries::NewDelivery, runs::Progress},
    facts::RunFacts,
};

/// What has happened in a run.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// It has ended.
    RunFinished(Progress),
    /// A task's retries are used up.
    TaskDead(TaskId, FailureReason),
    /// A published dataset has a new current version.
    DatasetPublished(&'a Name, DatasetVersionId),
}

impl Event<'_> {
    const fn kind(&self) -> DeliveryEvent {
        match self {
            Self::RunFinished(_) => DeliveryEvent::RunFinished,
            Self::TaskDead(..) => DeliveryEvent::TaskDead,
            Self::DatasetPublished(..) => DeliveryEvent::DatasetPublished,
        }
    }

    const fn task(&self) -> Option<TaskId> {
        match self {
            Self::TaskDead(task, _) => Some(*task),
            Self::RunFinished(_) | Self::DatasetPublished(..) => None,
        }
    }

    fn data(&self, run: &RunFacts) -> Result<Value, db::Error> {
        let mut data = json!({ "org": run.org, "dag": run.spec.name, "run": run.run });
        match self {
            Self::RunFinished(progress) => {
                data["state"] = json!(progress.state);
                data["tasks"] = json!({
                    "total": progress.total, "succeeded": progress.succeeded, "dead": progress.dead,
                });
            }
            Self::TaskDead(task, reason) => {
                let place = run.place(*task)?;
                data["task"] = json!(task);
                data["job"] = json!(place.spec.name);
                data["partition"] = json!(place.partition);
                data["reason"] = json!(reason.as_str());
            }
            Self::DatasetPublished(name, version) => {
                data["dataset"] = json!(name);
                data["version"] = json!(version);
            }
        }
        Ok(data)
    }
}

/// The deliveries of an event: one for each webhook that the DAG has told of it. None where it names none,
/// which costs nothing.
///
/// # Errors
/// When the event is of a task that the DAG does not list.
pub fn of(run: &RunFacts, event: Event<'_>, at: DateTime<Utc>) -> Result<Vec<NewDelivery>, db::Error> {
    let mut told = run.spec.told(event.kind()).peekable();
    if told.peek().is_none() {
        return Ok(Vec::new());
    }
    let body = message(event.kind(), at, event.data(run)?);
    let delivery = |webhook: &Name| NewDelivery {
        org: run.org,
        webhook: webhook.clone(),
        event: event.kind(),
        dag: run.spec.name.clone(),
        run: run.run,
        task: event.task(),
        body: body.clone(),
    };
    Ok(told.map(delivery).collect())
}

/// The body of every delivery: what Standard Webhooks recommends.
pub(super) fn message(event: DeliveryEvent, at: DateTime<Utc>, data: Value) -> String {
    json!({ "type": event.message_type(), "timestamp": at, "data": data }).to_string()
}

/// Whether a run has ended with this change.
#[must_use]
pub fn has_finished(before: &Progress, now: &Progress) -> bool {
    before.state == RunState::Running && now.state != RunState::Running
}
