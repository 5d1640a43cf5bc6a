//! What every command that talks to a platform takes.

use std::path::PathBuf;

use clap::Args;

use super::Error;
use crate::{
    client::Client,
    connection::{Connection, Environment},
    output::Form,
};

/// Where the platform is.
#[derive(Debug, Args)]
pub(super) struct DataDir {
    /// The data folder of `trace up`, where its address and a token are found
    #[arg(
        long,
        env = "TRACE_DATA_DIR",
        hide_env_values = true,
        value_name = "DIR",
        default_value = ".trace"
    )]
    pub data_dir: PathBuf,
}

/// Where the platform is, and how to answer.
#[derive(Debug, Args)]
pub(super) struct Connect {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    json: Json,
}

/// How to answer.
#[derive(Debug, Args)]
pub(super) struct Json {
    /// Print one JSON document on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

impl DataDir {
    /// The platform that is meant.
    pub fn connection(&self) -> Result<Connection, Error> {
        Ok(Connection::find(&self.data_dir, &Environment::read())?)
    }

    /// A client for it.
    pub fn client(&self) -> Result<Client, Error> {
        Ok(Client::new(self.connection()?)?)
    }
}

impl Connect {
    /// A client for the platform that is meant.
    pub fn client(&self) -> Result<Client, Error> {
        self.data_dir.client()
    }

    /// How to answer.
    pub const fn form(&self) -> Form {
        self.json.form()
    }
}

impl Json {
    /// How to answer.
    pub const fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Table }
    }
}
