//! `trace limits`.

use std::str::FromStr;

use clap::{Args, Subcommand};
use trace_contracts::wire::limits::{LimitsInfo, OrgLimits};

use super::{Error, connect::Connect};
use crate::output::{self, Form, table};

const AFTER_HELP: &str = "\
Limits of DAGs and jobs are said in the DAG file; see docs/limits.md.

Example:
  trace limits show
  trace limits set --tasks-at-once 50 --queued-tasks none";

const SHOW_AFTER_HELP: &str = "\
Example:
  trace limits show
  trace limits show --json | jq .in_use";

const SET_AFTER_HELP: &str = "\
What is not given stays as it is. Only an admin may set limits. What runs already goes on.

Example:
  trace limits set --tasks-at-once 50
  trace limits set --runs-an-hour 100 --queued-tasks 100000
  trace limits set --tasks-at-once none";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Limits {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what is set for your org, and what is in use
    Show(Show),
    /// Set limits of your org
    Set(Set),
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_AFTER_HELP)]
struct Show {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = SET_AFTER_HELP)]
struct Set {
    /// Tasks that are ready or running at once
    #[arg(long, value_name = "N|none")]
    tasks_at_once: Option<Bound>,
    /// Runs that start in any hour
    #[arg(long, value_name = "N|none")]
    runs_an_hour: Option<Bound>,
    /// Tasks that are due, held back or wait for their next try
    #[arg(long, value_name = "N|none")]
    queued_tasks: Option<Bound>,
    #[command(flatten)]
    connect: Connect,
}

/// A number, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound(Option<u32>);

impl FromStr for Bound {
    type Err = String;

    fn from_str(unverified: &str) -> Result<Self, String> {
        match unverified {
            "none" => Ok(Self(None)),
            number => match number.parse() {
                Ok(0) | Err(_) => Err("expected a whole number from 1, or `none`".to_owned()),
                Ok(number) => Ok(Self(Some(number))),
            },
        }
    }
}

impl Limits {
    pub async fn run(self) -> Result<(), Error> {
        match self.action {
            Action::Show(show) => answer(&show.connect.client()?.limits().await?, show.connect.form()),
            Action::Set(set) => set.run().await,
        }
    }
}

impl Set {
    async fn run(self) -> Result<(), Error> {
        if self.tasks_at_once.is_none() && self.runs_an_hour.is_none() && self.queued_tasks.is_none() {
            let what = "nothing to set: give --tasks-at-once, --runs-an-hour or --queued-tasks";
            return Err(Error::Usage(what.to_owned()));
        }
        let client = self.connect.client()?;
        let now = client.limits().await?.limits;
        let changed = |given: Option<Bound>, now: Option<u32>| given.map_or(now, |bound| bound.0);
        let limits = OrgLimits {
            tasks_at_once: changed(self.tasks_at_once, now.tasks_at_once),
            runs_an_hour: changed(self.runs_an_hour, now.runs_an_hour),
            queued_tasks: changed(self.queued_tasks, now.queued_tasks),
        };
        answer(&client.set_limits(&limits).await?, self.connect.form())
    }
}

fn answer(info: &LimitsInfo, form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(info)?,
        Form::Table => output::line(&shown(info))?,
    }
    Ok(())
}

fn shown(info: &LimitsInfo) -> String {
    let LimitsInfo { limits, in_use } = info;
    let limit = |limit: Option<u32>| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    // Tasks are counted only where there is a limit.
    let at_once = in_use.tasks_at_once.filter(|_| limits.tasks_at_once.is_some());
    let at_once = at_once.map_or_else(|| "-".to_owned(), |tasks| tasks.to_string());
    let rows = [
        vec!["tasks at once".to_owned(), limit(limits.tasks_at_once), at_once],
        vec!["runs an hour".to_owned(), limit(limits.runs_an_hour), in_use.runs_last_hour.to_string()],
        vec!["queued tasks".to_owned(), limit(limits.queued_tasks), in_use.queued_tasks.to_string()],
    ];
    table::plain(&["what", "limit", "in use"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_number_or_none() {
        assert_eq!("50".parse(), Ok(Bound(Some(50))));
        assert_eq!("none".parse(), Ok(Bound(None)));
        for bad in ["0", "-1", "1.5", "", "None", "5000000000"] {
            assert!(bad.parse::<Bound>().is_err(), "{bad}");
        }
    }
}
