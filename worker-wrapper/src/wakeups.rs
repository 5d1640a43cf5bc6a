//! The wrapper's side of the queue: what makes it claim.
//!
//! A wake-up is a hint and nothing more. Queues lose, repeat and reorder; the task's row decides, and
//! a claim that finds nothing to do is normal. A wake-up is acknowledged once the claim that it
//! caused was answered; until then the queue may deliver it again, to this wrapper or another.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use trace_contracts::TaskId;

/// What to ask the dispatcher for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Whatever is ready, waiting so long for something to be.
    WhateverIsReady {
        /// At most the dispatcher's own bound.
        wait: Duration,
    },
    /// These tasks are said to be ready; some may not be, or may be named twice.
    Tasks(Vec<TaskId>),
}

/// Wake-ups that were received together.
#[derive(Debug)]
pub struct WakeUp {
    /// What they say.
    pub hint: Hint,
    /// What the queue wants back once the claim was answered, one for each message.
    pub receipts: Vec<Receipt>,
}

/// A queue's name for one delivery of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt(pub String);

/// The queue could not be asked, or did not take an acknowledgement.
#[derive(Debug, thiserror::Error)]
#[error("the wake-up queue: {0}")]
pub struct Error(pub String);

/// Where wake-ups come from.
#[async_trait]
pub trait WakeUps: Send {
    /// Waits for wake-ups that name at most `room` tasks. May be dropped at any point: what was
    /// received by then is delivered again, as it was not acknowledged.
    ///
    /// # Errors
    /// When the queue can't be asked; the caller comes back after a pause.
    async fn receive(&mut self, room: usize) -> Result<WakeUp, Error>;

    /// The claim that these caused was answered.
    ///
    /// # Errors
    /// When the queue can't be told; it delivers again, which costs one claim that finds nothing.
    async fn acknowledge(&mut self, receipts: Vec<Receipt>) -> Result<(), Error>;
}

/// No queue at all: every claim waits at the dispatcher until something is ready.
#[derive(Debug)]
pub struct LongPoll {
    wait: Duration,
}

impl LongPoll {
    /// Claims that wait so long each.
    #[must_use]
    pub const fn new(wait: Duration) -> Self {
        Self { wait }
    }
}

#[async_trait]
impl WakeUps for LongPoll {
    async fn receive(&mut self, _room: usize) -> Result<WakeUp, Error> {
        Ok(WakeUp { hint: Hint::WhateverIsReady { wait: self.wait }, receipts: Vec::new() })
    }

    async fn acknowledge(&mut self, _receipts: Vec<Receipt>) -> Result<(), Error> {
        Ok(())
    }
}

impl Hint {
    /// The same, with every task once.
    #[must_use]
    pub fn without_repeats(self) -> Self {
        match self {
            Self::Tasks(mut tasks) => {
                let mut seen = HashSet::new();
                tasks.retain(|task| seen.insert(*task));
                Self::Tasks(tasks)
            }
            hint @ Self::WhateverIsReady { .. } => hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_named_twice_is_asked_for_once() {
        let tasks =
            |numbers: &[i64]| Hint::Tasks(numbers.iter().map(|n| TaskId::from_db((1 << 20) + *n)).collect());
        assert_eq!(tasks(&[3, 1, 3, 3, 2, 1]).without_repeats(), tasks(&[3, 1, 2]));
    }
}
