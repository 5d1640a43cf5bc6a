//! DuckDB in a process of its own, on the same files.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

const PROGRAM: &str = include_str!("duckdb.py");

/// A running DuckDB; killed when dropped.
pub struct DuckDb {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// One answer.
#[derive(Deserialize)]
pub struct Answer {
    /// Time of the query alone, in milliseconds.
    pub ms: f64,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

impl DuckDb {
    /// Starts it over the Parquet files of `folder`.
    pub fn start(tools: &Path, folder: &Path, threads: usize) -> anyhow::Result<Self> {
        let mut child = Command::new(tools.join("bin/python"))
            .args(["-c", PROGRAM])
            .arg(folder)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("DuckDB; run scripts/setup.sh bench")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a pipe to DuckDB is missing");
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Asks one query.
    pub fn ask(&mut self, sql: &str) -> anyhow::Result<Answer> {
        writeln!(self.input, "{}", Value::from(sql))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).context("DuckDB's answer")
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
