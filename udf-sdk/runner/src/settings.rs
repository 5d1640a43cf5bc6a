//! What the task definition and the launcher tell the runner.

use std::{collections::BTreeMap, env, io, path::Path};

use trace_contracts::LaunchTicket;
use trace_plane::{PlainHttp, Trust, outgoing, tls::TrustError};
use url::Url;

/// Read from the environment once, and handed on without it.
#[derive(Debug)]
pub struct Settings {
    /// Where the platform is.
    pub places: Places,
    /// Where the attempt comes from.
    pub source: Source,
}

/// Where the platform is, as the definition of the task or the function says, and who is believed to be there.
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

/// Where the attempt comes from.
#[derive(Debug)]
pub enum Source {
    /// The launcher has given this process the ticket of one.
    Ticket(LaunchTicket),
    /// Lambda's Runtime API is to be asked, with these variables, which hold no secret.
    RuntimeApi(BTreeMap<String, String>),
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
/// Set by Lambda, and read by the crate that speaks to its Runtime API. The first is what tells that this is Lambda.
const OF_LAMBDA: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

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
        let source = if variable(OF_LAMBDA[0]).is_some() {
            let all = OF_LAMBDA.into_iter().map(|name| Ok((name.to_owned(), need(&variable, name)?)));
            Source::RuntimeApi(all.collect::<Result<_, Error>>()?)
        } else {
            let ticket =
                need(&variable, TICKET)?.parse().map_err(|_| wrong(TICKET, "is no launch ticket"))?;
            Source::Ticket(ticket)
        };
        Ok(Self { places: Places::read(variable)?, source })
    }

    /// The only variables that this program keeps when it starts itself anew.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<String, String> {
        match &self.source {
            Source::Ticket(_) => BTreeMap::new(),
            Source::RuntimeApi(variables) => variables.clone(),
        }
    }

    /// What this program writes to itself.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut variables = self.kept();
        if let Source::Ticket(ticket) = &self.source {
            variables.insert(TICKET.to_owned(), ticket.expose().to_owned());
        }
        let Places { task_api, query, object_store, ca, plain_http, trust: _ } = &self.places;
        let places = [
            (TASK_API, task_api.as_str()),
            (QUERY, query.as_str()),
            (OBJECT_STORE, object_store.as_str()),
            (CA, ca),
            (PLAIN_HTTP, if *plain_http == PlainHttp::Allow { "allow" } else { "refuse" }),
        ];
        variables.extend(places.map(|(name, value)| (name.to_owned(), value.to_owned())));
        serde_json::json!(variables).to_string()
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
                _ => name.starts_with("TRACE_").then(|| "https://dispatcher:7001".to_owned()),
            }
        })
    }

    #[test]
    fn each_setting_is_needed_and_a_wrong_one_is_named_without_its_value() {
        let settings = read("none", None).unwrap();
        assert_eq!(settings.places.query.as_str(), "https://dispatcher:7001/");
        let again = Settings::from_json(&settings.to_json()).unwrap();
        assert_eq!(again.to_json(), settings.to_json());
        assert!(matches!(again.source, Source::Ticket(_)) && settings.kept().is_empty());
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
            "TRACE_PLAIN_HTTP" => Some("allow".to_owned()),
            "TRACE_TASK_API" | "TRACE_QUERY" | "TRACE_OBJECT_STORE" => Some("http://10.0.0.1/".to_owned()),
            _ => None,
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

    #[test]
    fn in_lambda_the_attempt_comes_from_the_runtime_api_and_no_secret_is_kept() {
        let error = read("AWS_LAMBDA_RUNTIME_API", Some("127.0.0.1:9001")).unwrap_err().to_string();
        assert!(error.contains("AWS_LAMBDA_FUNCTION_NAME"), "{error}");
        let settings = Settings::read(|name| match name {
            "TRACE_CA" | "TRACE_PLAIN_HTTP" => None,
            _ => Some(format!("https://{}/", name.to_lowercase())),
        })
        .unwrap();
        assert!(matches!(settings.source, Source::RuntimeApi(_)));
        assert!(settings.kept().keys().all(|name| name.starts_with("AWS_LAMBDA_")), "{:?}", settings.kept());
        let again = Settings::from_json(&settings.to_json()).unwrap();
        assert_eq!(again.kept(), settings.kept());
        assert!(!settings.to_json().contains("ticket"), "{}", settings.to_json());
    }
}
