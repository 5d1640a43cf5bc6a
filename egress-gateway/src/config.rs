//! What an egress gateway has to be told. The binary reads it from a file; `trace up` fills it in.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de};
use trace_contracts::Secret;
use trace_plane::{PlainHttp, Transport, listener, outgoing};
use url::Url;

use crate::{rpc, services};

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
    /// Authorities (PEM) that are believed beside the system's where the dispatcher is called.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether the dispatcher may be called without TLS although it is not on this machine.
    #[serde(default)]
    pub plain_http: PlainHttp,
    /// The operator's file; see [`policy`](crate::policy). Absent: every public address, and no private one.
    #[serde(default)]
    pub policy: Option<PathBuf>,
    /// Who resolves names. Empty: the servers of `/etc/resolv.conf`, and nothing else of that file.
    #[serde(default)]
    pub dns_servers: Vec<SocketAddr>,
    /// What is sent to webhooks.
    #[serde(default)]
    pub deliveries: Deliveries,
    /// What services of the platform may do here, by the names of their identities. Nothing unless it is said.
    #[serde(default)]
    pub services: BTreeMap<String, services::Rules>,
    /// Providers that they may ask.
    #[serde(default)]
    pub rpc: rpc::config::Config,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// What is sent to webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deliveries {
    /// Authorities (PEM) that are believed beside the system's where a receiver shows its certificate.
    pub ca_file: Option<PathBuf>,
    /// Deliveries under way at once.
    pub at_once: usize,
    /// Milliseconds in which a receiver answers, the time to reach it included.
    pub answered_ms: u64,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { ca_file: None, at_once: 64, answered_ms: 15_000 }
    }
}

impl Deliveries {
    pub(crate) fn answered_within(&self) -> Duration {
        Duration::from_millis(self.answered_ms.max(1))
    }
}

/// An issuer of capability tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The value of `iss`.
    pub issuer: String,
    /// Where its public keys are.
    #[serde(deserialize_with = "address")]
    pub jwks: Url,
}

/// Bounds on what comes in and goes out.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of callers at once; further ones wait in the listener's queue.
    pub connections: usize,
    /// Requests and tunnels of one attempt at once; more are turned away.
    pub per_attempt: usize,
    /// Milliseconds to resolve a name and connect to a vetted address. What fails is told when they are up, so
    /// that a caller can't tell a closed port from a filtered one.
    pub reach_ms: u64,
    /// Milliseconds in which a tunnel's client sends its whole TLS ClientHello.
    pub hello_ms: u64,
    /// Milliseconds in which something comes through a tunnel.
    pub tunnel_silence_ms: u64,
    /// Milliseconds in which something moves on a connection for requests, the wait for an answer included.
    pub request_silence_ms: u64,
    /// Milliseconds without word from the dispatcher after which nobody is believed: longer than its
    /// fail-over takes.
    pub liveness_bound_ms: u64,
}

/// The file that the `egress-gateway` program is started with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where tasks' requests come in.
    pub listen: SocketAddr,
    /// How they are protected on the way. Callers show tokens here.
    #[serde(default)]
    pub transport: Transport,
    /// Where services of the platform ask providers; absent: nowhere.
    #[serde(default)]
    pub rpc_listen: Option<SocketAddr>,
    /// How that is protected on the way.
    #[serde(default)]
    pub rpc_transport: Transport,
    /// A file that is there while requests are taken, for health checks without HTTP.
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
    /// What to log, such as `info`.
    #[serde(default = "log_filter")]
    pub log: String,
    /// The service.
    pub service: Config,
}

impl Config {
    /// Whether tokens and keys go to the dispatcher by TLS, or on this machine, or somebody said that they need not.
    ///
    /// # Errors
    /// The address that would be called without TLS.
    pub fn check_addresses(&self) -> Result<(), outgoing::Refused> {
        self.plain_http.admit("dispatcher", &self.dispatcher)?;
        self.plain_http.admit("capabilities.jwks", &self.capabilities.jwks)
    }
}

/// What a file can't say.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// Callers would come in without TLS.
    #[error("`listen`: {0}")]
    Listen(#[from] listener::Error),
    /// The dispatcher would be called without TLS.
    #[error(transparent)]
    Address(#[from] outgoing::Refused),
}

impl File {
    /// Whether the gateway would start with it, as far as this file tells: the files that it names are not opened.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), Wrong> {
        self.transport.admit(self.listen)?;
        Ok(self.service.check_addresses()?)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            per_attempt: 64,
            reach_ms: 5_000,
            hello_ms: 10_000,
            tunnel_silence_ms: 300_000,
            request_silence_ms: 60_000,
            liveness_bound_ms: 10_000,
        }
    }
}

impl Limits {
    /// How long the last word from the dispatcher is believed.
    #[must_use]
    pub const fn liveness_bound(&self) -> Duration {
        Duration::from_millis(self.liveness_bound_ms)
    }

    pub(crate) const fn reach(&self) -> Duration {
        Duration::from_millis(self.reach_ms)
    }

    pub(crate) const fn hello(&self) -> Duration {
        Duration::from_millis(self.hello_ms)
    }

    pub(crate) fn tunnel_silence(&self) -> Duration {
        Duration::from_millis(self.tunnel_silence_ms.max(1))
    }

    pub(crate) fn request_silence(&self) -> Duration {
        Duration::from_millis(self.request_silence_ms.max(1))
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

fn log_filter() -> String {
    "info".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{
        "dispatcher": "http://127.0.0.1:1/", "identity": "hush",
        "capabilities": {"issuer": "trace", "jwks": "http://127.0.0.1:1/jwks"}
    }"#;

    #[test]
    fn a_minimal_file_has_defaults_and_hides_its_secrets() {
        let config: Config = serde_json::from_str(MINIMAL).unwrap();
        assert_eq!(config.limits.per_attempt, 64);
        assert!(config.policy.is_none() && config.dns_servers.is_empty());
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn what_carries_tokens_is_not_called_without_tls() {
        let at = |address: &str, rest: &str| {
            let text = MINIMAL.replace("http://127.0.0.1:1/", address);
            serde_json::from_str::<Config>(&text.replacen('{', &format!("{{{rest}"), 1))
                .unwrap()
                .check_addresses()
        };
        assert!(at("http://127.0.0.1:1/", "").is_ok() && at("https://dispatcher/", "").is_ok());
        assert!(at("http://dispatcher/", "").unwrap_err().to_string().contains("`dispatcher`"));
        assert!(at("http://dispatcher/", r#""plain_http": "allow","#).is_ok());
        let keys = MINIMAL.replace("http://127.0.0.1:1/jwks", "http://dispatcher/jwks");
        let keys = serde_json::from_str::<Config>(&keys).unwrap().check_addresses().unwrap_err();
        assert!(keys.to_string().contains("`capabilities.jwks`"), "{keys}");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let misspelt = MINIMAL.replacen("\"dispatcher\"", "\"limitz\": {}, \"dispatcher\"", 1);
        assert!(serde_json::from_str::<Config>(&misspelt).is_err());
    }
}
