//! `trace webhooks`.

use clap::{Args, Subcommand, ValueEnum};
use trace_contracts::{
    DeliveryId, Name, WebhookUrl,
    wire::webhook::{
        DeliveryInfo, DeliveryState, RedriveRequest, RotateRequest, WebhookInfo, WebhookKeyReply,
        WebhookRequest,
    },
};

use super::{Error, connect::Connect};
use crate::output::{self, Form, table, text::moment};

const AFTER_HELP: &str = "\
DAGs name webhooks under `deliver:`. What is sent is signed as Standard Webhooks has it
(https://www.standardwebhooks.com), and a rule has to let the DAG reach the address (`trace egress`).

Example:
  trace webhooks add ops https://hooks.example.com/trace
  trace egress allow hooks.example.com:443
  trace webhooks deliveries ops --state dead
  trace webhooks redrive ops";

const LIST_AFTER_HELP: &str = "\
Operators, admins and auditors may see them. Paths are not shown: receivers put secrets there.

Example:
  trace webhooks list";

const ADD_AFTER_HELP: &str = "\
URL starts with https://. The answer has the key that signs, for the receiver; it is not shown again.
Only an admin may add.

Example:
  trace webhooks add ops https://hooks.example.com/trace";

const ROTATE_AFTER_HELP: &str = "\
What is sent from now on has a signature of the new key and one of the old, until the overlap is over:
give the new one to the receiver meanwhile. Only an admin may rotate.

Example:
  trace webhooks rotate ops
  trace webhooks rotate ops --overlap-seconds 0    # the old key has leaked";

const ENABLE_AFTER_HELP: &str = "\
A webhook whose receiver answered 410 is disabled. Deliveries that were given up meanwhile are sent by
`trace webhooks redrive`. Only an admin may enable.

Example:
  trace webhooks enable ops";

const REMOVE_AFTER_HELP: &str = "\
Deliveries that are due to it are given up, and its keys are gone. Only an admin may remove.

Example:
  trace webhooks remove ops";

const DELIVERIES_AFTER_HELP: &str = "\
The newest first. What they say is not shown.

Example:
  trace webhooks deliveries ops
  trace webhooks deliveries ops --state dead --json | jq '.[].reason'";

const REDRIVE_AFTER_HELP: &str = "\
They are sent with the `webhook-id` that they had, so that a receiver can tell those that it took after
all. Without numbers, the oldest thousand dead ones. Only an admin may redrive.

Example:
  trace webhooks redrive ops
  trace webhooks redrive ops dl17 dl18";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Webhooks {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the webhooks of your org
    List(List),
    /// Add a webhook, and print the key that signs for it
    Add(Add),
    /// Give a webhook a new key, and print it
    Rotate(Rotate),
    /// Send to a disabled webhook again
    Enable(Enable),
    /// Remove a webhook
    Remove(Remove),
    /// List the deliveries to a webhook
    Deliveries(Deliveries),
    /// Have dead deliveries sent again
    Redrive(Redrive),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_AFTER_HELP)]
struct List {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = ADD_AFTER_HELP)]
struct Add {
    /// What DAGs will call it
    name: Name,
    /// Where its deliveries go
    url: WebhookUrl,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = ROTATE_AFTER_HELP)]
struct Rotate {
    /// The webhook
    name: Name,
    /// For how long the old key signs, too: a day when left out, a week at most
    #[arg(long, value_name = "N")]
    overlap_seconds: Option<u32>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = ENABLE_AFTER_HELP)]
struct Enable {
    /// The webhook
    name: Name,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = REMOVE_AFTER_HELP)]
struct Remove {
    /// The webhook
    name: Name,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = DELIVERIES_AFTER_HELP)]
struct Deliveries {
    /// The webhook
    name: Name,
    /// In this state alone
    #[arg(long, value_enum)]
    state: Option<State>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = REDRIVE_AFTER_HELP)]
struct Redrive {
    /// The webhook
    name: Name,
    /// These deliveries alone, such as dl17
    deliveries: Vec<DeliveryId>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// To be sent, or sent again
    Due,
    /// The receiver took it
    Delivered,
    /// Given up
    Dead,
}

impl From<State> for DeliveryState {
    fn from(state: State) -> Self {
        match state {
            State::Due => Self::Due,
            State::Delivered => Self::Delivered,
            State::Dead => Self::Dead,
        }
    }
}

impl Webhooks {
    pub async fn run(self) -> Result<(), Error> {
        match self.action {
            Action::List(list) => listed(&list.connect.client()?.webhooks().await?, list.connect.form()),
            Action::Add(add) => {
                let request = WebhookRequest { name: add.name, url: add.url };
                keyed(&add.connect.client()?.add_webhook(&request).await?, "added", add.connect.form())
            }
            Action::Rotate(rotate) => {
                let request = RotateRequest { overlap_seconds: rotate.overlap_seconds };
                let rotated = rotate.connect.client()?.rotate_webhook(&rotate.name, &request).await?;
                keyed(&rotated, "has a new key", rotate.connect.form())
            }
            Action::Enable(enable) => {
                let enabled = enable.connect.client()?.enable_webhook(&enable.name).await?;
                changed(&enabled, "enabled", enable.connect.form())
            }
            Action::Remove(remove) => {
                let removed = remove.connect.client()?.remove_webhook(&remove.name).await?;
                changed(&removed, "removed", remove.connect.form())
            }
            Action::Deliveries(wanted) => {
                let client = wanted.connect.client()?;
                let state = wanted.state.map(DeliveryState::from);
                let found = client.deliveries(&wanted.name, state, wanted.limit).await?;
                delivered(&found, wanted.connect.form())
            }
            Action::Redrive(redrive) => redrive.run().await,
        }
    }
}

impl Redrive {
    async fn run(self) -> Result<(), Error> {
        let only = (!self.deliveries.is_empty()).then_some(self.deliveries);
        let request = RedriveRequest { deliveries: only };
        let reply = self.connect.client()?.redrive(&self.name, &request).await?;
        match self.connect.form() {
            Form::Json => output::json(&reply)?,
            Form::Table => output::line(&format!("due again: {}", reply.redriven))?,
        }
        Ok(())
    }
}

fn listed(webhooks: &[WebhookInfo], form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(&webhooks)?,
        Form::Table if webhooks.is_empty() => {
            output::line("no webhooks: `trace webhooks add NAME https://…` adds one")?;
        }
        Form::Table => {
            let header = ["webhook", "to", "state", "due", "added by", "since (UTC)"];
            output::line(&table::plain(&header, webhooks.iter().map(row)))?;
        }
    }
    Ok(())
}

fn row(webhook: &WebhookInfo) -> Vec<String> {
    vec![
        webhook.name.to_string(),
        webhook.destination.to_string(),
        standing(webhook),
        webhook.due.to_string(),
        webhook.added_by.to_string(),
        moment(webhook.added_at),
    ]
}

fn standing(webhook: &WebhookInfo) -> String {
    match (&webhook.disabled, webhook.rests_until) {
        (Some(why), _) => format!("disabled: {why}"),
        (None, Some(until)) => format!("rests until {} after {} failures", moment(until), webhook.failures),
        (None, None) if webhook.failures > 0 => format!("{} failures", webhook.failures),
        (None, None) => "open".to_owned(),
    }
}

/// The one place that prints a key: whoever asked for it has to hand it on.
fn keyed(reply: &WebhookKeyReply, what: &str, form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(reply)?,
        Form::Table => {
            output::line(&format!("{} {what}; its key, which is not shown again:", reply.webhook.name))?;
            output::line(reply.key.expose())?;
        }
    }
    Ok(())
}

fn changed(webhook: &WebhookInfo, what: &str, form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(webhook)?,
        Form::Table => output::line(&format!("{what}: {} ({})", webhook.name, webhook.destination))?,
    }
    Ok(())
}

fn delivered(deliveries: &[DeliveryInfo], form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(&deliveries)?,
        Form::Table if deliveries.is_empty() => output::line("no deliveries")?,
        Form::Table => {
            let header = ["delivery", "event", "dag", "of", "state", "tries", "status", "why", "since (UTC)"];
            output::line(&table::plain(&header, deliveries.iter().map(delivery_row)))?;
        }
    }
    Ok(())
}

fn delivery_row(delivery: &DeliveryInfo) -> Vec<String> {
    let nothing = || "-".to_owned();
    vec![
        delivery.delivery.to_string(),
        delivery.event.to_string(),
        delivery.dag.to_string(),
        delivery.task.map_or_else(|| delivery.run.to_string(), |task| task.to_string()),
        delivery.state.to_string(),
        delivery.tries.to_string(),
        delivery.last_status.map_or_else(nothing, |status| status.to_string()),
        delivery.reason.clone().unwrap_or_else(nothing),
        moment(delivery.created_at),
    ]
}
