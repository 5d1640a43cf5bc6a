//! From the outbox to SQS.

use std::time::Duration;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use sqlx::PgPool;
use trace_aws::Failure;
use trace_contracts::{
    Runtime, TaskId,
    wire::queue::{TASKS_PER_MESSAGE, WakeUpMessage},
};

use super::{Error, SqsWakeUps};
use crate::db::outbox::{self, OutboxRow};

/// What SQS takes in one call.
const MESSAGES_PER_BATCH: usize = 10;
/// Rows that one call sends at most.
const ROWS: i64 = (MESSAGES_PER_BATCH * TASKS_PER_MESSAGE) as i64;
/// Nobody else sends what was taken for so long; a call gives up within a quarter of it.
pub(super) const HOLD: Duration = Duration::from_secs(60);

/// What one batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// There was something to send.
    Some,
    /// There was not.
    Nothing {
        /// When the next row is due, if there is one.
        next: Option<Duration>,
    },
}

impl SqsWakeUps {
    /// Sends one batch of what is due. Rows that SQS has taken are removed; the others stay, due at once.
    pub(super) async fn send_batch(&self, db: &PgPool, runtime: Runtime) -> Result<Sent, Error> {
        let mut conn = db.acquire().await?;
        let rows = outbox::take(&mut conn, runtime, ROWS, HOLD.as_secs_f64()).await?;
        if rows.is_empty() {
            let next = outbox::next_due(&mut conn, runtime).await?;
            let next = next.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
            return Ok(Sent::Nothing { next });
        }
        // SQS may be slow, and connections are few.
        drop(conn);
        let batch: Vec<&[OutboxRow]> = rows.chunks(TASKS_PER_MESSAGE).collect();
        let (taken, failure) = self.send(runtime, &batch).await;
        let (mut gone, mut left) = (Vec::new(), Vec::new());
        for (at, rows) in batch.iter().enumerate() {
            let ids = rows.iter().map(|row| row.id);
            if taken.contains(&at) { gone.extend(ids) } else { left.extend(ids) }
        }
        let mut conn = db.acquire().await?;
        if !gone.is_empty() {
            outbox::remove(&mut conn, &gone).await?;
        }
        if !left.is_empty() {
            outbox::put_back(&mut conn, &left).await?;
        }
        match failure {
            Some(failure) => Err(failure.into()),
            None => Ok(Sent::Some),
        }
    }

    /// Answers which messages SQS has taken, and why it has not taken others.
    async fn send(&self, runtime: Runtime, batch: &[&[OutboxRow]]) -> (Vec<usize>, Option<Failure>) {
        const CALL: &str = "SendMessageBatch";
        let mut call = self.client.send_message_batch().queue_url(self.queues.address(runtime));
        for (at, rows) in batch.iter().enumerate() {
            let tasks: Vec<TaskId> = rows.iter().map(|row| row.task).collect();
            // A chunk of the rows makes one message.
            for message in WakeUpMessage::pack(&tasks) {
                let entry = SendMessageBatchRequestEntry::builder().id(at.to_string());
                match entry.message_body(message.to_body()).build() {
                    Ok(entry) => call = call.entries(entry),
                    Err(error) => {
                        return (Vec::new(), Some(Failure::unreadable("SQS", CALL, &error.to_string())));
                    }
                }
            }
        }
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => return (Vec::new(), Some(Failure::of("SQS", CALL, &error))),
        };
        let taken = answer.successful().iter().filter_map(|entry| entry.id().parse().ok()).collect();
        let failed = answer.failed().first();
        let failure = failed.map(|entry| {
            Failure::of_entry("SQS", CALL, entry.code(), entry.message().unwrap_or("no reason given"))
        });
        (taken, failure)
    }
}
