//! The commands: one file each.

mod audit;
mod cancel;
mod connect;
mod datasets;
mod dead_letters;
mod deploy;
mod egress;
mod engine;
pub mod error;
mod init;
mod keys;
mod limits;
mod logs;
mod query;
mod retry;
mod runs;
mod tasks;
mod token;
mod trigger;
mod udf;
mod up;
mod users;
mod watch;
mod webhooks;
mod why;
mod workers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::error::{Error, Exit};

const AFTER_HELP: &str = "\
Example:
  trace up &                              start a platform on this machine
  trace init hello                        make a DAG to start from
  trace deploy hello/dag.yaml
  trace trigger hello --wait
  trace query \"SELECT * FROM hello\"

Which platform:
  TRACE_URL and TRACE_TOKEN, when set; else the one whose data folder is given by --data-dir,
  TRACE_DATA_DIR or `.trace`. TRACE_TOKEN alone is another user of the platform of that folder.
  TRACE_CA_FILE names authorities (PEM) that are believed beside the system's.

Exit codes:
  0  done
  1  a run, a task, a UDF or a check failed
  2  wrong use, or a local file that is missing or not right
  3  the platform refused
  4  the platform can't be found or reached, or has a fault of its own
  5  something on this machine is missing that a platform or a sandbox needs
  130  interrupted";

/// Runs DAGs of code you need not trust over data you must protect.
#[derive(Debug, Parser)]
#[command(name = "trace", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a whole platform in the foreground, on this machine
    Up(up::Up),
    /// Make a DAG and a UDF to start from
    Init(init::Init),
    /// Deploy a DAG, with its files and UDFs
    Deploy(deploy::Deploy),
    /// Start a run of a DAG
    Trigger(trigger::Trigger),
    /// List runs, newest first
    Runs(runs::Runs),
    /// List the tasks of a run
    Tasks(tasks::Tasks),
    /// Tell why a task or a run does not run, or failed
    Why(why::Why),
    /// Print the log of a task
    Logs(logs::Logs),
    /// Run a SELECT over published datasets
    Query(query::Query),
    /// List published datasets, or let a role read one
    Datasets(datasets::Datasets),
    /// Look into a token
    Token(token::Token),
    /// Try a UDF on local files, in the sandbox that a worker would use
    Udf(udf::Udf),
    /// Stop a run
    Cancel(cancel::Cancel),
    /// Try a dead task again
    Retry(retry::Retry),
    /// List the tasks whose retries are used up
    DeadLetters(dead_letters::DeadLetters),
    /// Show or set what your org may use at most
    Limits(limits::Limits),
    /// List, allow or deny what DAGs may reach outside
    Egress(egress::Egress),
    /// List, add or remove webhooks, and see what was delivered
    Webhooks(webhooks::Webhooks),
    /// List what was done and what was refused
    Audit(audit::Audit),
    /// List, rotate or revoke the keys that sign capabilities
    Keys(keys::Keys),
    /// List, suspend or restore the users of your org
    Users(users::Users),
    /// Revoke a worker or a plane
    Workers(workers::Workers),
    /// Run queries for a query service (started by it)
    #[command(hide = true)]
    Engine(engine::Engine),
}

/// Runs the command, and answers the code to end with.
///
/// # Errors
/// When it fails; [`Error::exit`] says with which code to end.
pub fn run(cli: Cli) -> Result<ExitCode, Error> {
    if let Command::Engine(engine) = &cli.command {
        return Ok(engine.run());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Error::Runtime)?.block_on(cli.command.run())?;
    Ok(ExitCode::SUCCESS)
}

impl Command {
    async fn run(self) -> Result<(), Error> {
        match self {
            Self::Up(command) => command.run().await,
            Self::Deploy(command) => command.run().await,
            Self::Trigger(command) => command.run().await,
            Self::Runs(command) => command.run().await,
            Self::Tasks(command) => command.run().await,
            Self::Why(command) => command.run().await,
            Self::Logs(command) => command.run().await,
            Self::Query(command) => command.run().await,
            Self::Datasets(command) => command.run().await,
            Self::Token(command) => command.run().await,
            Self::Udf(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Retry(command) => command.run().await,
            Self::DeadLetters(command) => command.run().await,
            Self::Limits(command) => command.run().await,
            Self::Egress(command) => command.run().await,
            Self::Webhooks(command) => command.run().await,
            Self::Audit(command) => command.run().await,
            Self::Keys(command) => command.run().await,
            Self::Users(command) => command.run().await,
            Self::Workers(command) => command.run().await,
            Self::Init(command) => command.run(),
            // Run before there is a runtime.
            Self::Engine(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The help of a command and of every command below it.
    fn helps(command: &mut clap::Command, path: &str, helps: &mut Vec<(String, String)>) {
        let path = format!("{path} {}", command.get_name());
        helps.push((path.trim().to_owned(), command.render_help().to_string()));
        for child in command.get_subcommands_mut().filter(|child| child.get_name() != "help") {
            self::helps(child, &path, helps);
        }
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        let mut command = Cli::command().term_width(100);
        command.build();
        let mut all = Vec::new();
        helps(&mut command, "", &mut all);
        for (path, help) in &all {
            assert!(help.contains("Example:\n  trace "), "{path} has no example");
        }
        let text: Vec<String> = all.into_iter().map(|(path, help)| format!("==== {path}\n{help}")).collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
