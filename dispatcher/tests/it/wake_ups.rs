//! Wake-ups are hints: lost ones delay a task, repeated ones change nothing.

use std::sync::Arc;

use trace_contracts::wire::worker::ClaimRequest;
use trace_dispatcher::{config::Limits, dag::spec::Source};

use crate::support::{
    Platform,
    adapters::{Doubled, Lossy},
    dags::{job, reading, spec},
    platform::Options,
    wire::{claiming, succeeded},
};

#[tokio::test]
async fn a_task_whose_wake_up_is_lost_is_found_by_the_sweep() {
    let limits = Limits { sweep_ms: 200, ..Limits::default() };
    let options = Options { limits, wake: Some(Arc::new(Lossy)), ..Options::default() };
    let platform = Platform::with(options).await;
    let deployed = platform.deploy(spec("d", vec![job("a")])).await;
    let waiting = ClaimRequest { wait_ms: 20_000, ..claiming(1) };
    let (leases, _) = tokio::join!(platform.claim_as(&waiting), platform.start_run(&deployed));
    assert_eq!(leases.len(), 1);
}

#[tokio::test]
async fn wake_ups_that_come_twice_start_nothing_twice() {
    let options = Options { wake: Some(Arc::new(Doubled)), ..Options::default() };
    let platform = Platform::with(options).await;
    let after = reading(job("b"), "a", Source::WholeJob { job: 0 });
    let run = platform.run(spec("d", vec![job("a"), after])).await;
    let requests: Vec<_> = (0..5).map(|_| ClaimRequest { wait_ms: 300, ..claiming(1) }).collect();
    let claims = futures::future::join_all(requests.iter().map(|request| platform.claim_as(request)));
    let leases: Vec<_> = claims.await.into_iter().flatten().collect();
    assert_eq!(leases.len(), 1);
    platform.complete_one(succeeded(&leases[0])).await;
    assert_eq!(platform.work_off().await, 1);
    assert_eq!(platform.state_of(run).await, "succeeded");
    platform.assert_consistent().await;
}

/// The connection that hears the news breaks; whoever waits is made to look once it is back.
#[tokio::test]
async fn news_that_are_lost_with_their_connection_are_made_up_for() {
    let limits = Limits { sweep_ms: 600_000, ..Limits::default() };
    let platform = Platform::with_limits(limits).await;
    let deployed = platform.deploy(spec("d", vec![job("a")])).await;
    let request = ClaimRequest { wait_ms: 25_000, ..claiming(1) };
    platform.app.signals.ready().wait_for(|heard| *heard > 0).await.unwrap();
    let broken = async {
        let killed = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and query like 'LISTEN%'";
        assert_eq!(platform.count(killed).await, 1);
        platform.start_run(&deployed).await;
    };
    let (leases, ()) = tokio::join!(platform.claim_as(&request), broken);
    assert_eq!(leases.len(), 1);
}
