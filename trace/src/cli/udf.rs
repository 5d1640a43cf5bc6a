//! `trace udf`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use trace_contracts::Name;

use super::{Error, connect::Json};
use crate::udf_test::{self, Input, Options};

const AFTER_HELP: &str = "\
Example:
  trace udf test udfs/delays --input flights=data/flights.csv";

const TEST_AFTER_HELP: &str = "\
FILE is the folder of a UDF, or a file in it (main.py, Cargo.toml). Inputs are CSV or Parquet
files, by the name that the UDF knows them by. Prints the UDF's log on standard error and its
output as a table. Fails (1) when the UDF does, and (5) when this machine can't confine it.

Example:
  trace udf test udfs/delays --input flights=data/flights.csv.gz --null NA
  trace udf test udfs/delays/main.py --input flights=data/flights.csv --json | jq '.outputs[0].rows'";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Udf {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run one UDF in the sandbox on local files, without a platform
    Test(Test),
}

#[derive(Debug, Args)]
#[command(after_help = TEST_AFTER_HELP)]
struct Test {
    /// The UDF: its folder, or a file in it
    #[arg(value_name = "FILE")]
    udf: PathBuf,
    /// A CSV or Parquet file for the UDF to read
    #[arg(long = "input", value_name = "NAME=FILE", value_parser = input)]
    inputs: Vec<Input>,
    /// This text is a missing value in CSV inputs, as an empty field always is
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
    #[command(flatten)]
    json: Json,
}

impl Udf {
    pub async fn run(self) -> Result<(), Error> {
        let Action::Test(test) = self.action;
        let options =
            Options { udf: test.udf, inputs: test.inputs, csv_null: test.null, form: test.json.form() };
        Ok(udf_test::run(options).await?)
    }
}

fn input(unverified: &str) -> Result<Input, String> {
    let (name, file) = unverified.split_once('=').ok_or("write it as NAME=FILE")?;
    let name: Name = name.parse().map_err(|error| format!("{error}"))?;
    Ok(Input { name, file: PathBuf::from(file) })
}
