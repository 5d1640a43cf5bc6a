//! What a query service has to be told. The binary reads it from a file; `trace up` fills it in.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de};
use trace_contracts::{Secret, token::USER_AUDIENCE};
use trace_plane::{PlainHttp, Transport, listener, outgoing};
use url::Url;

/// Everything [`start`](crate::start) needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address below which the dispatcher's `/internal` routes lie.
    #[serde(deserialize_with = "address")]
    pub dispatcher: Url,
    /// This plane's identity towards the dispatcher.
    pub identity: Secret<String>,
    /// Who signs capability tokens.
    pub capabilities: Issuer,
    /// The public half of the root of trust, in a PEM file: then those keys of capabilities are believed that it
    /// certifies, and no others. Absent: all that are published.
    #[serde(default)]
    pub capability_root: Option<PathBuf>,
    /// Authorities (PEM) that are believed beside the system's where the dispatcher and the issuer of users are called.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether the dispatcher, the issuer of users and the object store may be called without TLS although they are
    /// not on this machine.
    #[serde(default)]
    pub plain_http: PlainHttp,
    /// Who signs users' tokens.
    pub users: Issuer,
    /// The object store that holds the datasets.
    pub store: Store,
    /// The engine processes.
    #[serde(default)]
    pub engines: Engines,
    /// Bounds on queries.
    #[serde(default)]
    pub limits: Limits,
}

/// An issuer of tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The value of `iss`.
    pub issuer: String,
    /// Where its public keys are.
    #[serde(deserialize_with = "address")]
    pub jwks: Url,
    /// The `aud` of users' tokens; capability tokens have their own.
    #[serde(default = "user_audience")]
    pub audience: String,
}

/// The object store, and the identity that presigns reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Where it is, when it is not AWS; addressed by path.
    #[serde(default, deserialize_with = "some_address")]
    pub endpoint: Option<Url>,
    /// The region to sign for.
    pub region: String,
    /// Keys that may read every dataset. Absent: the machine's own role (AWS's default chain).
    #[serde(default)]
    pub keys: Option<StoreKeys>,
}

/// Keys of the object store. They stay in the service: engines get presigned addresses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreKeys {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
    /// Session token, for keys that have one.
    #[serde(default)]
    pub session_token: Option<Secret<String>>,
}

/// The engine processes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engines {
    /// What starts one. Absent: this program with the argument `engine`.
    pub command: Option<EngineCommand>,
    /// How many queries run at once, each in an engine of its own.
    pub count: usize,
    /// What one engine may allocate, in bytes. Past it the kernel refuses and the engine dies.
    pub memory_bytes: u64,
    /// Threads that one engine computes with.
    pub threads: usize,
    /// Queries after which an engine is replaced, so that nothing it accumulates lasts.
    pub queries: u32,
}

/// A program that calls [`engine::main`](crate::engine::main).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Bounds on queries. A token's budgets can only lower them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Rows of one result.
    pub result_rows: u64,
    /// Bytes of one result, as sent.
    pub result_bytes: u64,
    /// Milliseconds that a query may take, waiting for an engine included.
    pub deadline_ms: u64,
    /// Queries that may wait for an engine; more are turned away.
    pub waiting: usize,
    /// Queries of one org at once, running or waiting.
    pub per_org: usize,
    /// Objects that the tables of one token may have in all.
    pub objects: usize,
    /// Milliseconds without word from the dispatcher after which nobody is believed: longer than its
    /// fail-over takes.
    pub liveness_bound_ms: u64,
}

/// The file that the `query-service` program is started with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where users' requests come in.
    pub listen_users: SocketAddr,
    /// Where tasks' requests come in.
    pub listen_tasks: SocketAddr,
    /// How both are protected on the way.
    #[serde(default)]
    pub transport: Transport,
    /// A file that is there while the service takes queries, for health checks without HTTP.
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
    /// What to log, such as `info`.
    #[serde(default = "log_filter")]
    pub log: String,
    /// The service.
    pub service: Config,
}

/// What a file can't say.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// Users or tasks would come in without TLS.
    #[error("`listen_users` or `listen_tasks`: {0}")]
    Listen(#[from] listener::Error),
    /// A service would be called without TLS.
    #[error(transparent)]
    Address(#[from] outgoing::Refused),
}

impl File {
    /// Whether the service would start with it, as far as this file tells: the files that it names are not opened.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), Wrong> {
        self.transport.admit(self.listen_users)?;
        self.transport.admit(self.listen_tasks)?;
        Ok(self.service.check_addresses()?)
    }
}

impl Config {
    /// Whether tokens, keys and data go to each service by TLS, or on this machine, or somebody said that they need
    /// not.
    ///
    /// # Errors
    /// The address that would be called without TLS.
    pub fn check_addresses(&self) -> Result<(), outgoing::Refused> {
        self.plain_http.admit("dispatcher", &self.dispatcher)?;
        self.plain_http.admit("capabilities.jwks", &self.capabilities.jwks)?;
        self.plain_http.admit("users.jwks", &self.users.jwks)?;
        self.store.endpoint.as_ref().map_or(Ok(()), |store| self.plain_http.admit("store.endpoint", store))
    }
}

impl Default for Engines {
    fn default() -> Self {
        Self { command: None, count: 2, memory_bytes: 1 << 30, threads: 2, queries: 1_000 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            result_rows: 1_000_000,
            result_bytes: 32 << 20,
            deadline_ms: 30_000,
            waiting: 64,
            per_org: 16,
            objects: 10_000,
            liveness_bound_ms: 10_000,
        }
    }
}

impl Limits {
    /// The deadline as a duration.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// How long the last word from the dispatcher is believed.
    #[must_use]
    pub const fn liveness_bound(&self) -> Duration {
        Duration::from_millis(self.liveness_bound_ms)
    }
}

impl EngineCommand {
    /// The running program, started again with the argument `engine`.
    ///
    /// # Errors
    /// When the operating system can't say which program is running.
    pub fn this_program() -> std::io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, args: vec!["engine".to_owned()] })
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

fn some_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    address(deserializer).map(Some)
}

fn user_audience() -> String {
    USER_AUDIENCE.to_owned()
}

fn log_filter() -> String {
    "info".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{
        "dispatcher": "http://127.0.0.1:1/", "identity": "hush",
        "capabilities": {"issuer": "trace", "jwks": "http://127.0.0.1:1/jwks"},
        "users": {"issuer": "idp", "jwks": "http://127.0.0.1:1/jwks"},
        "store": {"region": "eu-west-1", "keys": {"access_key_id": "a", "secret_access_key": "hush"}}
    }"#;

    #[test]
    fn a_minimal_file_has_defaults_and_hides_its_secrets() {
        let config: Config = serde_json::from_str(MINIMAL).unwrap();
        assert_eq!(config.engines.count, 2);
        assert_eq!(config.users.audience, "trace");
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn a_file_says_how_listeners_are_protected() {
        let file = |rest: &str| {
            let text = format!(
                r#"{{"listen_users": "0.0.0.0:1", "listen_tasks": "0.0.0.0:2", "service": {MINIMAL}{rest}}}"#
            );
            serde_json::from_str::<File>(&text)
        };
        assert_eq!(file("").unwrap().transport, Transport::Loopback);
        let tls = r#", "transport": {"tls": {"certificate": "/c", "key": "/k"}}, "ready_file": "/run/ready""#;
        assert!(matches!(file(tls).unwrap().transport, Transport::Tls(_)));
        assert!(file(r#", "transport": "tls""#).is_err());
    }

    #[test]
    fn what_carries_tokens_or_data_is_not_called_without_tls() {
        let config = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut document: serde_json::Value = serde_json::from_str(MINIMAL).unwrap();
            change(&mut document);
            serde_json::from_value::<Config>(document).unwrap().check_addresses()
        };
        assert!(config(&|_| {}).is_ok());
        let away = || "http://elsewhere/".into();
        for (setting, refused) in [
            ("dispatcher", config(&|c| c["dispatcher"] = away())),
            ("capabilities.jwks", config(&|c| c["capabilities"]["jwks"] = away())),
            ("users.jwks", config(&|c| c["users"]["jwks"] = away())),
            ("store.endpoint", config(&|c| c["store"]["endpoint"] = away())),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(&format!("`{setting}`")), "{refused}");
        }
        let allowed = config(&|c| {
            c["dispatcher"] = away();
            c["plain_http"] = "allow".into();
        });
        assert!(allowed.is_ok());
    }

    #[test]
    fn a_file_that_listens_for_everybody_without_tls_is_not_right() {
        let text = format!(
            r#"{{"listen_users": "0.0.0.0:1", "listen_tasks": "127.0.0.1:2", "service": {MINIMAL}}}"#
        );
        let wrong = serde_json::from_str::<File>(&text).unwrap().check().unwrap_err().to_string();
        assert!(wrong.contains("0.0.0.0:1") && wrong.contains("`transport: plain`"), "{wrong}");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let misspelt = MINIMAL.replacen("\"store\"", "\"limitz\": {}, \"store\"", 1);
        assert!(serde_json::from_str::<Config>(&misspelt).is_err());
    }
}
