//! What the task definition and the launcher tell the runner.

use std::{collections::BTreeMap, env, io, path::Path};

use trace_contracts::LaunchTicket;
use trace_plane::{PlainHttp, Trust, outgoing, tls::TrustError};
use url::Url;

/// Read from the environment once, and handed on without it.
#[derive(Debug)]
pub struct Settings {
    /// For one attempt.
    pub ticket: LaunchTicket,
    /// Where the platform is.
    pub places: Places,
}

/// Where the platform is, as the definition of the task says, and who is believed to be there.
#[derive(Debug)]
pub struct Places {
    /// Where the dispatcher's `/v1/task` routes lie.
    pub task_api: Url,
    /// The query service's listener for tasks.
    pub query: Url,
    /// The object store.
    pub object_store: Url,
    /// Who is believed to be these services: the system's authorities, and those of the variable.
    pub trust: Trust,
    ca: String,
    plain_http: PlainHttp,
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
    /// A service would be called without TLS.
    #[error("{0}; the variable is {PLAIN_HTTP}")]
    Address(#[from] outgoing::Refused),
    /// The authorities can't be used.
    #[error("the variable {CA}: {0}")]
    Trust(#[from] TrustError),
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
/// Authorities (PEM) that are believed beside the system's; none when absent or empty.
const CA: &str = "TRACE_CA";
/// `allow` where services may be called without TLS although they are not on this machine; `refuse`, which is also
/// what its absence says, where they may not.
const PLAIN_HTTP: &str = "TRACE_PLAIN_HTTP";

impl Settings {
    /// The variables of this process.
    ///
    /// # Errors
    /// When one is missing or wrong.
    pub fn from_environment() -> Result<Self, Error> {
        #[expect(clippy::disallowed_methods, reason = "the one place where the runner reads its environment")]
        Self::read(|name| env::var(name).ok())
    }

    /// Whether the task definition's variables are right. The ticket is the launcher's, and need not be there.
    ///
    /// # Errors
    /// When one is missing or wrong.
    pub fn check_environment() -> Result<(), Error> {
        #[expect(clippy::disallowed_methods, reason = "the one place where the runner reads its environment")]
        let variable = |name| env::var(name).ok();
        let some_ticket = || LaunchTicket::random().expose().to_owned();
        Self::read(|name| variable(name).or_else(|| (name == TICKET).then(some_ticket))).map(drop)
    }

    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        let ticket = need(&variable, TICKET)?.parse().map_err(|_| wrong(TICKET, "is no launch ticket"))?;
        Ok(Self { ticket, places: Places::read(variable)? })
    }

    /// What this program writes to itself.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Places { task_api, query, object_store, ca, plain_http, trust: _ } = &self.places;
        let variables = [
            (TICKET, self.ticket.expose()),
            (TASK_API, task_api.as_str()),
            (QUERY, query.as_str()),
            (OBJECT_STORE, object_store.as_str()),
            (CA, ca),
            (PLAIN_HTTP, if *plain_http == PlainHttp::Allow { "allow" } else { "refuse" }),
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

impl Places {
    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        let plain_http = match variable(PLAIN_HTTP).as_deref() {
            None | Some("refuse") => PlainHttp::Refuse,
            Some("allow") => PlainHttp::Allow,
            Some(_) => return Err(wrong(PLAIN_HTTP, "is neither `allow` nor `refuse`")),
        };
        let service = |name| -> Result<Url, Error> {
            let url = address(name, &need(&variable, name)?)?;
            plain_http.admit(name, &url)?;
            Ok(url)
        };
        let ca = variable(CA).unwrap_or_default();
        Ok(Self {
            task_api: service(TASK_API)?,
            query: service(QUERY)?,
            object_store: service(OBJECT_STORE)?,
            trust: if ca.is_empty() {
                Trust::default()
            } else {
                Trust::of_pem(ca.as_bytes(), Path::new(CA))?
            },
            ca,
            plain_http,
        })
    }
}

fn wrong(name: &'static str, why: &str) -> Error {
    Error::Variable { name, why: why.to_owned() }
}

fn need(variable: &impl Fn(&'static str) -> Option<String>, name: &'static str) -> Result<String, Error> {
    variable(name).ok_or_else(|| wrong(name, "is not set"))
}

/// An address that routes are joined to: its path ends in `/`, whether it is written so or not.
fn address(name: &'static str, unverified: &str) -> Result<Url, Error> {
    let mut url: Url = unverified.parse().map_err(|_| wrong(name, "is no address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(name, "is no address such as https://HOST/"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changed: &'static str, to: Option<&str>) -> Result<Settings, Error> {
        Settings::read(|name| {
            if name == changed {
                return to.map(str::to_owned);
            }
            match name {
                "TRACE_LAUNCH_TICKET" => Some(LaunchTicket::random().expose().to_owned()),
                "TRACE_CA" | "TRACE_PLAIN_HTTP" => None,
                _ => Some("https://dispatcher:7001".to_owned()),
            }
        })
    }

    #[test]
    fn each_setting_is_needed_and_a_wrong_one_is_named_without_its_value() {
        let settings = read("none", None).unwrap();
        assert_eq!(settings.places.query.as_str(), "https://dispatcher:7001/");
        let again = Settings::from_json(&settings.to_json()).unwrap();
        assert_eq!(again.to_json(), settings.to_json());
        for name in ["TRACE_LAUNCH_TICKET", "TRACE_TASK_API", "TRACE_QUERY", "TRACE_OBJECT_STORE"] {
            for value in [None, Some("hush hush"), Some("ftp://hush/"), Some("http://hush/?x")] {
                let error = read(name, value).unwrap_err().to_string();
                assert!(error.contains(name) && !error.contains("hush"), "{error}");
            }
        }
    }

    #[test]
    fn what_carries_tokens_or_data_is_not_called_without_tls() {
        for name in ["TRACE_TASK_API", "TRACE_QUERY", "TRACE_OBJECT_STORE"] {
            let error = read(name, Some("http://10.0.0.1/")).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("TRACE_PLAIN_HTTP"), "{error}");
            assert!(read(name, Some("http://127.0.0.1:7001/")).is_ok());
        }
        let allowed = |name: &'static str| match name {
            "TRACE_LAUNCH_TICKET" => Some(LaunchTicket::random().expose().to_owned()),
            "TRACE_CA" => None,
            "TRACE_PLAIN_HTTP" => Some("allow".to_owned()),
            _ => Some("http://10.0.0.1/".to_owned()),
        };
        let settings = Settings::read(allowed).unwrap();
        assert!(Settings::from_json(&settings.to_json()).is_ok(), "what is allowed stays so");
        assert!(read("TRACE_PLAIN_HTTP", Some("yes")).unwrap_err().to_string().contains("neither"));
    }

    #[test]
    fn authorities_that_are_none_are_refused() {
        assert!(read("TRACE_CA", Some("")).is_ok());
        assert!(read("TRACE_CA", Some("none")).unwrap_err().to_string().contains("TRACE_CA"));
    }
}
