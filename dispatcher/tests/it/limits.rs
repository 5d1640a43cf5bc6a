//! Limits: what they hold back, what lets it go, and what happens when they change.

use futures::future::join_all;
use trace_contracts::{
    RunId,
    wire::{
        limits::OrgLimits,
        worker::{ClaimRequest, CompleteVerdict, FailureReason, Lease},
    },
};
use trace_dispatcher::{
    dag::spec::{Period, Spec},
    task::{cancel::cancel_run, set_limits::set_limits},
};

use crate::support::{
    Platform,
    dags::{at_once, job, partitioned, rated, retrying, spec},
    wire::{claiming, failed, succeeded},
};

/// The same with at most so many tasks of the DAG at once.
fn dag_at_once(mut spec: Spec, concurrency: u32) -> Spec {
    spec.concurrency = Some(concurrency);
    spec
}

fn of_job<'l>(leases: &'l [Lease], job: &str) -> Vec<&'l Lease> {
    leases.iter().filter(|lease| &*lease.launch.job == job).collect()
}

/// The next task, waited for.
async fn next(platform: &Platform) -> Lease {
    platform.app.signals.tell_later();
    let mut leases = platform.claim_as(&ClaimRequest { wait_ms: 20_000, ..claiming(1) }).await;
    assert_eq!(leases.len(), 1, "a task should be let go");
    leases.remove(0)
}

async fn set(platform: &Platform, tasks_at_once: Option<u32>) {
    let mut tx = platform.db.begin().await.unwrap();
    let limits = OrgLimits { tasks_at_once, ..OrgLimits::default() };
    set_limits(&mut tx, &platform.app.core, platform.org, &limits).await.unwrap();
    tx.commit().await.unwrap();
}

async fn cancel(platform: &Platform, run: RunId) {
    let mut tx = platform.db.begin().await.unwrap();
    cancel_run(&mut tx, &platform.app.core, platform.org, run).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_job_keeps_to_its_limit_over_all_runs() {
    let platform = Platform::start().await;
    let deployed = platform.deploy(spec("d", vec![at_once(partitioned(job("a"), 5), 2)])).await;
    let runs = [platform.start_run(&deployed).await, platform.start_run(&deployed).await];
    assert_eq!(platform.count("select count(*) from held").await, 8);
    for _ in 0..5 {
        platform.assert_consistent().await;
        let leases = platform.claim(50).await;
        assert_eq!(leases.len(), 2, "never more than two, and never fewer while any wait");
        assert!(platform.claim(50).await.is_empty());
        platform.complete(leases.iter().map(succeeded).collect()).await;
    }
    for run in runs {
        assert_eq!(platform.state_of(run).await, "succeeded");
    }
    assert_eq!(platform.count("select count(*) from slots").await, 0);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_full_job_holds_up_nobody_but_itself() {
    let platform = Platform::start().await;
    let jobs = vec![at_once(partitioned(job("a"), 5), 1), partitioned(job("b"), 5)];
    platform.run(dag_at_once(spec("d", jobs), 3)).await;
    platform.run(spec("free", vec![partitioned(job("c"), 4)])).await;
    let leases = platform.claim(50).await;
    let counts = ["a", "b", "c"].map(|job| of_job(&leases, job).len());
    assert_eq!(counts, [1, 2, 4], "the DAG's three slots, of which the job may have one; no limit for `c`");
    platform.assert_consistent().await;
    assert_eq!(platform.count("select count(*) from slots").await, 3, "`c` has none");
    platform.complete(leases.iter().map(succeeded).collect()).await;
    assert_eq!(platform.work_off().await, 7);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn every_kind_of_end_gives_the_slot_back() {
    let platform = Platform::start().await;
    let only = at_once(retrying(partitioned(job("a"), 6), 1, 3_600_000), 1);
    let run = platform.run(spec("d", vec![only.clone()])).await;

    let first = platform.claim_one().await;
    platform.complete_one(succeeded(&first)).await;
    let second = platform.claim_one().await;
    platform.complete_one(failed(&second, FailureReason::Exit)).await;
    assert_eq!(
        platform.count("select count(*) from delayed").await,
        1,
        "what waits for a retry holds no slot"
    );
    platform.assert_consistent().await;

    let third = platform.claim_one().await;
    assert_ne!(third.launch.task, second.launch.task);
    sqlx::query("update leases set expires_at = now()").execute(&platform.db).await.unwrap();
    let fourth = next(&platform).await;
    assert_ne!(fourth.launch.task, third.launch.task, "the lost one is due again, behind those that waited");
    platform.assert_consistent().await;

    // The retry that is due stands in line like everything else.
    sqlx::query("update delayed set not_before = now()").execute(&platform.db).await.unwrap();
    platform.complete_one(succeeded(&fourth)).await;
    let fifth = next(&platform).await;
    platform.assert_consistent().await;
    platform.complete_one(failed(&fifth, FailureReason::Exit)).await;

    // Another run of the same job waits behind, until this one is cancelled with what it holds.
    let sixth = next(&platform).await;
    let other = platform.deploy(spec("other", vec![job("x")])).await;
    platform.start_run(&other).await;
    assert_eq!(&*platform.claim_one().await.launch.job, "x");
    cancel(&platform, run).await;
    assert_eq!(platform.complete_one(succeeded(&sixth)).await, CompleteVerdict::Stale);
    assert_eq!(platform.count("select count(*) from slots").await, 0);
    assert_eq!(platform.count("select count(*) from held").await, 0);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_cancelled_run_makes_room_for_the_next_one() {
    let platform = Platform::start().await;
    let deployed = platform.deploy(spec("d", vec![at_once(partitioned(job("a"), 3), 2)])).await;
    let run = platform.start_run(&deployed).await;
    let other = platform.start_run(&deployed).await;
    // One is leased and one is ready when the run is cancelled, and one is held.
    assert_eq!(platform.claim(1).await[0].launch.run, run);
    cancel(&platform, run).await;
    platform.assert_consistent().await;
    let leases = platform.claim(50).await;
    assert_eq!(leases.len(), 2);
    assert!(leases.iter().all(|lease| lease.launch.run == other));
    platform.complete(leases.iter().map(succeeded).collect()).await;
    platform.work_off().await;
    assert_eq!(platform.state_of(other).await, "succeeded");
    platform.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dispatchers_do_not_overshoot() {
    let one = Platform::start().await;
    let two = one.beside().await;
    let jobs = vec![at_once(partitioned(job("a"), 60), 4), partitioned(job("b"), 40)];
    let deployed = one.deploy(dag_at_once(spec("d", jobs), 7)).await;
    let runs = [one.start_run(&deployed).await, two.start_run(&deployed).await];
    let most = "select greatest(
        (select count(*) from slots) - 7,
        (select count(*) from slots where dataset_id <> 0) - 4)";
    let work = |platform: &'static Platform| async move {
        let mut done = 0;
        loop {
            let leases = platform.claim_as(&ClaimRequest { wait_ms: 500, ..claiming(2) }).await;
            assert!(platform.count(most).await <= 0, "a limit was passed");
            if leases.is_empty() && platform.count("select count(*) from held").await == 0 {
                return done;
            }
            platform.complete(leases.iter().map(succeeded).collect()).await;
            done += leases.len();
        }
    };
    let (left, right): (&'static Platform, &'static Platform) =
        (Box::leak(Box::new(one)), Box::leak(Box::new(two)));
    let workers = (0..8).map(|n| tokio::spawn(work(if n % 2 == 0 { left } else { right })));
    let done: usize = join_all(workers).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(done, 200);
    for run in runs {
        assert_eq!(left.state_of(run).await, "succeeded");
    }
    left.assert_consistent().await;
}

#[tokio::test]
async fn an_org_s_limit_holds_from_the_moment_it_is_set_and_for_what_is_there() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 10)])).await;
    let running = platform.claim(4).await;
    set(&platform, Some(3)).await;
    assert!(platform.claim(50).await.is_empty(), "four run, which is more than three already");
    assert_eq!(platform.count("select count(*) from held").await, 6);
    assert_eq!(platform.count("select in_use::bigint from limits_in_use where scope = 'org'").await, 4);
    platform.complete(running[..2].iter().map(succeeded).collect()).await;
    platform.assert_consistent().await;
    let more = platform.claim(50).await;
    assert_eq!(more.len(), 1, "two run and one may start");
    set(&platform, Some(5)).await;
    let even_more = platform.claim(50).await;
    assert_eq!(even_more.len(), 2);
    platform.assert_consistent().await;
    set(&platform, None).await;
    platform.assert_consistent().await;
    let rest = platform.claim(50).await;
    assert_eq!(rest.len(), 3);
    assert_eq!(platform.count("select count(*) from slots").await, 0);
    set(&platform, Some(1)).await;
    let all: Vec<_> =
        running[2..].iter().chain(&more).chain(&even_more).chain(&rest).map(succeeded).collect();
    platform.complete(all).await;
    platform.assert_consistent().await;
    assert_eq!(platform.count("select count(*) from slots").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_set_while_everything_moves_counts_everything() {
    let platform: &'static Platform = Box::leak(Box::new(Platform::start().await));
    let deployed = platform.deploy(spec("d", vec![partitioned(job("a"), 20)])).await;
    let work = || async {
        loop {
            let leases = platform.claim_as(&ClaimRequest { wait_ms: 500, ..claiming(3) }).await;
            let idle = platform.count("select count(*) from runs where state = 'running'").await == 0;
            if leases.is_empty() && idle {
                return;
            }
            platform.complete(leases.iter().map(succeeded).collect()).await;
        }
    };
    let starts = async {
        for _ in 0..8 {
            platform.start_run(&deployed).await;
        }
    };
    let changes = async {
        for limit in [Some(3), Some(9), None, Some(1), Some(6)] {
            set(platform, limit).await;
            platform.app.signals.tell_later();
        }
    };
    tokio::join!(starts, changes);
    join_all((0..4).map(|_| work())).await;
    assert_eq!(platform.count("select count(*) from runs where state = 'succeeded'").await, 8);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_rate_lets_a_bucket_go_and_then_one_by_one() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![rated(partitioned(job("a"), 6), 2, Period::Hour)])).await;
    let leases = platform.claim(50).await;
    assert_eq!(leases.len(), 2);
    platform.complete(leases.iter().map(succeeded).collect()).await;
    assert!(platform.claim(50).await.is_empty(), "room is not what is missing");
    let clock = "update rate_buckets set refilled_at = refilled_at - interval '31 minutes'";
    sqlx::query(clock).execute(&platform.db).await.unwrap();
    let third = next(&platform).await;
    platform.complete_one(succeeded(&third)).await;
    assert!(platform.claim(50).await.is_empty());
    platform.assert_consistent().await;
}

/// The due time of the next start bounds the sweep's pause, so that nobody has to ring.
#[tokio::test]
async fn the_sweep_wakes_when_the_rate_allows_the_next_start() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![rated(partitioned(job("a"), 8), 4, Period::Second)])).await;
    let mut done = 0;
    while done < 8 {
        let leases = platform.claim_as(&ClaimRequest { wait_ms: 20_000, ..claiming(8) }).await;
        assert!(!leases.is_empty(), "the next start was not brought about");
        platform.complete(leases.iter().map(succeeded).collect()).await;
        done += leases.len();
    }
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_large_run_under_a_small_limit_is_planned_and_moves() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![at_once(partitioned(job("a"), 20_000), 10)])).await;
    assert_eq!(platform.count("select count(*) from held").await, 19_990);
    for _ in 0..3 {
        let leases = platform.claim(50).await;
        assert_eq!(leases.len(), 10);
        platform.complete(leases.iter().map(succeeded).collect()).await;
    }
    assert_eq!(platform.count("select count(*) from held").await, 19_960);
    platform.assert_consistent().await;
}
