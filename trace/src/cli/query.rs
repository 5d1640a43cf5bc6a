//! `trace query`.

use std::io::{self, IsTerminal as _, Read as _};

use clap::{Args, ValueEnum};
use trace_contracts::wire::{limit, task::QueryFormat};

use super::{Error, connect::DataDir};
use crate::{
    client,
    output::{self, diagnostics::Source, table},
};

const AFTER_HELP: &str = "\
SQL is one SELECT. Its tables are the published datasets that you may read (`trace datasets`).
json, csv and arrow (an Arrow IPC stream) are passed on as they arrive.

Example:
  trace query \"SELECT origin, avg(dep_delay) AS delay FROM delays_by_month GROUP BY origin\"
  trace query \"SELECT * FROM delays_by_month\" --format csv > delays.csv
  trace query - < report.sql";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Query {
    /// The statement, or - to read it from standard input
    sql: String,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// {"columns": [{"name", "type"}], "rows": [[…]]}
    Json,
    /// With a header line
    Csv,
    /// An Arrow IPC stream
    Arrow,
}

impl Query {
    pub async fn run(self) -> Result<(), Error> {
        let sql = statement(&self.sql)?;
        let client = self.data_dir.client()?;
        let format = match (self.json, self.format) {
            (true, _) | (false, Format::Json) => QueryFormat::Json,
            (false, Format::Csv) => QueryFormat::Csv,
            (false, Format::Arrow) if io::stdout().is_terminal() => {
                return Err(Error::Usage(
                    "arrow is binary: redirect it into a file, or pipe it on".to_owned(),
                ));
            }
            (false, Format::Arrow) => QueryFormat::Arrow,
            (false, Format::Table) => {
                let result = client.query(&sql).await.map_err(|error| explain(error, &sql))?;
                return Ok(output::line(&table::result(&result))?);
            }
        };
        let mut out = tokio::io::stdout();
        client.query_into(&sql, format, &mut out).await.map_err(|error| explain(error, &sql))?;
        if format == QueryFormat::Json {
            output::line("")?;
        }
        Ok(())
    }
}

/// The statement itself, from the argument or from standard input.
fn statement(argument: &str) -> Result<String, Error> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut sql = String::new();
    let unreadable = |source| Error::File { path: "standard input".into(), source };
    io::stdin().take(limit::SQL_BYTES as u64 + 1).read_to_string(&mut sql).map_err(unreadable)?;
    Ok(sql)
}

/// Shows the lines that the platform complains about.
fn explain(error: client::Error, sql: &str) -> Error {
    match &error {
        client::Error::Refused(problem) if !problem.errors.is_empty() => {
            let rendered = Source { name: "SQL", text: sql }.render(&problem.errors);
            Error::Wrong { summary: error.to_string(), rendered }
        }
        _ => error.into(),
    }
}
