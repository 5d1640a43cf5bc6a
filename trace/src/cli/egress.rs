//! `trace egress`.

use clap::{Args, Subcommand};
use trace_contracts::{
    EgressRuleId, Name,
    pattern::DestinationPattern,
    wire::egress::{EgressChange, EgressEffect, EgressRuleInfo, EgressRuleRequest},
};

use super::{Error, connect::Connect};
use crate::output::{self, Form, table, text::moment};

const AFTER_HELP: &str = "\
A task reaches nothing outside unless its job declares the destination (`egress:` in the DAG
file) and a rule allows it. A rule that denies beats every rule that allows.

Example:
  trace egress list
  trace egress allow api.example.com:443 --dag flights
  trace egress deny '*.example.net:443'
  trace egress remove e3";

const LIST_AFTER_HELP: &str = "\
Operators, admins and auditors may see the rules.

Example:
  trace egress list
  trace egress list --json | jq '.[] | select(.effect == \"deny\")'";

const ALLOW_AFTER_HELP: &str = "\
TO is HOST:PORT, or *.DOMAIN:PORT for every name that ends in .DOMAIN, however many labels stand
before it (DOMAIN itself is not one of them). Only an admin may allow. Capabilities that are given
out from now on have it; what runs already goes on without.

Example:
  trace egress allow api.example.com:443
  trace egress allow '*.example.com:443' --dag flights";

const DENY_AFTER_HELP: &str = "\
TO as with `allow`. Attempts that run and might reach it are ended, and their tasks run again
without it. Only an admin may deny.

Example:
  trace egress deny api.example.com:443
  trace egress deny '*.example.com:443' --dag flights";

const REMOVE_AFTER_HELP: &str = "\
`trace egress list` has the numbers. Attempts that only this rule let out are ended, and their tasks
run again without it. Only an admin may remove.

Example:
  trace egress remove e3";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Egress {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what the DAGs of your org may reach outside, and what they may not
    List(List),
    /// Let DAGs reach a destination that they declare
    Allow(Allow),
    /// Keep DAGs from a destination, whatever allows it
    Deny(Deny),
    /// Remove a rule
    Remove(Remove),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_AFTER_HELP)]
struct List {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = ALLOW_AFTER_HELP)]
struct Allow {
    #[command(flatten)]
    rule: Rule,
}

#[derive(Debug, Args)]
#[command(after_help = DENY_AFTER_HELP)]
struct Deny {
    #[command(flatten)]
    rule: Rule,
}

/// What a rule is about.
#[derive(Debug, Args)]
struct Rule {
    /// The destination
    to: DestinationPattern,
    /// For this DAG alone, which need not be deployed yet
    #[arg(long, value_name = "DAG")]
    dag: Option<Name>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = REMOVE_AFTER_HELP)]
struct Remove {
    /// The rule's number, such as e3
    rule: EgressRuleId,
    #[command(flatten)]
    connect: Connect,
}

impl Egress {
    pub async fn run(self) -> Result<(), Error> {
        match self.action {
            Action::List(list) => answer(&list.connect.client()?.egress_rules().await?, list.connect.form()),
            Action::Allow(allow) => allow.rule.set(EgressEffect::Allow).await,
            Action::Deny(deny) => deny.rule.set(EgressEffect::Deny).await,
            Action::Remove(remove) => {
                let change = remove.connect.client()?.remove_egress_rule(remove.rule).await?;
                changed(&change, "removed", remove.connect.form())
            }
        }
    }
}

impl Rule {
    async fn set(self, effect: EgressEffect) -> Result<(), Error> {
        let request = EgressRuleRequest { effect, to: self.to, dag: self.dag };
        let change = self.connect.client()?.set_egress_rule(&request).await?;
        changed(&change, "set", self.connect.form())
    }
}

fn answer(rules: &[EgressRuleInfo], form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(&rules)?,
        Form::Table if rules.is_empty() => {
            output::line(
                "no rules: nothing outside can be reached; `trace egress allow HOST:PORT` lets DAGs",
            )?;
        }
        Form::Table => {
            let header = ["rule", "effect", "to", "dag", "set by", "since (UTC)"];
            output::line(&table::plain(&header, rules.iter().map(row)))?;
        }
    }
    Ok(())
}

fn row(rule: &EgressRuleInfo) -> Vec<String> {
    vec![
        rule.rule.to_string(),
        rule.effect.to_string(),
        rule.to.to_string(),
        rule.dag.as_ref().map_or_else(|| "every DAG".to_owned(), ToString::to_string),
        rule.set_by.to_string(),
        moment(rule.set_at),
    ]
}

fn changed(change: &EgressChange, what: &str, form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(change)?,
        Form::Table => output::line(&sentence(change, what))?,
    }
    Ok(())
}

fn sentence(change: &EgressChange, what: &str) -> String {
    let EgressChange { rule, attempts_ended } = change;
    let whose = rule.dag.as_ref().map_or_else(|| "every DAG".to_owned(), |dag| format!("the DAG {dag}"));
    let ended = match attempts_ended {
        0 => String::new(),
        1 => "; an attempt was ended, and its task runs again without it".to_owned(),
        ended => format!("; {ended} attempts were ended, and their tasks run again without it"),
    };
    format!("{what}: {} {} {} for {whose}{ended}", rule.rule, rule.effect, rule.to)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use trace_contracts::UserId;

    use super::*;

    #[test]
    fn a_change_is_told_with_what_it_ended() {
        let change = |dag: Option<&str>, attempts_ended| EgressChange {
            rule: EgressRuleInfo {
                rule: EgressRuleId::from_db(3),
                effect: EgressEffect::Deny,
                to: "*.example.com:443".parse().unwrap(),
                dag: dag.map(|dag| dag.parse().unwrap()),
                set_by: UserId::from_db(1),
                set_at: DateTime::UNIX_EPOCH,
            },
            attempts_ended,
        };
        assert_eq!(sentence(&change(None, 0), "set"), "set: e3 deny *.example.com:443 for every DAG");
        assert_eq!(
            sentence(&change(Some("d"), 2), "set"),
            "set: e3 deny *.example.com:443 for the DAG d; 2 attempts were ended, and their tasks run again \
             without it"
        );
    }
}
