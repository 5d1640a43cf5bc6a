//! A queue with its dead letters, as Terraform makes them, for one test.

use aws_sdk_sqs::{
    Client,
    types::{Message, QueueAttributeName},
};
use serde_json::json;

use crate::{Emulator, until};

/// A queue and its dead letters.
pub struct Queue {
    client: Client,
    name: String,
    visibility_seconds: u32,
    /// Its address.
    pub url: String,
    /// That of its dead letters.
    pub dead_letters: String,
}

/// Deliveries of a message before the queue gives it up.
const MAX_RECEIVES: u32 = 50;

impl Queue {
    /// A new one, whose messages come again so long after they were received.
    ///
    /// # Errors
    /// When LocalStack fails.
    pub async fn create(emulator: &Emulator, visibility_seconds: u32) -> anyhow::Result<Self> {
        let client = emulator.sqs();
        let name = format!("trace-{}", uuid::Uuid::new_v4().simple());
        let dead = client.create_queue().queue_name(format!("{name}-dead")).send().await?;
        let dead_letters = dead.queue_url.unwrap_or_default();
        let mut queue = Self { client, name, visibility_seconds, url: String::new(), dead_letters };
        queue.url = queue.make().await?;
        Ok(queue)
    }

    async fn make(&self) -> anyhow::Result<String> {
        use QueueAttributeName::{QueueArn, RedrivePolicy, VisibilityTimeout};
        let asked = self.client.get_queue_attributes().queue_url(&self.dead_letters);
        let attributes = asked.attribute_names(QueueArn).send().await?;
        let arn = attributes.attributes().and_then(|all| all.get(&QueueArn).cloned()).unwrap_or_default();
        let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES }).to_string();
        let made = self.client.create_queue().queue_name(&self.name).attributes(RedrivePolicy, redrive);
        let made = made.attributes(VisibilityTimeout, self.visibility_seconds.to_string()).send().await?;
        Ok(made.queue_url.unwrap_or_default())
    }

    /// Deletes it, and all messages with it.
    ///
    /// # Errors
    /// When LocalStack fails.
    pub async fn delete(&self) -> anyhow::Result<()> {
        self.client.delete_queue().queue_url(&self.url).send().await?;
        Ok(())
    }

    /// Makes it anew after it was deleted.
    ///
    /// # Errors
    /// When LocalStack fails, or the address is another one.
    pub async fn make_anew(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.make().await? == self.url, "the queue has another address now");
        Ok(())
    }

    /// Sends what somebody else would, with a delay.
    ///
    /// # Errors
    /// When LocalStack fails.
    pub async fn send(&self, body: &str, delay_seconds: i32) -> anyhow::Result<()> {
        let call = self.client.send_message().queue_url(&self.url).message_body(body);
        call.delay_seconds(delay_seconds).send().await?;
        Ok(())
    }

    /// How many messages there are, those that somebody has received or that are delayed among them.
    ///
    /// # Errors
    /// When LocalStack fails.
    pub async fn messages(&self) -> anyhow::Result<u64> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed,
            ApproximateNumberOfMessagesNotVisible,
        };
        let names = vec![
            ApproximateNumberOfMessages,
            ApproximateNumberOfMessagesDelayed,
            ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let found = call.set_attribute_names(Some(names.clone())).send().await?;
        let count = |name| found.attributes()?.get(name)?.parse::<u64>().ok();
        Ok(names.iter().filter_map(count).sum())
    }

    /// Waits until it is empty.
    ///
    /// # Errors
    /// When it does not get so.
    pub async fn empty(&self) -> anyhow::Result<()> {
        until("the queue is empty", async || Ok((self.messages().await? == 0).then_some(()))).await
    }

    /// Takes messages as a worker would, and leaves them where they are.
    ///
    /// # Errors
    /// When LocalStack fails.
    pub async fn look(&self) -> anyhow::Result<Vec<Message>> {
        let call = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        Ok(call.visibility_timeout(0).send().await?.messages.unwrap_or_default())
    }

    /// Takes so many dead letters.
    ///
    /// # Errors
    /// When there are not so many.
    pub async fn dead(&self, count: usize) -> anyhow::Result<Vec<Message>> {
        let mut found = Vec::new();
        until("dead letters", async || {
            let call = self.client.receive_message().queue_url(&self.dead_letters).max_number_of_messages(10);
            let some = call.message_attribute_names("All").send().await?.messages.unwrap_or_default();
            found.extend(some);
            Ok((found.len() >= count).then(|| std::mem::take(&mut found)))
        })
        .await
    }
}
