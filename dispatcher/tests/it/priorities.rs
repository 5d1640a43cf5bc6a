//! Who goes first.

use crate::support::{
    Platform,
    dags::{job, partitioned, prior, spec},
    wire::succeeded,
};

async fn change(platform: &Platform, sql: &'static str) {
    let changed = sqlx::query(sql).execute(&platform.db).await.unwrap();
    assert!(changed.rows_affected() > 0, "{sql}");
}

/// The jobs of all tasks in the order in which they are given out.
async fn order(platform: &Platform) -> Vec<String> {
    let mut jobs = Vec::new();
    loop {
        let leases = platform.claim(1).await;
        let Some(lease) = leases.first() else { return jobs };
        jobs.push(lease.launch.job.to_string());
        platform.complete_one(succeeded(lease)).await;
    }
}

#[tokio::test]
async fn the_higher_priority_is_claimed_first_and_priority_0_by_number() {
    let platform = Platform::start().await;
    let jobs = vec![partitioned(job("a"), 2), prior(job("low"), -5), prior(job("high"), 10), job("b")];
    platform.run(spec("d", jobs)).await;
    assert_eq!(platform.count("select count(*) from ready where rank is null").await, 3);
    assert_eq!(platform.count("select count(*) from slots").await, 0, "a priority is no limit");
    assert_eq!(order(&platform).await, ["high", "a", "a", "b", "low"]);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn one_claim_deals_by_priority_too() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 5), prior(partitioned(job("high"), 3), 1)])).await;
    let leases = platform.claim(4).await;
    assert_eq!(leases.iter().filter(|lease| &*lease.launch.job == "high").count(), 3);
}

#[tokio::test]
async fn waiting_makes_up_for_priority() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a"), prior(job("high"), 10)])).await;
    change(&platform, "update ready set ready_at = ready_at - interval '9 minutes' where rank is null").await;
    assert_eq!(
        &*platform.claim(1).await[0].launch.job,
        "high",
        "ten points are worth more than nine minutes"
    );
    platform.run(spec("e", vec![prior(job("higher"), 10)])).await;
    change(&platform, "update ready set ready_at = ready_at - interval '2 minutes' where rank is null").await;
    assert_eq!(&*platform.claim(1).await[0].launch.job, "a", "and less than eleven");
}

#[tokio::test]
async fn what_limits_hold_goes_by_priority_and_age() {
    let platform = Platform::start().await;
    let mut dag =
        spec("d", vec![job("a"), prior(job("low"), -5), prior(job("high"), 10), prior(job("lowest"), -90)]);
    dag.concurrency = Some(1);
    platform.run(dag).await;
    // Two hours of waiting are worth more than ninety points and ten.
    change(&platform, "update held set rank = rank - interval '2 hours' where priority = -90").await;
    assert_eq!(order(&platform).await, ["high", "lowest", "a", "low"]);
    platform.assert_consistent().await;
}
