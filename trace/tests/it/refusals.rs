//! What the program says, and how it exits, when it can't do what it was asked.

use std::{path::Path, process::Stdio};

use serde_json::json;

use crate::platform::{Answer, Platform, command, run};

#[tokio::test]
async fn without_a_platform_it_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&["runs"], &[], folder.path()).await.ended_with(4);
    assert!(ran.stderr.contains("Start one with `trace up --data-dir .trace`"), "{}", ran.stderr);
    let there = folder.path().join("else").to_str().unwrap().to_owned();
    for (arguments, environment) in
        [(vec!["runs", "--data-dir", &there], vec![]), (vec!["runs"], vec![("TRACE_DATA_DIR", &*there)])]
    {
        let ran = run(&arguments, &environment, folder.path()).await.ended_with(4);
        assert!(ran.stderr.contains(&there), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_platform_that_is_away_is_told_from_one_that_refuses() {
    let free = trace_ports::reserve_address();
    let url = format!("http://{free}");
    let ran =
        run(&["runs"], &[("TRACE_URL", &url), ("TRACE_TOKEN", "t")], Path::new(".")).await.ended_with(4);
    assert!(ran.stderr.contains("does not answer"), "{}", ran.stderr);

    for (status, code, exit) in [
        (401, "token_expired", 3),
        (403, "forbidden", 3),
        (404, "not_found", 3),
        (409, "conflict", 3),
        (500, "internal", 4),
        (503, "unavailable", 4),
    ] {
        let platform = Platform::start(move |_| Answer::problem(status, code, "because", &json!([]))).await;
        let ran = platform.trace(&["runs", "--json"]).await.ended_with(exit);
        assert!(ran.stdout.is_empty() && ran.stderr.starts_with("error: A title: because"), "{ran:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_platforms_is_not_believed() {
    for answer in [|| Answer::bytes("text/html", b"<html>"), || Answer::status(502)] {
        let platform = Platform::start(move |_| answer()).await;
        let ran = platform.trace(&["runs"]).await.ended_with(4);
        assert!(ran.stderr.contains("not the platform's"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn escape_sequences_of_a_server_do_not_reach_the_terminal() {
    let platform = Platform::start(|_| Answer::problem(404, "not_found", "\u{1b}[2Jgone", &json!([]))).await;
    let ran = platform.trace(&["runs"]).await.ended_with(3);
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
}

#[tokio::test]
async fn tokens_do_not_travel_in_the_clear() {
    let environment = [("TRACE_URL", "http://192.0.2.1:7070"), ("TRACE_TOKEN", "t")];
    let ran = run(&["runs"], &environment, Path::new(".")).await.ended_with(2);
    assert!(ran.stderr.contains("not sent over plain HTTP"), "{}", ran.stderr);
}

#[tokio::test]
async fn wrong_use_is_two() {
    for arguments in
        [&["tasks", "17"][..], &["runs", "--limit", "0"], &["nonsense"], &["up", "--listen", "0.0.0.0:1"]]
    {
        run(arguments, &[], Path::new(".")).await.ended_with(2);
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let platform = Platform::start(|_| Answer::json(&json!([]))).await;
    let url = platform.url();
    let mut child = command(&["runs"], &[("TRACE_URL", &url), ("TRACE_TOKEN", "t")], Path::new("."))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
