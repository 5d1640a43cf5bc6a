//! An idle dispatcher costs nearly nothing.

use std::time::Duration;

use trace_dispatcher::config::Limits;

use crate::support::{
    Platform,
    dags::{job, spec},
    wire::{claiming, succeeded},
};

async fn commits(platform: &Platform) -> i64 {
    platform.count("select xact_commit from pg_stat_database where datname = current_database()").await
}

/// Transactions of two seconds with a claim waiting: the sweeps and nothing else.
#[tokio::test]
async fn a_waiting_worker_causes_no_polling() {
    let platform = Platform::with_limits(Limits { sweep_ms: 1_000, ..Limits::default() }).await;
    let request = trace_contracts::wire::worker::ClaimRequest { wait_ms: 2_500, ..claiming(1) };
    let waiting = platform.claim_as(&request);
    let counted = async {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.tick().await;
        second.tick().await;
        let before = commits(&platform).await;
        second.tick().await;
        commits(&platform).await - before
    };
    let (leases, transactions) = tokio::join!(waiting, counted);
    assert!(leases.is_empty());
    // Statistics are sent late, so this is loose; polling would make hundreds.
    assert!(transactions <= 12, "{transactions} transactions in a second");
}

#[tokio::test]
async fn a_stopping_dispatcher_answers_who_waits() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    platform.complete_one(succeeded(&lease)).await;
    assert_eq!(platform.state_of(run).await, "succeeded");
    let request = claiming(1);
    let body = trace_contracts::wire::worker::ClaimRequest { wait_ms: 30_000, ..request };
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
