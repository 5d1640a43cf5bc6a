//! A steady load over minutes: what is deleted must not pile up.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::PgPool;

use crate::{
    dispatch::{dispatcher::Dispatcher, full_load, load::Load},
    statistics::{median, rounded},
};

#[derive(Debug, Serialize)]
pub struct Figures {
    seconds: f64,
    tasks: u64,
    /// The most dead rows that `ready` and `leases` had together at any sample.
    dead_tuples_max: i64,
    /// Their size, indexes included, at most in the first and in the second half, in bytes.
    bytes_max_first_half: i64,
    bytes_max_second_half: i64,
    /// The median speed of the second half over that of the first.
    speed_ratio: f64,
}

/// Tasks of one round.
const ROUND: usize = 20_000;

struct Sample {
    at: Duration,
    dead: i64,
    bytes: i64,
    tasks_per_s: f64,
}

/// Runs load for `seconds`, with a look at the tables after each round.
pub async fn run(dispatcher: &Dispatcher, seconds: u64) -> anyhow::Result<Figures> {
    let load = Load { workers: 8, batch: 100, rate: None };
    let since = Instant::now();
    let mut samples = Vec::new();
    let mut tasks = 0;
    while samples.len() < 2 || since.elapsed() < Duration::from_secs(seconds) {
        let full = full_load(dispatcher, &format!("soak_{}", samples.len()), load, ROUND).await?;
        tasks += full.tasks;
        let (dead, bytes) = look(dispatcher.db()).await?;
        samples.push(Sample { at: since.elapsed(), dead, bytes, tasks_per_s: full.tasks_per_s });
    }
    let whole = since.elapsed();
    let (first, second): (Vec<Sample>, Vec<Sample>) =
        samples.into_iter().partition(|sample| sample.at <= whole / 2);
    let bytes = |half: &[Sample]| half.iter().map(|sample| sample.bytes).max().unwrap_or_default();
    let speed = |half: &[Sample]| median(half.iter().map(|sample| sample.tasks_per_s).collect());
    Ok(Figures {
        seconds: rounded(whole.as_secs_f64()),
        tasks,
        dead_tuples_max: first.iter().chain(&second).map(|sample| sample.dead).max().unwrap_or_default(),
        bytes_max_first_half: bytes(&first),
        bytes_max_second_half: bytes(&second),
        speed_ratio: rounded(speed(&second) / speed(&first)),
    })
}

async fn look(db: &PgPool) -> anyhow::Result<(i64, i64)> {
    Ok(sqlx::query_as(
        "select sum(n_dead_tup)::bigint, sum(pg_total_relation_size(relid))::bigint
        from pg_stat_user_tables where relname in ('ready', 'leases')",
    )
    .fetch_one(db)
    .await?)
}
