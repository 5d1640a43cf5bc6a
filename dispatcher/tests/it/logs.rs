//! Log lines: in order, once, and bounded.

use reqwest::StatusCode;
use trace_contracts::{
    ErrorCode,
    wire::{
        limit,
        worker::{LogLine, LogRequest, LogStream},
    },
};

use crate::support::{
    Platform,
    dags::{job, spec},
    wire::{fence, problem},
};

fn lines(texts: &[&str]) -> Vec<LogLine> {
    let line =
        |text: &&str| LogLine { at: chrono::Utc::now(), stream: LogStream::Stderr, text: (*text).to_owned() };
    texts.iter().map(line).collect()
}

#[tokio::test]
async fn lines_sent_again_are_dropped() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let mut news = platform.app.signals.logs();
    let send = |first_seq, texts: &[&str]| {
        let request = LogRequest { fence: fence(&lease), first_seq, lines: lines(texts) };
        let platform = &platform;
        async move { platform.post("/internal/logs", &request).await.status() }
    };
    assert_eq!(send(0, &["one", "two"]).await, StatusCode::NO_CONTENT);
    assert_eq!(send(0, &["one", "two"]).await, StatusCode::NO_CONTENT);
    assert_eq!(send(1, &["two", "three"]).await, StatusCode::NO_CONTENT);
    let text: String = sqlx::query_scalar("select string_agg(text, ' ' order by seq) from log_lines")
        .fetch_one(&platform.db)
        .await
        .unwrap();
    assert_eq!(text, "one two three");
    assert_eq!(news.recv().await.unwrap(), lease.attempt, "followers hear of it");
}

#[tokio::test]
async fn a_log_is_bounded_and_holds_text() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let half = "x".repeat(limit::LOG_BYTES_PER_ATTEMPT / 2);
    let send = |first_seq, text: &str| {
        let request = LogRequest { fence: fence(&lease), first_seq, lines: lines(&[text]) };
        let platform = &platform;
        async move { platform.post("/internal/logs", &request).await }
    };
    assert!(send(0, &half).await.status().is_success());
    assert!(send(1, &half).await.status().is_success());
    assert!(send(1, &half).await.status().is_success(), "the same again counts once");
    assert_eq!(problem(send(2, "y").await).await.code, ErrorCode::LimitExceeded);
    assert_eq!(problem(send(2, "a\0b").await).await.code, ErrorCode::BadRequest);
    assert_eq!(problem(send(u64::MAX, "y").await).await.code, ErrorCode::BadRequest);
}
