//! `trace token`.

use std::io::{self, Read as _};

use clap::{Args, Subcommand};
use trace_contracts::token::MAX_TOKEN_BYTES;

use super::{
    Error,
    connect::{DataDir, Json},
};
use crate::{
    connection::{Connection, Environment},
    output::{self, Form},
    token::{Inspection, Unverified, Verdict, Verification},
};

const AFTER_HELP: &str = "\
Example:
  trace token inspect - < .trace/tokens/main-admin.jwt";

const INSPECT_AFTER_HELP: &str = "\
Shows who a token is for, what it grants and how long it holds. Its signature is verified with
the keys that the platform publishes, when a platform can be found; the token itself is sent
nowhere. Fails (1) when it is not good; a token that could not be verified is said to be so.

Example:
  trace token inspect - < .trace/tokens/main-admin.jwt
  trace token inspect \"$TRACE_TASK_CAPABILITY_TOKEN\" --json | jq .claims.grants";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what a token says, and whether the platform signed it
    Inspect(Inspect),
}

#[derive(Debug, Args)]
#[command(after_help = INSPECT_AFTER_HELP)]
struct Inspect {
    /// The token, or - to read it from standard input
    token: String,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    json: Json,
}

impl Token {
    pub async fn run(self) -> Result<(), Error> {
        let Action::Inspect(inspect) = self.action;
        inspect.run().await
    }
}

impl Inspect {
    async fn run(self) -> Result<(), Error> {
        let unverified =
            Unverified::decode(&text(&self.token)?).map_err(|error| Error::Usage(error.to_string()))?;
        let verification = match Connection::find(&self.data_dir.data_dir, &Environment::read()) {
            Ok(connection) => unverified.verify(&connection.address, &connection.trust).await,
            Err(error) => Verification::not_verified(error.to_string()),
        };
        let inspection = Inspection::new(unverified, verification);
        match self.json.form() {
            Form::Json => output::json(&inspection)?,
            Form::Table => output::line(&inspection.to_string())?,
        }
        match inspection.verification.verdict {
            Verdict::Verified | Verdict::NotVerified => Ok(()),
            Verdict::NotGood => Err(Error::Token(inspection.verification.detail)),
        }
    }
}

fn text(argument: &str) -> Result<String, Error> {
    if argument != "-" {
        return Ok(argument.trim().to_owned());
    }
    let mut token = String::new();
    let unreadable = |source| Error::File { path: "standard input".into(), source };
    io::stdin().take(2 * MAX_TOKEN_BYTES as u64).read_to_string(&mut token).map_err(unreadable)?;
    Ok(token.trim().to_owned())
}
