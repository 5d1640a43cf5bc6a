//! What the code of a task tells: wrapped, so that it can't pass for what the platform tells, and written while
//! the attempt's lease is held.

use chrono::Utc;
use serde_json::{Value, json};
use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, DeliveryId, Name, TaskId,
    wire::{delivery::TaskDeliveryRequest, limit, webhook::DeliveryEvent},
};

use super::{notice, registry};
use crate::{
    db::{
        self,
        deliveries::{Lease, NewDelivery, NewMessage},
    },
    facts::RunFacts,
};

/// Why a task's delivery was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The DAG does not say that the job tells this webhook anything.
    #[error(
        "the job `{job}` may not tell the webhook `{to}` anything: declare `{{ on: task_message, to: {to}, job: {job} }}` \
         under `deliver` in the DAG"
    )]
    Undeclared {
        /// The job.
        job: Name,
        /// The webhook.
        to: Name,
    },
    /// Too much.
    #[error(
        "the `body` of a delivery has at most {} bytes as JSON: store the data, and tell where it is",
        limit::TASK_DELIVERY_BYTES
    )]
    TooLarge,
    /// The webhook was removed since the deploy.
    #[error("your org has no webhook `{0}` any more")]
    NoWebhook(Name),
    /// Another delivery has the key.
    #[error("the key is that of another delivery, which says something else: choose another key")]
    KeyTaken,
    /// The task has sent as many as it may.
    #[error("a task sends at most {} deliveries, over all its attempts", limit::DELIVERIES_PER_TASK)]
    TooMany,
    /// The attempt is over.
    #[error("the attempt is over: it ended, lost its lease or was cancelled")]
    Over,
}

/// What became of a task's delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It will be sent.
    Now(DeliveryId),
    /// It was told before, by this attempt or an earlier one.
    Before(DeliveryId),
}

/// Who tells.
#[derive(Debug, Clone, Copy)]
pub struct Teller<'a> {
    /// What of its run never changes.
    pub run: &'a RunFacts,
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: AttemptId,
}

/// Writes down what a task tells, while its lease is held.
///
/// # Errors
/// See [`Error`].
pub async fn tell(
    tx: &mut PgConnection,
    teller: Teller<'_>,
    request: &TaskDeliveryRequest,
) -> Result<Told, Error> {
    let Teller { run, task, attempt } = teller;
    let place = run.place(task)?;
    let job = &place.spec.name;
    if !run.spec.may_tell(job, &request.to) {
        return Err(Error::Undeclared { job: job.clone(), to: request.to.clone() });
    }
    if request.body.to_string().len() > limit::TASK_DELIVERY_BYTES {
        return Err(Error::TooLarge);
    }
    if db::deliveries::hold_lease(tx, attempt).await? == Lease::Over {
        return Err(Error::Over);
    }
    let webhook = match registry::find(tx, run.org, &request.to).await {
        Ok(webhook) => webhook.id,
        Err(super::Error::Db(error)) => return Err(error.into()),
        Err(_) => return Err(Error::NoWebhook(request.to.clone())),
    };
    if let Some((delivery, said)) = db::deliveries::of_key(tx, task, webhook, &request.key).await? {
        return if says(&said, &request.body) { Ok(Told::Before(delivery)) } else { Err(Error::KeyTaken) };
    }
    if db::deliveries::count_of_task(tx, task).await? >= u64::from(limit::DELIVERIES_PER_TASK) {
        return Err(Error::TooMany);
    }
    let data = json!({
        "org": run.org, "dag": run.spec.name, "run": run.run, "task": task, "job": job,
        "partition": place.partition, "key": request.key, "body": request.body,
    });
    let delivery = NewDelivery {
        org: run.org,
        webhook: request.to.clone(),
        event: DeliveryEvent::TaskMessage,
        dag: run.spec.name.clone(),
        run: run.run,
        task: Some(task),
        body: notice::message(DeliveryEvent::TaskMessage, Utc::now(), data),
    };
    let new = NewMessage { delivery: &delivery, webhook, attempt, key: &request.key };
    Ok(Told::Now(db::deliveries::insert_message(tx, &new).await?))
}

/// Whether a delivery tells this.
fn says(delivery: &str, body: &Value) -> bool {
    serde_json::from_str::<Value>(delivery).is_ok_and(|said| said["data"]["body"] == *body)
}
