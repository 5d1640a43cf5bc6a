//! What the task definition and the launcher tell the runner.

use std::{collections::BTreeMap, env, io};

use trace_contracts::LaunchTicket;
use url::Url;

/// Read from the environment once, and handed on without it.
#[derive(Debug)]
pub struct Settings {
    /// For one attempt.
    pub ticket: LaunchTicket,
    /// Where the dispatcher's `/v1/task` routes lie.
    pub task_api: Url,
    /// The query service's listener for tasks.
    pub query: Url,
    /// The object store.
    pub object_store: Url,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable is missing or wrong. It does not show the value.
    #[error("the variable {name} {why}: it is set by the task definition or by the launcher")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Why it is not taken.
        why: String,
    },
    /// Standard input does not hold what this program wrote to it.
    #[error("the settings did not arrive: {0}")]
    Input(String),
}

/// Set by the launcher.
const TICKET: &str = "TRACE_LAUNCH_TICKET";
/// Set by the task definition, as the others are.
const TASK_API: &str = "TRACE_TASK_API";
const QUERY: &str = "TRACE_QUERY";
const OBJECT_STORE: &str = "TRACE_OBJECT_STORE";

impl Settings {
    /// The variables of this process.
    ///
    /// # Errors
    /// When one is missing or wrong.
    pub fn from_environment() -> Result<Self, Error> {
        #[expect(clippy::disallowed_methods, reason = "the one place where the runner reads its environment")]
        Self::read(|name| env::var(name).ok())
    }

    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        let wrong = |name, why: &str| Error::Variable { name, why: why.to_owned() };
        let need = |name| variable(name).ok_or_else(|| wrong(name, "is not set"));
        let address = |name| -> Result<Url, Error> {
            let mut url: Url = need(name)?.parse().map_err(|_| wrong(name, "is no address"))?;
            if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some()
            {
                return Err(wrong(name, "is no address such as https://HOST/"));
            }
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            Ok(url)
        };
        Ok(Self {
            ticket: need(TICKET)?.parse().map_err(|_| wrong(TICKET, "is no launch ticket"))?,
            task_api: address(TASK_API)?,
            query: address(QUERY)?,
            object_store: address(OBJECT_STORE)?,
        })
    }

    /// What this program writes to itself.
    #[must_use]
    pub fn to_json(&self) -> String {
        let variables = [
            (TICKET, self.ticket.expose()),
            (TASK_API, self.task_api.as_str()),
            (QUERY, self.query.as_str()),
            (OBJECT_STORE, self.object_store.as_str()),
        ];
        serde_json::json!(BTreeMap::from(variables)).to_string()
    }

    /// What it wrote.
    ///
    /// # Errors
    /// When that did not arrive.
    pub fn from_stdin() -> Result<Self, Error> {
        Self::from_json(&io::read_to_string(io::stdin()).map_err(|error| Error::Input(error.to_string()))?)
    }

    fn from_json(text: &str) -> Result<Self, Error> {
        let variables: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|error| Error::Input(error.to_string()))?;
        Self::read(|name| variables.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changed: &'static str, to: Option<&str>) -> Result<Settings, Error> {
        Settings::read(|name| {
            if name == changed {
                return to.map(str::to_owned);
            }
            Some(match name {
                "TRACE_LAUNCH_TICKET" => LaunchTicket::random().expose().to_owned(),
                _ => "http://dispatcher:7001".to_owned(),
            })
        })
    }

    #[test]
    fn each_setting_is_needed_and_a_wrong_one_is_named_without_its_value() {
        let settings = read("none", None).unwrap();
        assert_eq!(settings.query.as_str(), "http://dispatcher:7001/");
        let again = Settings::from_json(&settings.to_json()).unwrap();
        assert_eq!((again.ticket, again.query), (settings.ticket, settings.query));
        for name in ["TRACE_LAUNCH_TICKET", "TRACE_TASK_API", "TRACE_QUERY", "TRACE_OBJECT_STORE"] {
            for value in [None, Some("hush hush"), Some("ftp://hush/"), Some("http://hush/?x")] {
                let error = read(name, value).unwrap_err().to_string();
                assert!(error.contains(name) && !error.contains("hush"), "{error}");
            }
        }
    }
}
