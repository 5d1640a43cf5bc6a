//! Starting runs: pins, idempotency, and what waits for what.

use trace_contracts::{DatasetVersionId, wire::worker::CompleteVerdict};
use trace_dispatcher::{
    dag::spec::Source,
    task::{self, start_run::Started},
};

use crate::support::{
    Platform,
    dags::{job, partitioned, reading, spec},
    wire::succeeded,
};

#[tokio::test]
async fn the_same_key_starts_one_run() {
    let platform = Platform::start().await;
    let deployed = platform.deploy(spec("d", vec![job("a")])).await;
    let attempts = (0..5).map(|_| platform.try_start(&deployed, Some("monday")));
    let started: Vec<Started> =
        futures::future::join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(started.iter().filter(|one| matches!(one, Started::New(_))).count(), 1);
    assert!(started.iter().all(|one| one.run() == started[0].run()));
    assert_eq!(platform.count("select count(*) from ready").await, 1);
    let other = platform.try_start(&deployed, Some("tuesday")).await.unwrap();
    assert!(matches!(other, Started::New(run) if run != started[0].run()));
}

#[tokio::test]
async fn outside_datasets_are_pinned_when_the_run_starts() {
    let platform = Platform::start().await;
    let mut producer = spec("producer", vec![job("make")]);
    producer.publish.insert("weather".parse().unwrap(), 0);
    let weather = Source::Dataset { dataset: "weather".parse().unwrap() };
    let consumer = platform.deploy(spec("consumer", vec![reading(job("use"), "w", weather)])).await;
    let unknown = platform.try_start(&consumer, None).await;
    assert!(matches!(unknown, Err(task::Error::UnknownDataset(name)) if &*name == "weather"));
    let producer = platform.deploy(producer).await;
    let empty = platform.try_start(&consumer, None).await;
    assert!(matches!(empty, Err(task::Error::EmptyDataset(name)) if &*name == "weather"));

    platform.start_run(&producer).await;
    platform.work_off().await;
    platform.start_run(&consumer).await;
    // A newer version comes after the run has started, and the run keeps what it pinned.
    let pinned: i64 = platform.count("select current_version from datasets where name = 'weather'").await;
    platform.start_run(&producer).await;
    let leases = platform.claim(2).await;
    let (reader, maker): (Vec<_>, Vec<_>) =
        leases.into_iter().partition(|lease| &*lease.launch.dag == "consumer");
    platform.complete_one(succeeded(&maker[0])).await;
    assert!(platform.count("select current_version from datasets where name = 'weather'").await > pinned);
    let granted = platform.inputs_of(&reader[0]).await;
    assert_eq!(granted["w"]["version"], DatasetVersionId::from_db(pinned).to_string());
}

#[tokio::test]
async fn a_partition_flows_on_while_its_siblings_run() {
    let platform = Platform::start().await;
    let own = reading(partitioned(job("b"), 2), "mine", Source::SamePartition { job: 0 });
    let all = reading(job("c"), "both", Source::WholeJob { job: 1 });
    let run = platform.run(spec("d", vec![partitioned(job("a"), 2), own, all])).await;
    let first = platform.claim(2).await;
    platform.complete_one(succeeded(&first[1])).await;
    let next = platform.claim_one().await;
    assert_eq!((&*next.launch.job, &next.launch.partition), ("b", &first[1].launch.partition));
    let granted = platform.inputs_of(&next).await;
    assert_eq!(granted["mine"]["partition"], *next.launch.partition);
    assert_eq!(platform.complete_one(succeeded(&next)).await, CompleteVerdict::Recorded);
    assert!(platform.claim(5).await.is_empty(), "`c` waits for the other half");
    platform.complete_one(succeeded(&first[0])).await;
    assert_eq!(platform.work_off().await, 2);
    assert_eq!(platform.state_of(run).await, "succeeded");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_wide_run_fans_in() {
    let platform = Platform::start().await;
    let all = reading(job("b"), "a", Source::WholeJob { job: 0 });
    let run = platform.run(spec("d", vec![partitioned(job("a"), 2_000), all])).await;
    assert_eq!(platform.count("select count(*) from ready").await, 2_000);
    let mut done = 0;
    while done < 2_001 {
        let leases = platform.claim(500).await;
        assert!(!leases.is_empty());
        platform.complete(leases.iter().map(succeeded).collect()).await;
        done += leases.len();
    }
    assert_eq!(platform.state_of(run).await, "succeeded");
    platform.assert_consistent().await;
}
