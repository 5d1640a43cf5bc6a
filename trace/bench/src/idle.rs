//! What a platform costs that has nothing to do.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{platform::Platform, report::load_average, statistics::rounded};

#[derive(Debug, Args)]
pub struct Options {
    /// How long to look, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// After its start the platform settles: caches are filled, PostgreSQL writes its first checkpoint.
const SETTLE: Duration = Duration::from_secs(15);

#[derive(Debug, Serialize)]
pub struct Figures {
    seconds: f64,
    /// Transactions of the state database a minute; a statement by itself is one.
    queries_per_minute: f64,
    /// Processor time of every process of the platform, as a share of one core, in percent.
    cpu_percent_of_a_core: f64,
    processes: usize,
    load_average: Option<f64>,
}

/// What was used up to a moment.
struct Usage {
    at: Instant,
    transactions: i64,
    processor: Duration,
    processes: usize,
}

/// Runs it.
#[expect(clippy::disallowed_methods, reason = "time itself is what is let pass")]
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let platform = Platform::start()?;
    let db = connect(&platform).await?;
    tokio::time::sleep(SETTLE).await;
    let before = Usage::read(&platform, &db).await?;
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let after = Usage::read(&platform, &db).await?;
    let seconds = (after.at - before.at).as_secs_f64();
    // The question for the first count is the one transaction here that is ours.
    #[allow(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let queries = (after.transactions - before.transactions - 1) as f64;
    let processor = after.processor.saturating_sub(before.processor).as_secs_f64();
    Ok(Figures {
        seconds: rounded(seconds),
        queries_per_minute: rounded(queries * 60.0 / seconds),
        cpu_percent_of_a_core: rounded(100.0 * processor / seconds),
        processes: after.processes,
        load_average: load_average(),
    })
}

/// Connects as the platform's own user, which peer authentication lets in.
async fn connect(platform: &Platform) -> anyhow::Result<PgPool> {
    let note = platform.data().join("postgres/socket");
    let socket = fs::read_to_string(&note).with_context(|| format!("{}", note.display()))?;
    let options = PgConnectOptions::new().socket(socket.trim()).username("trace").database("trace_state");
    Ok(PgPoolOptions::new().max_connections(1).connect_with(options).await?)
}

impl Usage {
    async fn read(platform: &Platform, db: &PgPool) -> anyhow::Result<Self> {
        let (transactions,): (i64,) = sqlx::query_as(
            "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()",
        )
        .fetch_one(db)
        .await?;
        let tree = tree(platform.pid())?;
        let ticks: u64 = tree.iter().filter_map(|pid| processor_ticks(*pid)).sum();
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
        #[allow(clippy::cast_precision_loss, reason = "ticks of a minute")]
        let processor = Duration::from_secs_f64(ticks as f64 / per_second as f64);
        Ok(Self { at: Instant::now(), transactions, processor, processes: tree.len() })
    }
}

/// A process and all that came from it.
fn tree(root: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = fields(pid).and_then(|fields| fields.get(1)?.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(tree)
}

/// The fields of `/proc/PID/stat` after the name, which may hold spaces.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    Some(after.split(' ').map(ToOwned::to_owned).collect())
}

/// Time in user and kernel mode, that of children which ended included.
fn processor_ticks(pid: u32) -> Option<u64> {
    let fields = fields(pid)?;
    fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>().ok()).sum()
}
