//! `trace trigger`.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use serde_json::Value;
use trace_contracts::{
    Name,
    wire::user::{RunInfo, RunState, TriggerRequest},
};

use super::{Error, connect::Connect, watch};
use crate::{
    client::Client,
    output::{self, Form, progress::Progress, run, text},
};

const AFTER_HELP: &str = "\
With --wait, progress goes to standard error (redrawn on a terminal, a line for each change
elsewhere), and the exit code is 1 unless every task succeeds. Interrupting the wait leaves the
run alone.

Example:
  trace trigger flights --wait
  trace trigger flights --wait-for-room
  trace trigger flights --param year=2013 --param station=JFK --json | jq -r .run";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Trigger {
    /// The DAG's name
    dag: Name,
    /// Follow the run to its end; fail if a task dies
    #[arg(long)]
    wait: bool,
    /// When a limit of your org has no room for the run, try again until it has
    #[arg(long)]
    wait_for_room: bool,
    /// A parameter of the run; VALUE is JSON where it is valid JSON, and a text otherwise
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parameter)]
    params: Vec<(String, Value)>,
    #[command(flatten)]
    connect: Connect,
}

impl Trigger {
    pub async fn run(self) -> Result<(), Error> {
        let client = self.connect.client()?;
        let params: BTreeMap<String, Value> = self.params.iter().cloned().collect();
        if params.len() < self.params.len() {
            return Err(Error::Usage("a parameter is given twice: give each --param once".to_owned()));
        }
        let run = self.start(&client, &TriggerRequest { params }).await?;
        if !self.wait {
            return self.answer(&run);
        }
        let ended = watch::until_ended(&client, run, &Progress::on_stderr()).await?;
        self.answer(&ended)?;
        match ended.state {
            RunState::Succeeded => Ok(()),
            state => Err(Error::Run { run: ended.run, dag: ended.dag.to_string(), state }),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the dispatcher asks for time itself")]
    async fn start(&self, client: &Client, request: &TriggerRequest) -> Result<RunInfo, Error> {
        loop {
            let error = match client.trigger(&self.dag, request).await {
                Ok(run) => return Ok(run),
                Err(error) => error,
            };
            match error.retry_after().filter(|_| self.wait_for_room) {
                None => return Err(error.into()),
                Some(seconds) => {
                    eprintln!("{}; trying again in {seconds} s", text::printable(&error.to_string()));
                    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
                }
            }
        }
    }

    fn answer(&self, run: &RunInfo) -> Result<(), Error> {
        match self.connect.form() {
            Form::Json => output::json(run)?,
            Form::Table => output::line(&run::headline(run))?,
        }
        Ok(())
    }
}

fn parameter(unverified: &str) -> Result<(String, Value), String> {
    let (key, value) =
        unverified.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write it as KEY=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_json_or_text() {
        for (written, value) in [
            ("k=1", json!(1)),
            ("k=true", json!(true)),
            ("k=JFK", json!("JFK")),
            ("k=\"1\"", json!("1")),
            ("k=", json!("")),
            ("k=a=b", json!("a=b")),
            ("k=[1,2]", json!([1, 2])),
        ] {
            assert_eq!(parameter(written), Ok(("k".to_owned(), value)), "{written}");
        }
        assert!(parameter("k").is_err());
        assert!(parameter("=1").is_err());
    }
}
