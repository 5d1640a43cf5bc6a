//! The wrapper's side of the queue: what makes it claim.
//!
//! A wake-up is a hint and nothing more. Queues lose, repeat and reorder; the task's row decides, and
//! a claim that finds nothing to do is normal. A wake-up is acknowledged once the claim that it
//! caused was answered; until then the queue may deliver it again, to this wrapper or another.
//!
//! A message names several tasks, and there may be room for some of them only. What the claim answers
//! tells which: it grants whatever is still ready, up to the room. So when it grants less than there is room
//! for, no task of these messages is ready any more; otherwise a message that names tasks which were not
//! granted goes back to the queue at once, for whoever has room ([`Answered`]).

pub mod sqs;

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use serde::Deserialize;
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
    /// What the queue wants to hear of once the claim was answered.
    pub messages: Vec<Message>,
}

/// One delivery of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The queue's name for it.
    pub receipt: Receipt,
    /// The tasks that it names.
    pub tasks: Vec<TaskId>,
}

/// What is to become of messages whose claim was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// They have done what they were for.
    pub done: Vec<Receipt>,
    /// Some of their tasks may still be ready, and there is no room here.
    pub again: Vec<Receipt>,
}

impl Answered {
    /// Sorts messages by what the claim for `room` tasks granted.
    #[must_use]
    pub fn of(messages: Vec<Message>, room: usize, granted: &HashSet<TaskId>) -> Self {
        let is_full = granted.len() >= room;
        let is_open = |message: &Message| is_full && message.tasks.iter().any(|task| !granted.contains(task));
        let (again, done): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_open);
        let receipts = |messages: Vec<Message>| messages.into_iter().map(|message| message.receipt).collect();
        Self { done: receipts(done), again: receipts(again) }
    }
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
    async fn acknowledge(&mut self, answered: Answered) -> Result<(), Error>;
}

/// Where wake-ups come from, as an operator configures it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From the dispatcher, where claims wait.
    #[default]
    Dispatcher,
    /// From a queue of SQS.
    Sqs(Box<sqs::Config>),
}

impl Source {
    /// The adapter. `wait` is how long a claim waits at the dispatcher.
    #[must_use]
    pub fn adapter(&self, wait: Duration) -> Box<dyn WakeUps> {
        match self {
            Self::Dispatcher => Box::new(LongPoll::new(wait)),
            Self::Sqs(config) => Box::new(sqs::SqsWakeUps::new(config)),
        }
    }
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
        Ok(WakeUp { hint: Hint::WhateverIsReady { wait: self.wait }, messages: Vec::new() })
    }

    async fn acknowledge(&mut self, _answered: Answered) -> Result<(), Error> {
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

    fn tasks(numbers: &[i64]) -> Vec<TaskId> {
        numbers.iter().map(|n| TaskId::from_db((1 << 20) + *n)).collect()
    }

    /// Names each message by the tasks in it.
    fn answered(messages: &[&[i64]], room: usize, granted: &[i64]) -> (Vec<String>, Vec<String>) {
        let message =
            |numbers: &&[i64]| Message { receipt: Receipt(format!("{numbers:?}")), tasks: tasks(numbers) };
        let messages = messages.iter().map(message).collect();
        let Answered { done, again } = Answered::of(messages, room, &tasks(granted).into_iter().collect());
        let names = |receipts: Vec<Receipt>| receipts.into_iter().map(|receipt| receipt.0).collect();
        (names(done), names(again))
    }

    #[test]
    fn a_message_is_done_once_no_task_of_it_can_be_ready_any_more() {
        let some = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let nothing = || some(&[]);
        // There was room for more: the others were not ready.
        assert_eq!(answered(&[&[1, 2], &[3]], 3, &[1]), (some(&["[1, 2]", "[3]"]), nothing()));
        assert_eq!(answered(&[&[1, 2]], 3, &[]), (some(&["[1, 2]"]), nothing()));
        // There was not: nobody knows of the others.
        assert_eq!(answered(&[&[1, 2], &[3]], 1, &[1]), (nothing(), some(&["[1, 2]", "[3]"])));
        assert_eq!(answered(&[&[1, 2], &[3, 4]], 2, &[1, 2]), (some(&["[1, 2]"]), some(&["[3, 4]"])));
        assert_eq!(answered(&[&[1, 2], &[3]], 3, &[1, 2, 3]), (some(&["[1, 2]", "[3]"]), nothing()));
        // The dispatcher granted a task that another message names, too.
        assert_eq!(answered(&[&[1], &[1, 2]], 1, &[1]), (some(&["[1]"]), some(&["[1, 2]"])));
    }
}
