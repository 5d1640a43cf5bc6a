//! `trace datasets`.

use clap::{Args, Subcommand};
use trace_contracts::{
    Name, Role,
    wire::user::{DatasetInfo, GrantRequest},
};

use super::{Error, connect::Connect};
use crate::output::{
    self, Form, table,
    text::{bytes, moment},
};

const AFTER_HELP: &str = "\
Example:
  trace datasets
  trace datasets grant delays_by_month reader";

const GRANT_AFTER_HELP: &str = "\
Roles: reader, writer, operator, admin, auditor. Only an admin may grant.

Example:
  trace datasets grant delays_by_month reader";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(super) struct Datasets {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let every user of a role read a dataset
    Grant(Grant),
}

#[derive(Debug, Args)]
#[command(after_help = GRANT_AFTER_HELP)]
struct Grant {
    /// The dataset's published name
    name: Name,
    /// The role
    role: Role,
    #[command(flatten)]
    connect: Connect,
}

impl Datasets {
    pub async fn run(self) -> Result<(), Error> {
        let Some(Action::Grant(grant)) = self.action else {
            let datasets = self.connect.client()?.datasets().await?;
            return answer(&datasets, self.connect.form());
        };
        let request = GrantRequest { role: grant.role };
        let dataset = grant.connect.client()?.grant(&grant.name, &request).await?;
        match grant.connect.form() {
            Form::Json => output::json(&dataset)?,
            Form::Table => output::line(&format!("{} may be read by: {}", dataset.name, readers(&dataset)))?,
        }
        Ok(())
    }
}

fn answer(datasets: &[DatasetInfo], form: Form) -> Result<(), Error> {
    match form {
        Form::Json => output::json(&datasets)?,
        Form::Table if datasets.is_empty() => {
            output::line("no datasets yet: a DAG publishes them under `publish:`")?;
        }
        Form::Table => {
            let header =
                ["dataset", "dag", "job", "version", "run", "size", "current since (UTC)", "read by"];
            output::line(&table::plain(&header, datasets.iter().map(row)))?;
        }
    }
    Ok(())
}

fn row(dataset: &DatasetInfo) -> Vec<String> {
    let of_current = |part: fn(&trace_contracts::wire::user::DatasetVersionInfo) -> String| {
        dataset.current.as_ref().map_or_else(|| "-".to_owned(), part)
    };
    vec![
        dataset.name.to_string(),
        dataset.dag.to_string(),
        dataset.job.to_string(),
        of_current(|version| version.version.to_string()),
        of_current(|version| version.run.to_string()),
        of_current(|version| bytes(version.bytes)),
        of_current(|version| moment(version.current_at)),
        readers(dataset),
    ]
}

fn readers(dataset: &DatasetInfo) -> String {
    if dataset.read_roles.is_empty() {
        return "its deployers, admins".to_owned();
    }
    let roles: Vec<&str> = dataset.read_roles.iter().map(|role| role.as_str()).collect();
    format!("{}, its deployers, admins", roles.join(", "))
}
