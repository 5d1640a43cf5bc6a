//! Group commit: requests that come while a commit is under way share the next one.
//!
//! The commit before is the window. An idle dispatcher answers a lone request at once, and a busy
//! one gathers as many as came during the last commit, so that latency and batch size settle where
//! the disk allows without a timer.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};

/// Hands items to a handler in batches.
#[derive(Debug)]
pub struct Batcher<I, O>(mpsc::Sender<(I, oneshot::Sender<O>)>);

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The batch was not answered: its handler panicked, or the service is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request was not answered")]
pub struct Unanswered;

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts a batcher of at most `max` items a batch. `handle` answers every item of a batch, in
    /// order. It ends when every clone is dropped.
    pub fn start<F, Fut>(max: usize, handle: F) -> Self
    where
        F: Fn(Vec<I>) -> Fut + Send + 'static,
        Fut: Future<Output = Vec<O>> + Send + 'static,
    {
        let (sender, mut receiver) = mpsc::channel::<(I, oneshot::Sender<O>)>(max);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(max);
            while receiver.recv_many(&mut batch, max).await > 0 {
                // One bell wakes many: who is about to ask, asks with the first.
                tokio::task::yield_now().await;
                while batch.len() < max
                    && let Ok(next) = receiver.try_recv()
                {
                    batch.push(next);
                }
                let (items, replies): (Vec<I>, Vec<_>) = batch.drain(..).unzip();
                // A task of its own, so that a panic costs one batch and not the batcher.
                let answers = tokio::spawn(handle(items)).await.unwrap_or_default();
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // Whoever asked may have gone away meanwhile; what was done stays done.
                    let _gone = reply.send(answer);
                }
            }
        });
        Self(sender)
    }

    /// Waits for the item's answer.
    ///
    /// # Errors
    /// When the batch was not answered.
    pub async fn submit(&self, item: I) -> Result<O, Unanswered> {
        let (sender, receiver) = oneshot::channel();
        self.0.send((item, sender)).await.map_err(|_| Unanswered)?;
        receiver.await.map_err(|_| Unanswered)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn items_that_come_during_a_commit_share_the_next_one() {
        let commits = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let (counted, gated) = (Arc::clone(&commits), Arc::clone(&gate));
        let batcher = Batcher::start(64, move |items: Vec<u32>| {
            let (commits, gate) = (Arc::clone(&counted), Arc::clone(&gated));
            async move {
                gate.acquire().await.unwrap().forget();
                commits.fetch_add(1, Ordering::SeqCst);
                items.into_iter().map(|item| item * 2).collect()
            }
        });
        let asked = (0..20).map(|item| batcher.submit(item));
        let release = async {
            // The first batch is under way with whatever had come; all others come meanwhile.
            tokio::task::yield_now().await;
            gate.add_permits(20);
        };
        let (answers, ()) = tokio::join!(futures::future::join_all(asked), release);
        let doubled: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(doubled, (0..20).map(|item| item * 2).collect::<Vec<_>>());
        assert!(commits.load(Ordering::SeqCst) <= 2, "{commits:?} commits for 20 items at once");
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_batch_alone() {
        let batcher = Batcher::start(4, |items: Vec<u32>| async move {
            assert!(!items.contains(&13), "a defect");
            items
        });
        assert_eq!(batcher.submit(13).await, Err(Unanswered));
        assert_eq!(batcher.submit(2).await, Ok(2));
    }
}
