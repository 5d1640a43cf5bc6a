//! What the platform tells an operator.

#![expect(clippy::disallowed_methods, reason = "the one place where operators read their environment")]

use std::env;

use anyhow::{Context, bail};

/// Which operator, with which settings.
pub struct Config {
    /// Its name, from the command line.
    pub operator: String,
    /// Its settings as JSON; `{}` when the job has none.
    pub settings: String,
}

impl Config {
    pub fn from_env() -> anyhow::Result<Self> {
        let mut arguments = env::args().skip(1);
        let (Some(operator), None) = (arguments.next(), arguments.next()) else {
            bail!("usage: trace-operator NAME");
        };
        let settings = match env::var("TRACE_OPERATOR_CONFIG") {
            Err(env::VarError::NotPresent) => "{}".to_owned(),
            outcome => outcome.context("TRACE_OPERATOR_CONFIG")?,
        };
        Ok(Self { operator, settings })
    }
}
