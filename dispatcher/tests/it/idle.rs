//! An idle dispatcher costs nearly nothing.

use std::time::Duration;

use trace_contracts::wire::worker::ClaimRequest;
use trace_dispatcher::config::Limits;

use crate::support::{
    Platform,
    dags::{job, spec},
    wire::{claiming, succeeded},
};

async fn commits(platform: &Platform) -> i64 {
    platform.count("select xact_commit from pg_stat_database where datname = current_database()").await
}

/// Thirty claims wait for a second: the sweeps go on, and nothing else. Polling ten times a second
/// would make three hundred transactions.
#[tokio::test]
async fn waiting_workers_cause_no_polling() {
    let platform = Platform::with_limits(Limits { sweep_ms: 1_000, ..Limits::default() }).await;
    let requests: Vec<_> = (0..30).map(|_| ClaimRequest { wait_ms: 4_000, ..claiming(1) }).collect();
    let waiting = futures::future::join_all(requests.iter().map(|request| platform.claim_as(request)));
    let counted = async {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.tick().await;
        second.tick().await;
        let before = commits(&platform).await;
        second.tick().await;
        commits(&platform).await - before
    };
    let (leases, transactions) = tokio::join!(waiting, counted);
    assert!(leases.iter().all(Vec::is_empty));
    // Each connection counts its own late, so some of the transactions are from before.
    assert!(transactions < 100, "{transactions} transactions in a second");
}

#[tokio::test]
async fn a_stopping_dispatcher_answers_who_waits() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    platform.complete_one(succeeded(&lease)).await;
    assert_eq!(platform.state_of(run).await, "succeeded");
    let request = claiming(1);
    let body = ClaimRequest { wait_ms: 30_000, ..request };
    let url = format!("http://{}/internal/claim", platform.addresses.workers);
    let call = platform.http.post(url).bearer_auth(platform.worker.expose()).json(&body).send();
    let call = tokio::spawn(call);
    let since = std::time::Instant::now();
    platform.stop().await;
    assert!(since.elapsed() < Duration::from_secs(8), "took {:?}", since.elapsed());
    // It was answered with nothing, or came too late to be taken.
    if let Ok(response) = call.await.unwrap() {
        let reply: trace_contracts::wire::worker::ClaimReply = response.json().await.unwrap();
        assert!(reply.leases.is_empty());
    }
}
