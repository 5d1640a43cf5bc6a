//! `trace why`.

use std::str::FromStr;

use clap::Args;
use trace_contracts::{RunId, TaskId, wire::why::RunWhy};

use super::{Error, connect::Connect};
use crate::output::{
    self, Form,
    text::{count, printable},
};

const AFTER_HELP: &str = "\
Tells the cause in a sentence, followed to its root: an input that has not come and the task that it
comes from, a limit and the place in line, the worker that holds the lease, the next try, no worker.
A task has its id from the start of its run, so that one that is not planned yet can be asked about.

Example:
  trace why t17.3
  trace why r17 --json | jq -r '.causes[].example.sentence'";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Why {
    /// The task or the run, such as t17.3 or r17
    #[arg(value_name = "TASK|RUN")]
    subject: Subject,
    #[command(flatten)]
    connect: Connect,
}

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Task(TaskId),
    Run(RunId),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(unverified: &str) -> Result<Self, String> {
        if let Ok(run) = unverified.parse() {
            return Ok(Self::Run(run));
        }
        unverified
            .parse()
            .map(Self::Task)
            .map_err(|_| "expected a task such as t17.3, or a run such as r17".to_owned())
    }
}

impl Why {
    pub async fn run(self) -> Result<(), Error> {
        let client = self.connect.client()?;
        match (self.subject, self.connect.form()) {
            (Subject::Task(task), Form::Json) => output::json(&client.why_task(task).await?)?,
            (Subject::Task(task), Form::Table) => {
                output::line(&printable(&client.why_task(task).await?.sentence))?;
            }
            (Subject::Run(run), Form::Json) => output::json(&client.why_run(run).await?)?,
            (Subject::Run(run), Form::Table) => output::line(&shown(&client.why_run(run).await?))?,
        }
        Ok(())
    }
}

/// The run's sentence, and a line for each further cause.
fn shown(why: &RunWhy) -> String {
    let mut lines = vec![printable(&why.sentence).into_owned()];
    for group in why.causes.iter().skip(1) {
        let behind = if group.behind > 0 { format!(", {} behind", group.behind) } else { String::new() };
        let tasks = count(group.tasks, "task");
        lines.push(format!("  {tasks}{behind}: {}", printable(&group.example.sentence)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_and_runs_are_told_apart() {
        assert_eq!("t17.3".parse(), Ok(Subject::Task("t17.3".parse().unwrap())));
        assert_eq!("r17".parse(), Ok(Subject::Run("r17".parse().unwrap())));
        for bad in ["", "t17", "17", "a3", "r17.3"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }
}
