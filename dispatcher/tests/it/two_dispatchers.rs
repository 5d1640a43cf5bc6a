//! Two dispatchers on one database agree, and one carries on where the other stops.

use std::collections::BTreeSet;

use futures::future::join_all;
use trace_contracts::wire::worker::{ClaimRequest, CompleteVerdict, HeartbeatVerdict};
use trace_dispatcher::dag::spec::Source;

use crate::support::{
    Platform,
    dags::{job, partitioned, reading, spec},
    wire::{claiming, fence, succeeded},
};

#[tokio::test]
async fn no_task_is_leased_twice() {
    let one = Platform::start().await;
    let two = one.beside().await;
    one.run(spec("d", vec![partitioned(job("a"), 200)])).await;
    let (left, right) =
        tokio::join!(join_all((0..10).map(|_| one.claim(10))), join_all((0..10).map(|_| two.claim(10))));
    let tasks: Vec<_> = left.iter().chain(&right).flatten().map(|lease| lease.launch.task).collect();
    assert_eq!(tasks.len(), 200);
    assert_eq!(tasks.iter().collect::<BTreeSet<_>>().len(), 200);
    one.assert_consistent().await;
}

#[tokio::test]
async fn a_run_goes_on_when_its_dispatcher_stops() {
    let one = Platform::start().await;
    let mut two = one.beside().await;
    two.worker = one.worker.clone();
    let after = reading(job("b"), "a", Source::WholeJob { job: 0 });
    let run = one.run(spec("d", vec![partitioned(job("a"), 3), after])).await;
    let leases = one.claim(3).await;
    assert_eq!(one.complete_one(succeeded(&leases[0])).await, CompleteVerdict::Recorded);
    one.stop().await;
    let verdicts = two.heartbeat(vec![fence(&leases[1])]).await;
    assert!(matches!(verdicts[0], HeartbeatVerdict::Extended { .. }));
    let context = two.task(reqwest::Method::GET, "/v1/task/context", &leases[2].capability_token);
    assert_eq!(two.status(context).await, 200, "a token of the one is good at the other");
    let verdicts = two.complete(leases.iter().map(succeeded).collect()).await;
    assert!(verdicts.iter().all(|verdict| *verdict == CompleteVerdict::Recorded));
    assert_eq!(two.work_off().await, 1);
    assert_eq!(two.state_of(run).await, "succeeded");
    two.assert_consistent().await;
}

#[tokio::test]
async fn a_task_that_gets_ready_here_wakes_a_claim_there() {
    let one = Platform::start().await;
    let two = one.beside().await;
    let deployed = one.deploy(spec("d", vec![job("a")])).await;
    let waiting = ClaimRequest { wait_ms: 20_000, ..claiming(1) };
    let (leases, _) = tokio::join!(two.claim_as(&waiting), one.start_run(&deployed));
    assert_eq!(leases.len(), 1);
}
