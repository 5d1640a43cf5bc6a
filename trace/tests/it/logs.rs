//! `trace logs`: in pages, and across attempts.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::platform::{Answer, Platform, task_info};

fn reply(attempt: &str, lines: &[(u32, &str)], done: bool) -> Answer {
    let lines: Vec<Value> = lines
        .iter()
        .map(
            |(seq, text)| json!({"seq": seq, "at": "2026-01-01T00:00:00Z", "stream": "stdout", "text": text}),
        )
        .collect();
    Answer::json(&json!({"attempt": attempt, "lines": lines, "done": done}))
}

#[tokio::test]
async fn pages_are_read_to_the_end() {
    let platform = Platform::start(|asked| match asked.line.as_str() {
        "GET /v1/tasks/t1.0/logs?wait_ms=0" => reply("a1", &[(0, "one"), (1, "two\u{1b}[2J")], false),
        "GET /v1/tasks/t1.0/logs?wait_ms=0&attempt=a1&after=1" => reply("a1", &[(2, "three")], true),
        "GET /v1/tasks/t1.0/logs?wait_ms=0&attempt=a1&after=2" => reply("a1", &[], true),
        other => panic!("{other}"),
    })
    .await;
    let ran = platform.trace(&["logs", "t1.0"]).await.ended_with(0);
    let expected = "00:00:00.000 out   one\n00:00:00.000 out   two\u{fffd}[2J\n00:00:00.000 out   three\n";
    assert_eq!(ran.text(), expected);
    assert_eq!(ran.stderr, "-- t1.0 a1\n");
}

#[tokio::test]
async fn following_goes_on_to_the_next_attempt() {
    let looks = AtomicU32::new(0);
    let platform = Platform::start(move |asked| match asked.line.as_str() {
        "GET /v1/tasks/t1.0" if looks.fetch_add(1, Ordering::SeqCst) < 2 => {
            Answer::json(&task_info(1, "failed"))
        }
        "GET /v1/tasks/t1.0" => {
            let mut task = task_info(1, "succeeded");
            let second = task_info(2, "succeeded")["attempts"][0].clone();
            task["attempts"].as_array_mut().unwrap().push(second);
            Answer::json(&task)
        }
        "GET /v1/tasks/t1.0/logs?wait_ms=20000" => reply("a1", &[(0, "first try")], false),
        "GET /v1/tasks/t1.0/logs?wait_ms=20000&attempt=a1&after=0" => reply("a1", &[], true),
        "GET /v1/tasks/t1.0/logs?wait_ms=20000&attempt=a2" => reply("a2", &[(0, "second try")], true),
        "GET /v1/tasks/t1.0/logs?wait_ms=20000&attempt=a2&after=0" => reply("a2", &[], true),
        other => panic!("{other}"),
    })
    .await;
    let ran = platform.trace(&["logs", "t1.0", "--follow", "--json"]).await.ended_with(0);
    let document = ran.document();
    let texts: Vec<&Value> = document["lines"].as_array().unwrap().iter().map(|line| &line["text"]).collect();
    assert_eq!(texts, ["first try", "second try"]);
    assert_eq!((&document["attempt"], &document["done"]), (&json!("a2"), &json!(true)));
}
