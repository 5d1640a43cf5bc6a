//! `trace runs`.

use clap::{Args, value_parser};
use trace_contracts::{Name, wire::user::RunInfo};

use super::{Error, connect::Connect};
use crate::{
    client::RunFilter,
    output::{
        self, Form, run, table,
        text::{moment, took},
    },
};

const AFTER_HELP: &str = "\
Example:
  trace runs
  trace runs --dag flights --limit 5 --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Runs {
    /// Of this DAG only
    #[arg(long)]
    dag: Option<Name>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    connect: Connect,
}

impl Runs {
    pub async fn run(self) -> Result<(), Error> {
        let filter = RunFilter { dag: self.dag.clone(), limit: self.limit };
        let runs = self.connect.client()?.runs(&filter).await?;
        match self.connect.form() {
            Form::Json => output::json(&runs)?,
            Form::Table => output::line(&shown(&runs))?,
        }
        Ok(())
    }
}

fn shown(runs: &[RunInfo]) -> String {
    if runs.is_empty() {
        return "no runs yet: start one with `trace trigger DAG`".to_owned();
    }
    let rows = runs.iter().map(|run| {
        vec![
            run.run.to_string(),
            run.dag.to_string(),
            run.version.to_string(),
            run.state.as_str().to_owned(),
            format!("{}/{}", run.tasks.succeeded, run::total(&run.tasks)),
            moment(run.created_at),
            took(run.created_at, run.finished_at),
        ]
    });
    table::plain(&["run", "dag", "version", "state", "succeeded", "started (UTC)", "took"], rows)
}
