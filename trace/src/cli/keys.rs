//! `trace keys`.

use clap::{Args, Subcommand, value_parser};
use trace_contracts::{KeyId, wire::authority::KeyInfo};

use super::{Error, audit, connect::Connect};
use crate::output::{
    self, Form, table,
    text::{count, moment},
};

const AFTER_HELP: &str = "\
For admins of the platform's own org: the keys are every org's. What to do when a key may have been
stolen is in docs/operations.md.

Example:
  trace keys list
  trace keys rotate --reason 'every quarter'
  trace keys revoke NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --reason 'a backup was stolen'
  trace keys touched NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

const LIST_AFTER_HELP: &str = "\
Example:
  trace keys list
  trace keys list --json | jq -r '.[] | select(.state == \"signing\").kid'";

const ROTATE_AFTER_HELP: &str = "\
A new key signs from now on. What the one before it signed is believed until it has expired, so that
nothing that runs fails.

Example:
  trace keys rotate --reason 'every quarter'";

const REVOKE_AFTER_HELP: &str = "\
Every plane refuses what the key signed from now on, and ends what runs on it. The attempts that held
such tokens are taken back, and their tasks run again; it uses up no retries. When it is the key that
signs, a new one is made first.

Example:
  trace keys revoke NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --reason 'a backup was stolen'";

const TOUCHED_AFTER_HELP: &str = "\
What was done and refused under capabilities that the key signed, in every org, from the audit log.

Example:
  trace keys touched NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs
  trace keys touched NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --json | jq -r '.[].object' | sort -u";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the keys that sign capabilities, or did
    List(List),
    /// Let a new key sign
    Rotate(Rotate),
    /// Have nothing believed any more that a key signed
    Revoke(Revoke),
    /// Show what was done under capabilities that a key signed
    Touched(Touched),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_AFTER_HELP)]
struct List {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = ROTATE_AFTER_HELP)]
struct Rotate {
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = REVOKE_AFTER_HELP)]
struct Revoke {
    /// The key's id
    kid: KeyId,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = TOUCHED_AFTER_HELP)]
struct Touched {
    /// The key's id
    kid: KeyId,
    /// Entries after this number, oldest first
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: i64,
    /// At most so many
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    connect: Connect,
}

impl Keys {
    pub async fn run(self) -> Result<(), Error> {
        match self.action {
            Action::List(list) => show(&list.connect.client()?.keys().await?, list.connect.form()),
            Action::Rotate(rotate) => rotate.run().await,
            Action::Revoke(revoke) => revoke.run().await,
            Action::Touched(touched) => touched.run().await,
        }
    }
}

impl Rotate {
    async fn run(self) -> Result<(), Error> {
        let key = self.connect.client()?.rotate_keys(&self.reason).await?;
        match self.connect.form() {
            Form::Json => output::json(&key)?,
            Form::Table => output::line(&format!("{} signs from now on", key.kid))?,
        }
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Error> {
        let done = self.connect.client()?.revoke_key(&self.kid, &self.reason).await?;
        match self.connect.form() {
            Form::Json => output::json(&done)?,
            Form::Table => output::line(&format!(
                "{} is revoked; {} taken back; {} signs",
                done.revoked.kid,
                count(done.attempts_ended, "attempt"),
                done.signing.kid
            ))?,
        }
        Ok(())
    }
}

impl Touched {
    async fn run(self) -> Result<(), Error> {
        let records = self.connect.client()?.touched(&self.kid, self.after, self.limit).await?;
        audit::show(&records, self.connect.form())
    }
}

fn show(keys: &[KeyInfo], form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(&keys)?,
        Form::Table => {
            let header = ["key", "state", "signs from (UTC)", "stopped", "believed until", "revoked", "why"];
            output::line(&table::plain(&header, keys.iter().map(row)))?;
        }
    }
    Ok(())
}

fn row(key: &KeyInfo) -> Vec<String> {
    let time = |at: Option<_>| at.map_or_else(|| "-".to_owned(), moment);
    vec![
        key.kid.to_string(),
        key.state.as_str().to_owned(),
        moment(key.signs_from),
        time(key.stopped_at),
        time(key.retires_at),
        time(key.revoked_at),
        key.reason.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}
