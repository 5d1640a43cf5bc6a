//! `trace tasks`.

use clap::Args;
use trace_contracts::{RunId, wire::user::TaskInfo};

use super::{Error, connect::Connect};
use crate::output::{
    self, Form, table,
    text::{moment, took},
};

const AFTER_HELP: &str = "\
Example:
  trace tasks r17
  trace tasks r17 --json | jq -r '.[] | select(.state == \"dead\") | .task'";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Tasks {
    /// The run, such as r17
    run: RunId,
    #[command(flatten)]
    connect: Connect,
}

impl Tasks {
    pub async fn run(self) -> Result<(), Error> {
        let tasks = self.connect.client()?.tasks(self.run).await?;
        answer(&tasks, self.connect.form(), "no tasks yet")
    }
}

/// Answers with a list of tasks.
pub(super) fn answer(tasks: &[TaskInfo], form: Form, none: &str) -> Result<(), Error> {
    match form {
        Form::Json => output::json(&tasks)?,
        Form::Table if tasks.is_empty() => output::line(none)?,
        Form::Table => output::line(&shown(tasks))?,
    }
    Ok(())
}

fn shown(tasks: &[TaskInfo]) -> String {
    let header = ["task", "run", "job", "partition", "state", "tries", "took", "outcome"];
    table::plain(&header, tasks.iter().map(row))
}

fn row(task: &TaskInfo) -> Vec<String> {
    let last = task.attempts.last();
    vec![
        task.task.to_string(),
        task.run.to_string(),
        task.job.to_string(),
        task.partition.to_string(),
        task.state.as_str().to_owned(),
        task.attempts.len().to_string(),
        last.map(|attempt| took(attempt.started_at, attempt.ended_at)).unwrap_or_default(),
        outcome(task),
    ]
}

/// The last attempt's outcome, the first line of why, and when it is tried again.
fn outcome(task: &TaskInfo) -> String {
    let last = task.attempts.last();
    let mut words = Vec::new();
    words.extend(last.and_then(|attempt| attempt.outcome.clone()));
    words.extend(last.and_then(|attempt| attempt.detail.as_deref()?.lines().next().map(str::to_owned)));
    words.extend(task.retry_at.map(|at| format!("next try after {}", moment(at))));
    words.join(": ")
}
