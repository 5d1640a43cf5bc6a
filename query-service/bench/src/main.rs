//! The query benchmark. Prints one JSON line:
//!
//! ```text
//! {"bench":"query","point_added_ms":{"p50":…,"p99":…},"tpch":{"q1":{"trace_ms":…,"duckdb_ms":…,"ratio":…},…}}
//! ```
//! - `point_added_ms`: what gate, token, audit, catalog and the hop to an engine process add to a point
//!   query, over the same plan run directly in this process on the same objects.
//! - `tpch`: five queries of TPC-H at scale factor 1 through the service, over HTTP, beside DuckDB on the
//!   same Parquet files with the same number of threads. Both are warm, take turns, and must answer the
//!   same rows before anything is timed.

mod check;
mod data;
mod dispatcher;
mod duckdb;
mod measure;
mod objects;
mod service;
mod tokens;
mod tpch;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use clap::Parser;
use serde_json::{Map, Value, json};
use trace_query_service::{config::Engines, direct::Direct};

use crate::{
    duckdb::DuckDb,
    measure::{Percentiles, median, round},
    service::Service,
};

/// Measures the query service beside DataFusion alone and beside DuckDB.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder that `scripts/setup.sh bench` prints: DuckDB and tpchgen-cli.
    #[arg(long)]
    tools: PathBuf,
    /// Where generated data is kept from run to run.
    #[arg(long)]
    cache: PathBuf,
    /// The query service; the one beside this program when absent.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Parquet files that were laid out before, to try something on them alone.
    #[arg(long)]
    laid_out: Option<PathBuf>,
    /// Times that each query of TPC-H is timed.
    #[arg(long, default_value_t = 11)]
    runs: usize,
    /// Point queries that are timed.
    #[arg(long, default_value_t = 1000)]
    points: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let threads = std::thread::available_parallelism()?.get();
    let folder = tempfile::tempdir()?;
    let folder = match &arguments.laid_out {
        Some(folder) => folder.as_path(),
        None => {
            data::lay_out(&data::generated(&arguments.tools, &arguments.cache)?, folder.path())?;
            folder.path()
        }
    };
    let program = match arguments.program {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("query-service"),
    };
    let service = Service::start(&program, folder, threads).await?;
    let points = points(&service, folder, threads, arguments.points).await?;
    let tpch = beside_duckdb(&service, &arguments.tools, folder, threads, arguments.runs).await?;
    let mut report = json!({ "bench": "query", "threads": threads });
    report.as_object_mut().context("an object")?.extend(points);
    report["tpch"] = tpch;
    println!("{report}");
    Ok(())
}

/// Point queries, in turns: through the service, and the same plan directly.
async fn points(
    service: &Service,
    folder: &Path,
    threads: usize,
    count: u64,
) -> anyhow::Result<Map<String, Value>> {
    let files: BTreeMap<_, _> = [("orders".parse()?, folder.join("orders.parquet"))].into();
    let engines = Engines { threads, ..Engines::default() };
    let direct = Direct::open(&files, &engines).await?;
    let (mut through, mut alone) = (Vec::new(), Vec::new());
    // The first tenth warms both up.
    for nth in 0..count + count / 10 {
        let sql = tpch::point(nth);
        let (ms, body) = service.ask(&sql).await?;
        let start = Instant::now();
        let batches = direct.run(&sql).await?;
        let direct_ms = start.elapsed().as_secs_f64() * 1000.0;
        let found: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        anyhow::ensure!(found == 1 && check::rows(&body)?.len() == 1, "{sql} has one row");
        if nth >= count / 10 {
            through.push(ms);
            alone.push(direct_ms);
        }
    }
    let (through, alone) = (Percentiles::of(&through), Percentiles::of(&alone));
    let figures = json!({
        "point_added_ms": through.beyond(alone).rounded(),
        "point_ms": through.rounded(),
        "point_direct_ms": alone.rounded(),
    });
    Ok(figures.as_object().cloned().unwrap_or_default())
}

/// The queries of TPC-H, in turns: through the service, and in DuckDB.
async fn beside_duckdb(
    service: &Service,
    tools: &Path,
    folder: &Path,
    threads: usize,
    runs: usize,
) -> anyhow::Result<Value> {
    let mut duckdb = DuckDb::start(tools, folder, threads)?;
    let mut figures = Map::new();
    for (name, sql) in tpch::QUERIES {
        // These check, and warm both up.
        for _ in 0..2 {
            let (_, body) = service.ask(sql).await.context(name)?;
            check::same(name, &check::rows(&body)?, &duckdb.ask(sql)?.rows)?;
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            ours.push(service.ask(sql).await?.0);
            theirs.push(duckdb.ask(sql)?.ms);
        }
        let (ours, theirs) = (median(&ours), median(&theirs));
        let figure = json!({
            "trace_ms": round(ours, 10.0),
            "duckdb_ms": round(theirs, 10.0),
            "ratio": round(ours / theirs, 100.0),
        });
        eprintln!("query: {name}: {figure}");
        figures.insert(name.to_owned(), figure);
    }
    Ok(Value::Object(figures))
}
