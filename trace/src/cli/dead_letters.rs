//! `trace dead-letters`.

use clap::Args;

use super::{Error, connect::Connect, tasks};

const AFTER_HELP: &str = "\
Example:
  trace dead-letters
  trace retry t17.3";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DeadLetters {
    #[command(flatten)]
    connect: Connect,
}

impl DeadLetters {
    pub async fn run(self) -> Result<(), Error> {
        let dead = self.connect.client()?.dead_letters().await?;
        tasks::answer(&dead, self.connect.form(), "no dead tasks")
    }
}
