//! Wake-ups from a queue of SQS.
//!
//! Messages are taken by long poll, parsed strictly, and deleted once the claim that they caused was answered:
//! the lease is the dispatcher's, and a message's visibility time-out is no second one. What is no message of
//! ours goes to the queue of dead letters and is deleted; where that fails, the queue's redrive policy
//! takes it there in the end.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{
        ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message as Delivery,
        MessageAttributeValue,
    },
};
use serde::Deserialize;
use trace_aws::{Aws, Failure, Patience};
use trace_contracts::wire::queue::{self, TASKS_PER_MESSAGE, WakeUpMessage};

use super::{Answered, Error, Hint, Message, Receipt, WakeUp, WakeUps};

/// Which queue, and how it is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where SQS is.
    pub aws: Aws,
    /// The address of the queue of this wrapper's runtime.
    pub queue: String,
    /// The address of the queue for what can't be parsed.
    pub dead_letters: String,
}

/// The longest poll that SQS offers, in seconds.
const WAIT_SECONDS: i32 = 20;
/// The most messages that SQS gives and takes in one call.
const MAX_MESSAGES: usize = 10;
/// A poll is answered when its wait is over; what takes longer by so much is lost.
const PATIENCE: Patience =
    Patience { attempt: Duration::from_secs(30), operation: Duration::from_secs(60), tries: 2 };
/// Bytes of a message that is none of ours that the dead letters keep.
const KEPT_BYTES: usize = 4096;

/// Takes wake-ups from SQS.
#[derive(Debug)]
pub struct SqsWakeUps {
    client: Client,
    queue: String,
    dead_letters: String,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

impl SqsWakeUps {
    /// A client of SQS. Nothing is asked yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let client = Client::new(&config.aws.sdk(PATIENCE));
        Self { client, queue: config.queue.clone(), dead_letters: config.dead_letters.clone() }
    }

    async fn poll(&self, room: usize) -> Result<Vec<Delivery>, Failure> {
        // With full messages there is room for all that they name.
        let messages = (room / TASKS_PER_MESSAGE).clamp(1, MAX_MESSAGES);
        let call = self.client.receive_message().queue_url(&self.queue).wait_time_seconds(WAIT_SECONDS);
        let call = call.max_number_of_messages(i32::try_from(messages).unwrap_or(1));
        let answer = call.send().await.map_err(|error| Failure::of("SQS", "ReceiveMessage", &error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Puts a message that is none of ours where somebody can look at it.
    async fn bury(&self, delivery: &Delivery, receipt: &Receipt, why: &queue::Error) -> Result<(), Failure> {
        const CALL: &str = "SendMessage";
        let body = delivery.body().unwrap_or_default();
        let kept = &body[..body.floor_char_boundary(KEPT_BYTES)];
        let reason = MessageAttributeValue::builder().data_type("String").string_value(why.as_str()).build();
        let reason = reason.map_err(|error| Failure::unreadable("SQS", CALL, &error.to_string()))?;
        let sent = self.client.send_message().queue_url(&self.dead_letters);
        // SQS takes no empty message.
        let sent = sent.message_body(if kept.is_empty() { "(empty)" } else { kept });
        let sent = sent.message_attributes("trace_reason", reason).send().await;
        sent.map_err(|error| Failure::of("SQS", CALL, &error))?;
        self.delete(std::slice::from_ref(receipt)).await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<(), Failure> {
        const CALL: &str = "DeleteMessageBatch";
        for some in receipts.chunks(MAX_MESSAGES) {
            let mut call = self.client.delete_message_batch().queue_url(&self.queue);
            for (at, receipt) in some.iter().enumerate() {
                let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
                let entry = entry.receipt_handle(&receipt.0).build();
                call = call.entries(entry.map_err(|e| Failure::unreadable("SQS", CALL, &e.to_string()))?);
            }
            let answer = call.send().await.map_err(|error| Failure::of("SQS", CALL, &error))?;
            if let Some(failed) = answer.failed().first() {
                return Err(Failure::of_entry(
                    "SQS",
                    CALL,
                    failed.code(),
                    failed.message().unwrap_or_default(),
                ));
            }
        }
        Ok(())
    }

    /// Lets others see messages at once.
    async fn release(&self, receipts: &[Receipt]) -> Result<(), Failure> {
        const CALL: &str = "ChangeMessageVisibilityBatch";
        for some in receipts.chunks(MAX_MESSAGES) {
            let mut call = self.client.change_message_visibility_batch().queue_url(&self.queue);
            for (at, receipt) in some.iter().enumerate() {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
                let entry = entry.receipt_handle(&receipt.0).visibility_timeout(0).build();
                call = call.entries(entry.map_err(|e| Failure::unreadable("SQS", CALL, &e.to_string()))?);
            }
            let answer = call.send().await.map_err(|error| Failure::of("SQS", CALL, &error))?;
            if let Some(failed) = answer.failed().first() {
                return Err(Failure::of_entry(
                    "SQS",
                    CALL,
                    failed.code(),
                    failed.message().unwrap_or_default(),
                ));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl WakeUps for SqsWakeUps {
    /// An empty queue makes for a claim of no task: it says that this wrapper is there, and learns whether
    /// the dispatcher is.
    async fn receive(&mut self, room: usize) -> Result<WakeUp, Error> {
        let mut messages = Vec::new();
        for delivery in self.poll(room).await? {
            let Some(receipt) = delivery.receipt_handle().map(|handle| Receipt(handle.to_owned())) else {
                continue;
            };
            match WakeUpMessage::parse(delivery.body().unwrap_or_default()) {
                Ok(message) => messages.push(Message { receipt, tasks: message.tasks().to_vec() }),
                Err(why) => {
                    tracing::warn!(message = delivery.message_id(), %why, "a message is no wake-up: it goes to the dead letters");
                    if let Err(error) = self.bury(&delivery, &receipt, &why).await {
                        tracing::warn!(%error, "it stays where it is, and comes again");
                    }
                }
            }
        }
        let tasks = messages.iter().flat_map(|message| &message.tasks).copied().collect();
        Ok(WakeUp { hint: Hint::Tasks(tasks), messages })
    }

    async fn acknowledge(&mut self, answered: Answered) -> Result<(), Error> {
        let released = self.release(&answered.again).await;
        self.delete(&answered.done).await?;
        Ok(released?)
    }
}
