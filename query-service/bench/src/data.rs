//! The data: generated once and cached, laid out as the platform's own operator lays out a file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde_json::{Map, json};
use trace_operators::csv_to_parquet::{self, Settings};

use crate::tpch;

/// The scale factor. The bars are set for it.
const SCALE: &str = "1";

/// The tables as CSV in `cache`, made by `tpchgen-cli` where they are missing.
pub fn generated(tools: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    let folder = cache.join(format!("tpch-sf{SCALE}"));
    let complete = folder.join(".complete");
    if complete.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    let tables = tpch::TABLES.map(|(table, _)| table).join(",");
    eprintln!("query: generating TPC-H at scale factor {SCALE} in {}", folder.display());
    let status = Command::new(tools.join("bin/tpchgen-cli"))
        .args(["csv", "--overwrite", "--scale-factor", SCALE, "--tables", &tables, "--output-dir"])
        .arg(&folder)
        .stdout(std::process::Stdio::null())
        .status()
        .context("tpchgen-cli; run scripts/setup.sh bench")?;
    if !status.success() {
        bail!("tpchgen-cli ended with {status}");
    }
    fs::write(complete, "")?;
    Ok(folder)
}

/// Writes every table to `folder` with the operator `csv_to_parquet`, one object a table, as a task
/// of one partition does.
pub fn lay_out(generated: &Path, folder: &Path) -> anyhow::Result<()> {
    for (table, columns) in tpch::TABLES {
        let types: Map<_, _> = columns.iter().map(|(name, kind)| ((*name).to_owned(), json!(kind))).collect();
        let settings = Settings::parse(&json!({ "columns": types }).to_string())?;
        let source = generated.join(format!("{table}.csv"));
        let target = folder.join(format!("{table}.parquet"));
        let done = csv_to_parquet::run(&settings, &source, "all", &target)?;
        eprintln!("query: {table}: {} rows, {} MB", done.kept, done.bytes / 1_000_000);
    }
    Ok(())
}
