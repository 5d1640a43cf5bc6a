//! Messages of a wake-up queue, as anybody who can send to it could write them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use trace_contracts::wire::queue::{MESSAGE_BYTES, TASKS_PER_MESSAGE, WakeUpMessage};

fuzz_target!(|text: &str| {
    let Ok(message) = WakeUpMessage::parse(text) else { return };
    assert!(text.len() <= MESSAGE_BYTES);
    assert!((1..=TASKS_PER_MESSAGE).contains(&message.tasks().len()));
    // Read by another reader, it says these tasks and nothing else.
    let said: Value = serde_json::from_str(text).expect("what is taken is JSON");
    assert_eq!(said.as_object().expect("an object").len(), 1);
    let tasks: Vec<String> = message.tasks().iter().map(ToString::to_string).collect();
    assert_eq!(said["tasks"], Value::from(tasks), "{text}");
    assert_eq!(WakeUpMessage::parse(&message.to_body()), Ok(message));
});
