//! `trace audit`.

use clap::{Args, value_parser};
use trace_contracts::wire::plane::{Actor, AuditRecord, AuditVerdict};

use super::{Error, connect::Connect};
use crate::output::{self, Form, table, text::moment};

const AFTER_HELP: &str = "\
Example:
  trace audit --limit 50
  trace audit --after 1200 --json | jq '.[] | select(.verdict == \"deny\")'";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Audit {
    /// Entries after this number, oldest first
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: i64,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    connect: Connect,
}

impl Audit {
    pub async fn run(self) -> Result<(), Error> {
        let records = self.connect.client()?.audit(self.after, self.limit).await?;
        show(&records, self.connect.form())
    }
}

/// Entries of the log.
pub(super) fn show(records: &[AuditRecord], form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(&records)?,
        Form::Table if records.is_empty() => output::line("no entries")?,
        Form::Table => {
            let header = ["entry", "at (UTC)", "plane", "verdict", "who", "action", "object"];
            output::line(&table::plain(&header, records.iter().map(row)))?;
        }
    }
    Ok(())
}

fn row(record: &AuditRecord) -> Vec<String> {
    let entry = &record.entry;
    let verdict = match entry.verdict {
        AuditVerdict::Allow => "allow",
        AuditVerdict::Deny => "deny",
    };
    vec![
        record.audit_id.to_string(),
        moment(record.at),
        entry.plane.as_str().to_owned(),
        verdict.to_owned(),
        who(&entry.actor),
        entry.action.clone(),
        entry.object.clone(),
    ]
}

fn who(actor: &Actor) -> String {
    match actor {
        Actor::User { user } => user.to_string(),
        Actor::Attempt { task, attempt } => format!("{task} {attempt}"),
        Actor::Platform => "platform".to_owned(),
    }
}
