//! `trace limits`, `trace why`, and a trigger that is pushed back.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::platform::{Answer, Platform, run_info};

fn limits(tasks: Option<u32>) -> Value {
    json!({
        "limits": { "tasks_at_once": tasks, "runs_an_hour": null, "queued_tasks": 100 },
        "in_use": { "tasks_at_once": 3, "runs_last_hour": 7, "queued_tasks": 12 },
    })
}

#[tokio::test]
async fn limits_are_shown_and_what_is_not_given_stays() {
    let platform = Platform::start(|asked| match asked.line.as_str() {
        "GET /v1/limits" => Answer::json(&limits(None)),
        "PUT /v1/limits" => Answer::json(&limits(Some(50))),
        other => panic!("{other}"),
    })
    .await;
    let shown = platform.trace(&["limits", "show"]).await.ended_with(0);
    let text = shown.text();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    let expected = [
        vec!["tasks", "at", "once", "none", "-"],
        vec!["runs", "an", "hour", "none", "7"],
        vec!["queued", "tasks", "100", "12"],
    ];
    assert_eq!(rows, expected);
    let set = platform.trace(&["limits", "set", "--tasks-at-once", "50", "--json"]).await.ended_with(0);
    assert_eq!(set.document()["limits"]["tasks_at_once"], 50);
    let asked = platform.asked();
    let body: Value = serde_json::from_slice(&asked.last().unwrap().body).unwrap();
    assert_eq!(body, json!({ "tasks_at_once": 50, "runs_an_hour": null, "queued_tasks": 100 }));
    platform.trace(&["limits", "set"]).await.ended_with(2);
    platform.trace(&["limits", "set", "--tasks-at-once", "0"]).await.ended_with(2);
}

fn full() -> Answer {
    let mut body = json!({
        "code": "too_many_requests", "status": 429, "title": "Too many requests",
        "detail": "your org may have 3 tasks queued; it has 2, and this run would add 2 at once",
    });
    body["retry_after_s"] = json!(1);
    Answer::problem_body(429, &body)
}

#[tokio::test]
async fn a_trigger_without_room_says_so_or_waits() {
    let asked = AtomicU32::new(0);
    let platform = Platform::start(move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) < 2 {
            full()
        } else {
            Answer::json(&run_info("running", 1, 0, 0))
        }
    })
    .await;
    let refused = platform.trace(&["trigger", "flights"]).await.ended_with(3);
    assert!(refused.stderr.contains("your org may have 3 tasks queued"), "{}", refused.stderr);
    let started = platform.trace(&["trigger", "flights", "--wait-for-room", "--json"]).await.ended_with(0);
    assert!(started.stderr.contains("trying again in 1 s"), "{}", started.stderr);
    assert_eq!(started.document()["run"], "r1");
    assert_eq!(platform.asked().len(), 3);
}

#[tokio::test]
async fn why_is_told_in_a_sentence_and_for_programs() {
    let running = |task: &str, kind: &str| {
        json!({
            "task": task, "job": "delays", "partition": "2013-01", "state": "queued",
            "sentence": format!("{task} (delays 2013-01) is \u{1b}[2Jready."),
            "cause": { "kind": kind, "since": "2027-01-01T00:00:00Z" },
        })
    };
    let platform = Platform::start(move |asked| match asked.line.as_str() {
        "GET /v1/tasks/t17.3/why" => Answer::json(&running("t17.3", "ready")),
        "GET /v1/runs/r17/why" => Answer::json(&json!({
            "run": "r17", "dag": "flights", "state": "running", "sentence": "r17 is running: one thing.",
            "causes": [
                { "tasks": 1, "behind": 4, "example": running("t17.3", "ready") },
                { "tasks": 2, "behind": 0, "example": running("t17.9", "admission_due") },
            ],
        })),
        other => panic!("{other}"),
    })
    .await;
    let task = platform.trace(&["why", "t17.3"]).await.ended_with(0);
    assert_eq!(task.text(), "t17.3 (delays 2013-01) is \u{fffd}[2Jready.\n");
    let run = platform.trace(&["why", "r17"]).await.ended_with(0);
    assert_eq!(
        run.text(),
        "r17 is running: one thing.\n  2 tasks: t17.9 (delays 2013-01) is \u{fffd}[2Jready.\n"
    );
    let json = platform.trace(&["why", "t17.3", "--json"]).await.ended_with(0);
    assert_eq!(json.document()["cause"]["kind"], "ready");
    platform.trace(&["why", "17"]).await.ended_with(2);
}
