//! `trace cancel`.

use clap::Args;
use trace_contracts::RunId;

use super::{Error, connect::Connect};
use crate::output::{self, Form, run};

const AFTER_HELP: &str = "\
What runs is killed and its capabilities end; nothing of it is committed.

Example:
  trace cancel r17";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Cancel {
    /// The run, such as r17
    run: RunId,
    #[command(flatten)]
    connect: Connect,
}

impl Cancel {
    pub async fn run(self) -> Result<(), Error> {
        let run = self.connect.client()?.cancel(self.run).await?;
        match self.connect.form() {
            Form::Json => output::json(&run)?,
            Form::Table => output::line(&run::headline(&run))?,
        }
        Ok(())
    }
}
