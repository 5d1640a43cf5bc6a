//! `trace trigger`: the wait, the exit code, and a reply that gets lost.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::platform::{Answer, Platform, run_info, task_info};

/// Answers `running` once, and then how it ended.
async fn ends(state: &'static str, task: &'static str) -> Platform {
    let looks = AtomicU32::new(0);
    Platform::start(move |asked| match asked.line.as_str() {
        "POST /v1/dags/flights/runs" => Answer::json(&run_info("running", 1, 0, 0)),
        "GET /v1/runs/r1" if looks.fetch_add(1, Ordering::SeqCst) == 0 => {
            Answer::json(&run_info("running", 1, 0, 0))
        }
        "GET /v1/runs/r1" if state == "failed" => Answer::json(&run_info(state, 0, 0, 1)),
        "GET /v1/runs/r1" => Answer::json(&run_info(state, 0, 1, 0)),
        "GET /v1/runs/r1/tasks?limit=1000" if looks.load(Ordering::SeqCst) < 2 => {
            Answer::json(&json!([task_info(1, "running")]))
        }
        "GET /v1/runs/r1/tasks?limit=1000" => Answer::json(&json!([task_info(1, task)])),
        other => panic!("{other}"),
    })
    .await
}

#[tokio::test]
async fn waiting_follows_the_run_to_its_end() {
    let platform = ends("succeeded", "succeeded").await;
    let ran = platform.trace(&["trigger", "flights", "--wait", "--json"]).await.ended_with(0);
    assert_eq!(ran.document()["state"], "succeeded");
    let told: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(told, ["r1 delays 0/1, 1 running", "r1 delays 1/1"]);
}

#[tokio::test]
async fn a_dead_task_fails_the_command_and_is_named() {
    let platform = ends("failed", "dead").await;
    let ran = platform.trace(&["trigger", "flights", "--wait"]).await.ended_with(1);
    assert!(ran.text().starts_with("r1 of flights  failed  0/1 task succeeded, 1 dead"), "{ran:?}");
    assert!(ran.stderr.contains("t1.1 delays/2013-01 dead: memory  (trace logs t1.1)\n"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("error: run r1 of flights failed\n"), "{}", ran.stderr);
}

#[tokio::test]
async fn without_waiting_it_asks_once() {
    let platform = ends("succeeded", "succeeded").await;
    let arguments = ["trigger", "flights", "--param", "year=2013", "--param", "station=JFK", "--json"];
    platform.trace(&arguments).await.ended_with(0);
    let asked = platform.asked();
    let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(body, json!({"params": {"year": 2013, "station": "JFK"}}));
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn a_lost_reply_does_not_start_a_second_run() {
    let lost = AtomicU32::new(0);
    let platform = Platform::start(move |_| {
        if lost.fetch_add(1, Ordering::SeqCst) == 0 {
            // Ends the connection without an answer, and without a word.
            std::panic::resume_unwind(Box::new(()));
        }
        Answer::json(&run_info("running", 0, 0, 0))
    })
    .await;
    platform.trace(&["trigger", "flights"]).await.ended_with(0);
    let asked = platform.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].idempotency_key.len() == 36 && asked[0].idempotency_key == asked[1].idempotency_key);
}
