//! `trace users`.

use clap::{Args, Subcommand};
use trace_contracts::{UserId, wire::authority::UserInfo};

use super::{Error, connect::Connect};
use crate::output::{
    self, Form, table,
    text::{count, moment},
};

const AFTER_HELP: &str = "\
Example:
  trace users list
  trace users suspend u7 --reason 'their laptop was stolen'
  trace users restore u7 --reason 'a new laptop'";

const LIST_AFTER_HELP: &str = "\
Example:
  trace users list
  trace users list --json | jq '.[] | select(.suspended_at)'";

const SUSPEND_AFTER_HELP: &str = "\
Their tokens open nothing from now on, what runs for them is ended, and the runs that they started
are cancelled. Only an admin may do this.

Example:
  trace users suspend u7 --reason 'their laptop was stolen'";

const RESTORE_AFTER_HELP: &str = "\
What was cancelled stays cancelled.

Example:
  trace users restore u7 --reason 'a new laptop'";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Users {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the users of your org
    List(List),
    /// Take a user's authority away, at once
    Suspend(Suspend),
    /// Let a suspended user in again
    Restore(Restore),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_AFTER_HELP)]
struct List {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = SUSPEND_AFTER_HELP)]
struct Suspend {
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, Args)]
#[command(after_help = RESTORE_AFTER_HELP)]
struct Restore {
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, Args)]
struct Whom {
    /// The user, such as u7
    user: UserId,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

impl Users {
    pub async fn run(self) -> Result<(), Error> {
        match self.action {
            Action::List(list) => show(&list.connect.client()?.users().await?, list.connect.form()),
            Action::Suspend(suspend) => suspend.whom.suspend().await,
            Action::Restore(restore) => restore.whom.restore().await,
        }
    }
}

impl Whom {
    async fn suspend(self) -> Result<(), Error> {
        let done = self.connect.client()?.suspend(self.user, &self.reason).await?;
        match self.connect.form() {
            Form::Json => output::json(&done)?,
            Form::Table => output::line(&format!(
                "{} is suspended; {} cancelled",
                self.user,
                count(done.runs_cancelled, "run")
            ))?,
        }
        Ok(())
    }

    async fn restore(self) -> Result<(), Error> {
        let user = self.connect.client()?.restore(self.user, &self.reason).await?;
        match self.connect.form() {
            Form::Json => output::json(&user)?,
            Form::Table => output::line(&format!("{} is let in again", self.user))?,
        }
        Ok(())
    }
}

fn show(users: &[UserInfo], form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(&users)?,
        Form::Table => {
            let header = ["user", "role", "issuer", "who", "mail", "suspended since (UTC)"];
            output::line(&table::plain(&header, users.iter().map(row)))?;
        }
    }
    Ok(())
}

fn row(user: &UserInfo) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        user.user.to_string(),
        user.role.to_string(),
        user.issuer.clone(),
        user.external_id.clone(),
        or_none(user.email.clone()),
        or_none(user.suspended_at.map(moment)),
    ]
}
