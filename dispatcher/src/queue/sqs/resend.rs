//! Wake-ups that got lost: a queue that was purged, deleted and made anew, or kept its messages for too long;
//! a worker that died after it had deleted one.
//!
//! One dispatcher looks, and seldom. A task that has been ready for long is nothing unusual where there are
//! fewer workers than work: its message is still in the queue. So as long as a queue has messages, only the
//! tasks that have waited longest are announced again; once none has, all of them.

use aws_sdk_sqs::types::QueueAttributeName;
use sqlx::PgPool;
use trace_aws::Failure;
use trace_contracts::Runtime;

use super::{Error, SqsWakeUps};
use crate::db::outbox::{self, Turn};

/// Tasks that are announced again at a time while the queue has messages.
const FEW: i64 = 1_000;
/// The same when it has none.
const MANY: i64 = 50_000;

const CALL: &str = "GetQueueAttributes";

impl SqsWakeUps {
    /// Leaves wake-ups for tasks whose messages may be lost; answers for how many.
    pub(super) async fn resend(&self, db: &PgPool) -> Result<usize, Error> {
        let after = self.resend_after.as_secs_f64();
        if outbox::take_turn(&mut *db.acquire().await?, after).await? == Turn::NotNow {
            return Ok(0);
        }
        let mut messages = 0;
        for runtime in self.queues.offered().all() {
            messages += self.messages(runtime).await?;
        }
        let limit = if messages == 0 { MANY } else { FEW };
        let mut tx = db.begin().await?;
        let lost = outbox::lost(&mut tx, after, limit).await?;
        self.add(&mut tx, &lost).await?;
        tx.commit().await?;
        Ok(lost.len())
    }

    /// How many messages SQS has, as far as it knows.
    async fn messages(&self, runtime: Runtime) -> Result<u64, Failure> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed,
            ApproximateNumberOfMessagesNotVisible,
        };
        let counts = [
            ApproximateNumberOfMessages,
            ApproximateNumberOfMessagesNotVisible,
            ApproximateNumberOfMessagesDelayed,
        ];
        let call = self.client.get_queue_attributes().queue_url(self.queues.address(runtime));
        let answer = call.set_attribute_names(Some(counts.to_vec())).send().await;
        let answer = answer.map_err(|error| Failure::of("SQS", CALL, &error))?;
        let attributes = answer.attributes();
        let count = |name: &QueueAttributeName| -> Option<u64> { attributes?.get(name)?.parse().ok() };
        let counts: Option<Vec<u64>> = counts.iter().map(count).collect();
        counts.map(|counts| counts.into_iter().sum()).ok_or_else(|| {
            Failure::unreadable("SQS", CALL, "the answer does not say how many messages there are")
        })
    }
}
