//! Messages of a wake-up queue: task ids, and nothing else.
//!
//! Whoever can send to a queue can send anything, so a message is parsed like any other input. What it can
//! bring about is a claim that names tasks, and the dispatcher grants only what is ready.

use serde::{Deserialize, Serialize};

use crate::TaskId;

/// Tasks that one message names at most.
pub const TASKS_PER_MESSAGE: usize = 10;
/// The body of a message is never longer: ten of the longest ids fit.
pub const MESSAGE_BYTES: usize = 512;

/// Tasks that were said to be ready. Comes out of [`pack`](Self::pack) and [`parse`](Self::parse) alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeUpMessage(Vec<TaskId>);

/// The body, before it is checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    tasks: Vec<TaskId>,
}

/// Why a message is none of ours. Never holds the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than any message of ours.
    #[error("a wake-up of {0} bytes is longer than {MESSAGE_BYTES}")]
    TooLong(usize),
    /// Not JSON of the right form.
    #[error("a wake-up is not of the form {{\"tasks\": [\"t17.3\"]}}")]
    Form,
    /// No task, or too many.
    #[error("a wake-up names {0} tasks, and not 1 to {TASKS_PER_MESSAGE}")]
    Count(usize),
}

impl Error {
    /// For programs and metrics: one word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "too_long",
            Self::Form => "form",
            Self::Count(_) => "count",
        }
    }
}

impl WakeUpMessage {
    /// As few messages as name all of these tasks.
    pub fn pack(tasks: &[TaskId]) -> impl Iterator<Item = Self> {
        tasks.chunks(TASKS_PER_MESSAGE).map(|some| Self(some.to_vec()))
    }

    /// The tasks: one at least, and [`TASKS_PER_MESSAGE`] at most.
    #[must_use]
    pub fn tasks(&self) -> &[TaskId] {
        &self.0
    }

    /// The body to send.
    #[must_use]
    pub fn to_body(&self) -> String {
        let ids = self.0.iter().map(|task| format!("\"{task}\"")).collect::<Vec<_>>();
        format!("{{\"tasks\":[{}]}}", ids.join(","))
    }

    /// Reads a body.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn parse(unverified: &str) -> Result<Self, Error> {
        if unverified.len() > MESSAGE_BYTES {
            return Err(Error::TooLong(unverified.len()));
        }
        let Body { tasks } = serde_json::from_str(unverified).map_err(|_| Error::Form)?;
        if tasks.is_empty() || tasks.len() > TASKS_PER_MESSAGE {
            return Err(Error::Count(tasks.len()));
        }
        Ok(Self(tasks))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_message_fits() {
        let longest = TaskId::from_db(i64::MAX);
        let message = WakeUpMessage(vec![longest; TASKS_PER_MESSAGE]);
        assert!(message.to_body().len() <= MESSAGE_BYTES, "{}", message.to_body().len());
        assert_eq!(WakeUpMessage::parse(&message.to_body()), Ok(message));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let form = [
            "",
            "null",
            "[]",
            "{}",
            "t17.3",
            r#"["t17.3"]"#,
            r#"{"tasks":"t17.3"}"#,
            r#"{"tasks":[17]}"#,
            r#"{"tasks":["17.3"]}"#,
            r#"{"tasks":["t17"]}"#,
            r#"{"tasks":["t017.3"]}"#,
            r#"{"tasks":["t17.3 "]}"#,
            r#"{"tasks":["a40"]}"#,
            r#"{"tasks":["t0.3"]}"#,
            r#"{"tasks":["t17.3"],"org":"o1"}"#,
            r#"{"tasks":["t17.3"],"tasks":["t17.4"]}"#,
            r#"{"tasks":["t17.3"]} x"#,
            r#"{"tasks":[null]}"#,
        ];
        for unverified in form {
            assert_eq!(WakeUpMessage::parse(unverified), Err(Error::Form), "{unverified}");
        }
        assert_eq!(WakeUpMessage::parse(r#"{"tasks":[]}"#), Err(Error::Count(0)));
        let many = format!("{{\"tasks\":[{}]}}", ["\"t1.1\""; 11].join(","));
        assert_eq!(WakeUpMessage::parse(&many), Err(Error::Count(11)));
        let long = format!("{{\"tasks\":[\"t17.3\"]}}{}", " ".repeat(MESSAGE_BYTES));
        assert!(matches!(WakeUpMessage::parse(&long), Err(Error::TooLong(_))));
    }

    proptest! {
        #[test]
        fn tasks_come_back_in_order(numbers in prop::collection::vec((1 << 20)..i64::MAX, 0..35)) {
            let tasks: Vec<TaskId> = numbers.into_iter().map(TaskId::from_db).collect();
            let bodies: Vec<String> = WakeUpMessage::pack(&tasks).map(|message| message.to_body()).collect();
            prop_assert_eq!(bodies.len(), tasks.len().div_ceil(TASKS_PER_MESSAGE));
            let mut back = Vec::new();
            for body in &bodies {
                back.extend_from_slice(WakeUpMessage::parse(body).unwrap().tasks());
            }
            prop_assert_eq!(back, tasks);
        }

        #[test]
        fn no_text_panics(unverified in ".{0,600}") {
            let _refused_or_not = WakeUpMessage::parse(&unverified);
        }
    }
}
