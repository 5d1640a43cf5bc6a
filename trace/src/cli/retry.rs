//! `trace retry`.

use clap::Args;
use trace_contracts::TaskId;

use super::{Error, connect::Connect};
use crate::output::{self, Form};

const AFTER_HELP: &str = "\
Example:
  trace dead-letters
  trace retry t17.3";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Retry {
    /// The dead task, such as t17.3
    task: TaskId,
    #[command(flatten)]
    connect: Connect,
}

impl Retry {
    pub async fn run(self) -> Result<(), Error> {
        let task = self.connect.client()?.retry(self.task).await?;
        match self.connect.form() {
            Form::Json => output::json(&task)?,
            Form::Table => output::line(&format!("{} is {} again", task.task, task.state.as_str()))?,
        }
        Ok(())
    }
}
