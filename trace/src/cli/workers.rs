//! `trace workers`.

use clap::{Args, Subcommand};
use trace_contracts::Name;

use super::{Error, connect::Connect};
use crate::output::{self, Form, text::count};

const AFTER_HELP: &str = "\
Example:
  trace workers revoke worker_7 --reason 'the machine was broken into'";

const REVOKE_AFTER_HELP: &str = "\
Its token opens nothing from now on, and the attempts that it runs are taken back: their tasks go to
other workers, and it uses up no retries. Planes are revoked in the same way. For admins of the
platform's own org.

Example:
  trace workers revoke worker_7 --reason 'the machine was broken into'";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Workers {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take a worker's or plane's identity away, at once
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[command(after_help = REVOKE_AFTER_HELP)]
struct Revoke {
    /// What it was called when its identity was issued
    name: Name,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

impl Workers {
    pub async fn run(self) -> Result<(), Error> {
        let Action::Revoke(revoke) = self.action;
        let done = revoke.connect.client()?.revoke_worker(&revoke.name, &revoke.reason).await?;
        match revoke.connect.form() {
            Form::Json => output::json(&done)?,
            Form::Table => output::line(&format!(
                "{} is revoked; {} taken back",
                revoke.name,
                count(done.attempts_ended, "attempt")
            ))?,
        }
        Ok(())
    }
}
