//! What a UDF left: its log on standard error, its outputs on standard output.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    Name, Problem,
    wire::{
        task::{QueryFormat, QueryRequest, QueryResult},
        worker::{LogLine, LogStream, Outcome},
    },
};
use trace_query_service::local::{self, Local};
use trace_worker_wrapper::local::LocalOutcome;

use super::{Error, engine};
use crate::output::{
    self, Form, table,
    text::{bytes, printable},
};

/// Rows that are shown of each output.
const SHOWN_ROWS: usize = 20;
/// Rows that the JSON form holds of each output.
const JSON_ROWS: usize = 10_000;

/// The JSON form.
#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    outputs: Vec<Output>,
    log: &'a [LogLine],
}

/// One file that the UDF left.
#[derive(Debug, Serialize)]
struct Output {
    /// Relative to `/out`.
    file: String,
    bytes: u64,
    /// Of a Parquet file; at most [`JSON_ROWS`].
    #[serde(flatten)]
    table: Option<QueryResult>,
}

/// Shows the log and the outputs.
pub(super) async fn show(
    ran: &LocalOutcome,
    work_dir: &Path,
    form: Form,
    stopping: &CancellationToken,
) -> Result<(), Error> {
    for line in &ran.log {
        eprintln!("{}", log_line(line));
    }
    let most = match form {
        Form::Table => SHOWN_ROWS + 1,
        Form::Json => JSON_ROWS,
    };
    let outputs = read(&ran.outputs, &work_dir.join("out"), most, stopping).await?;
    match form {
        Form::Json => output::json(&Document { outcome: &ran.outcome, outputs, log: &ran.log })?,
        Form::Table => outputs.iter().try_for_each(print)?,
    }
    Ok(())
}

fn log_line(line: &LogLine) -> String {
    let stream = match line.stream {
        LogStream::Stdout => "out  ",
        LogStream::Stderr => "err  ",
        LogStream::Platform => "trace",
    };
    format!("{stream} {}", printable(&line.text))
}

fn print(found: &Output) -> std::io::Result<()> {
    output::line(&format!("{}  {}", printable(&found.file), bytes(found.bytes)))?;
    let Some(result) = &found.table else { return Ok(()) };
    let mut shown = result.clone();
    shown.rows.truncate(SHOWN_ROWS);
    output::line(&table::result(&shown))?;
    if result.rows.len() > SHOWN_ROWS {
        output::line("… and more: --json has them")?;
    }
    Ok(())
}

/// Reads the outputs with a query engine, as the platform's users would.
async fn read(
    files: &[PathBuf],
    out: &Path,
    most: usize,
    stopping: &CancellationToken,
) -> Result<Vec<Output>, Error> {
    let tables: BTreeMap<Name, PathBuf> = files
        .iter()
        .enumerate()
        .filter(|(_, file)| file.extension().is_some_and(|ending| ending == "parquet"))
        .filter_map(|(number, file)| Some((table_name(number)?, file.clone())))
        .collect();
    let mut reader = None;
    if !tables.is_empty() {
        reader = Some(local::serve(engine(tables.clone()), stopping.clone()).await?);
    }
    let mut outputs = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let name = table_name(number).filter(|name| tables.contains_key(name));
        let table = match (&reader, name) {
            (Some(reader), Some(name)) => Some(rows(reader, &name, most).await?),
            _ => None,
        };
        let relative = file.strip_prefix(out).unwrap_or(file);
        let size = std::fs::metadata(file)?.len();
        outputs.push(Output { file: relative.display().to_string(), bytes: size, table });
    }
    Ok(outputs)
}

fn table_name(number: usize) -> Option<Name> {
    format!("output_{number}").parse().ok()
}

async fn rows(reader: &Local, name: &Name, most: usize) -> Result<QueryResult, Error> {
    let failed = |error: reqwest::Error| Error::Report(error.to_string());
    let client = reqwest::Client::builder().no_proxy().build().map_err(failed)?;
    let request =
        QueryRequest { sql: format!("SELECT * FROM {name} LIMIT {most}"), format: QueryFormat::Json };
    let url = format!("http://{}/v1/task/query", reader.address);
    let response = client.post(url).json(&request).send().await.map_err(failed)?;
    if response.status().is_success() {
        return response.json().await.map_err(failed);
    }
    let problem: Problem = response.json().await.map_err(failed)?;
    Err(Error::Report(problem.detail))
}
