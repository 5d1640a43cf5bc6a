//! What a wrapper needs to know.

mod check;

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de};
use trace_contracts::Secret;
use trace_plane::{PlainHttp, Transport};
use url::Url;

pub use check::Wrong;

use crate::{
    launcher::{ecs, lambda},
    sandbox::SandboxConfig,
    secrets,
    wakeups::Source,
};

/// A wrapper's configuration. `trace up` fills it in; the binary reads it from a JSON file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the dispatcher's `/internal` routes lie, such as `http://127.0.0.1:7002/`.
    #[serde(deserialize_with = "base_address")]
    pub dispatcher: Url,
    /// Where the dispatcher's `/v1/task` routes lie: for the sandbox, and to exchange the attempt's
    /// token for the credentials that its outputs are written with.
    #[serde(deserialize_with = "base_address")]
    pub task_api: Url,
    /// The query service's task listener, for the sandbox.
    #[serde(deserialize_with = "base_address")]
    pub query: Url,
    /// The egress gateway, for tasks that may reach something outside. It is shown tokens. Absent: nothing outside can
    /// be reached from this worker.
    #[serde(default, deserialize_with = "gateway_address")]
    pub egress: Option<Url>,
    /// Where objects are kept.
    pub object_store: ObjectStore,
    /// The worker's identity, which the dispatcher knows by its hash.
    pub identity: Secret<String>,
    /// A folder of this wrapper's own, on a local disk. What it holds is removed at start-up.
    pub work_dir: PathBuf,
    /// Attempts that run at a time.
    pub slots: NonZeroUsize,
    /// Bytes of bundles and files that are kept for later attempts.
    #[serde(default = "default_cache_bytes")]
    pub cache_bytes: u64,
    /// How long a claim waits for work, in milliseconds; at most 30,000.
    #[serde(default = "default_claim_wait_ms")]
    pub claim_wait_ms: u64,
    /// Where wake-ups come from.
    #[serde(default)]
    pub wake_ups: Source,
    /// How long running attempts may go on once the wrapper is told to stop, in milliseconds.
    #[serde(default = "default_drain_ms")]
    pub drain_ms: u64,
    /// Where `/healthz` and `/readyz` are answered; nowhere when absent.
    #[serde(default)]
    pub health: Option<SocketAddr>,
    /// Where secrets of built-in operators are kept.
    #[serde(default)]
    pub secrets: secrets::Source,
    /// What runs attempts.
    #[serde(default)]
    pub launcher: LauncherSettings,
    /// How the health listener is protected on the way.
    #[serde(default)]
    pub transport: Transport,
    /// A file that is there while claims are answered, for health checks without HTTP.
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
    /// Authorities (PEM) that are believed beside the system's where the dispatcher, the query service and the gateway
    /// are called, by the wrapper itself and for the programs that it runs.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether these services may be called without TLS although they are not on this machine.
    #[serde(default)]
    pub plain_http: PlainHttp,
    /// What the sandbox shows of this machine.
    #[serde(default)]
    pub sandbox: SandboxSettings,
}

/// What runs attempts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LauncherSettings {
    /// The process sandbox of this machine.
    #[default]
    Process,
    /// A task of ECS for each attempt.
    Ecs(Box<ecs::Config>),
    /// An invocation of Lambda for each attempt.
    Lambda(Box<lambda::Config>),
}

/// The object store, S3 or one that speaks like it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStore {
    /// Its address, such as `http://127.0.0.1:7004/`.
    #[serde(deserialize_with = "base_address")]
    pub endpoint: Url,
    /// The region that the sandbox is told, such as `us-east-1`.
    pub region: String,
    /// How a bucket is named in a request.
    #[serde(default)]
    pub addressing: Addressing,
}

/// How a bucket is named in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// `http://store/bucket/key`: every store understands it.
    #[default]
    Path,
    /// `http://bucket.store/key`: what S3 itself prefers.
    VirtualHost,
}

/// The sandbox's settings, as a configuration file has them; see [`SandboxConfig`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSettings {
    /// The Python interpreter; absent: `python3` on the search path.
    #[serde(default)]
    pub python: Option<PathBuf>,
    /// A folder with the package `trace_udf`.
    #[serde(default)]
    pub sdk: Option<PathBuf>,
    /// Executables that tasks see in `/trace/bin`, by the name that they have there:
    /// `trace-operator` and `trace-udf-native`.
    #[serde(default)]
    pub tools: BTreeMap<String, PathBuf>,
    /// Processes and threads that one task may have.
    #[serde(default)]
    pub max_processes: Option<u32>,
    /// Files that one task may have in its writable folders.
    #[serde(default)]
    pub max_files: Option<u32>,
    /// A control group to create the tasks' groups in.
    #[serde(default)]
    pub cgroup_parent: Option<String>,
    /// Sandboxes that are prepared ahead for each kind of program; 0 prepares none.
    #[serde(default)]
    pub spares: Option<usize>,
}

/// An address that routes are joined to: its path ends in `/`, whether it is written so or not.
fn base_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let unverified = String::deserialize(deserializer)?;
    let refused = |why: &str| de::Error::custom(format!("`{unverified}` is no service's address: {why}"));
    let mut url: Url = unverified.parse().map_err(|error: url::ParseError| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("expected http://HOST:PORT/ or https://HOST/"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// The egress gateway's address: scheme, host and port and nothing more, because a proxy has no path.
fn gateway_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let url = base_address(deserializer)?;
    if url.path() != "/" || !url.username().is_empty() || url.password().is_some() {
        return Err(de::Error::custom(
            "the egress gateway's address is https://HOST:PORT/ or http://HOST:PORT/, without a path or a user",
        ));
    }
    Ok(Some(url))
}

const fn default_cache_bytes() -> u64 {
    4 << 30
}

const fn default_claim_wait_ms() -> u64 {
    20_000
}

const fn default_drain_ms() -> u64 {
    30_000
}

/// The variable that holds the worker's identity where the file does not.
pub const IDENTITY_VARIABLE: &str = "TRACE_WORKER_TOKEN";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{path}: {source}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The file is no JSON object.
    #[error("{}: the configuration is one JSON object", .0.display())]
    Form(PathBuf),
}

impl Config {
    /// Reads a configuration from a JSON file. The identity may be left out of it and be given in
    /// the environment instead, as `TRACE_WORKER_TOKEN`.
    ///
    /// # Errors
    /// When the file can't be read, has an unknown field or lacks one.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        #[expect(clippy::disallowed_methods, reason = "the environment is read here")]
        let identity = env::var(IDENTITY_VARIABLE).ok();
        Self::parse(&text, identity, path)
    }

    fn parse(text: &str, identity: Option<String>, path: &Path) -> Result<Self, Error> {
        let broken = |source| Error::Parse { path: path.to_owned(), source };
        let mut document: serde_json::Value = serde_json::from_str(text).map_err(broken)?;
        let fields = document.as_object_mut().ok_or_else(|| Error::Form(path.to_owned()))?;
        if let Some(identity) = identity {
            fields.entry("identity").or_insert(serde_json::Value::String(identity));
        }
        serde_json::from_value(document).map_err(broken)
    }

    /// How long a claim waits.
    #[must_use]
    pub const fn claim_wait(&self) -> Duration {
        Duration::from_millis(self.claim_wait_ms)
    }

    /// How long draining may take.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

impl From<SandboxSettings> for SandboxConfig {
    fn from(settings: SandboxSettings) -> Self {
        let default = Self::default();
        Self {
            python: settings.python,
            sdk: settings.sdk,
            tools: settings.tools,
            max_processes: settings.max_processes.unwrap_or(default.max_processes),
            max_files: settings.max_files.unwrap_or(default.max_files),
            cgroup_parent: settings.cgroup_parent,
            spares: settings.spares.unwrap_or(default.spares),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const FILE: &str = r#"{
        "dispatcher": "http://127.0.0.1:7002/", "task_api": "http://127.0.0.1:7001/",
        "query": "http://127.0.0.1:7003/",
        "object_store": {"endpoint": "http://127.0.0.1:7004/", "region": "us-east-1"},
        "work_dir": "/var/lib/trace/worker", "slots": 4
    }"#;

    pub(super) fn parse(text: &str, identity: Option<&str>) -> Result<Config, Error> {
        Config::parse(text, identity.map(str::to_owned), Path::new("worker.json"))
    }

    #[test]
    fn the_identity_comes_from_the_file_or_the_environment_and_is_never_shown() {
        let config = parse(FILE, Some("secret-identity")).unwrap();
        assert_eq!(config.identity.expose(), "secret-identity");
        assert_eq!(config.object_store.addressing, Addressing::Path);
        let below = parse(&FILE.replace(":7002/", ":7002/trace"), Some("x")).unwrap();
        assert_eq!(below.dispatcher.as_str(), "http://127.0.0.1:7002/trace/");
        assert!(!format!("{config:?}").contains("secret-identity"));
        let in_file = FILE.replacen('{', r#"{"identity": "from-file","#, 1);
        assert_eq!(parse(&in_file, Some("from-environment")).unwrap().identity.expose(), "from-file");
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let error = parse(FILE, None).unwrap_err().to_string();
        assert!(error.contains("worker.json") && error.contains("identity"), "{error}");
        let unknown = FILE.replacen('{', r#"{"slot": 4,"#, 1);
        let error = parse(&unknown, Some("x")).unwrap_err().to_string();
        assert!(error.contains("slot"), "{error}");
        assert!(parse("[]", None).is_err());
        for address in ["127.0.0.1:7003", "ftp://store/", "http://host/?x=1"] {
            let error = parse(&FILE.replace("http://127.0.0.1:7003/", address), Some("x")).unwrap_err();
            assert!(error.to_string().contains(address), "{error}");
        }
        assert!(parse(&FILE.replace(": 4", ": 0"), Some("x")).is_err(), "no slots at all");
    }

    #[test]
    fn the_egress_gateway_is_an_address_without_a_path() {
        assert_eq!(parse(FILE, Some("x")).unwrap().egress, None);
        let with =
            |address: &str| parse(&FILE.replacen('{', &format!(r#"{{"egress": "{address}","#), 1), Some("x"));
        assert_eq!(with("http://10.0.0.9:3128").unwrap().egress.unwrap().as_str(), "http://10.0.0.9:3128/");
        assert!(with("https://gateway:3128/").is_ok());
        for bad in ["http://gateway:3128/proxy", "http://user:hush@gateway:3128/"] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wake_ups_come_from_a_queue_when_one_is_given() {
        assert!(matches!(parse(FILE, Some("x")).unwrap().wake_ups, Source::Dispatcher));
        let with = |sqs: &str| {
            parse(&FILE.replacen('{', &format!(r#"{{"wake_ups": {{"sqs": {{{sqs}}}}},"#), 1), Some("x"))
        };
        let queues = r#""queue": "https://sqs/1/q", "dead_letters": "https://sqs/1/dlq""#;
        let config = with(&format!(r#""aws": {{"region": "x"}}, {queues}"#)).unwrap();
        assert!(matches!(config.wake_ups, Source::Sqs(sqs) if sqs.queue == "https://sqs/1/q"));
        assert!(with(queues).is_err() && with(r#""aws": {"region": "x"}"#).is_err());
        let plain = format!(r#""aws": {{"region": "x", "endpoint": "http://10.0.0.1/"}}, {queues}"#);
        assert!(with(&plain).unwrap_err().to_string().contains("without TLS"));
    }
}
