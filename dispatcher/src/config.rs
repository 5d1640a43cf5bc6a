//! What an operator sets. Read from one YAML file by the binary; built in place by `trace up`.

mod check;
mod database;
mod object_store;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de};
use trace_contracts::{Name, Secret, token::LEEWAY_SECONDS};
use trace_plane::{PlainHttp, Transport};
use url::Url;

use crate::{credentials::Source, keys::kms, queue, webhooks};

pub(crate) use database::options as database_options;
pub use database::{Unverifiable, UnverifiedDatabase};
pub use object_store::{ObjectStore, StoreKeys};

/// The dispatcher's configuration. Unknown fields are refused, secrets have no defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The state database, as a `postgres://` address.
    pub database_url: Secret<String>,
    /// Connections to it at most, beside the four that workers' claims, heartbeats and completions go through.
    #[serde(default = "default_connections")]
    pub database_connections: u32,
    /// Whether a database on another machine may be used that does not prove who it is.
    #[serde(default)]
    pub unverified_database: UnverifiedDatabase,
    /// Where the three listeners bind.
    pub listen: Listen,
    /// How the three listeners are protected on the way.
    #[serde(default)]
    pub transport: Transport,
    /// A file that is there while this dispatcher is ready, for health checks without HTTP.
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
    /// The folder of the key that signs capabilities: mode 0700, made when absent.
    pub key_dir: PathBuf,
    /// `iss` of capability tokens.
    pub capability_issuer: String,
    /// Whose user tokens are believed.
    pub users: UserIssuer,
    /// The object store, as the dispatcher itself reaches it.
    pub object_store: ObjectStore,
    /// Whether the object store and the issuer of users may be called without TLS although they are not on this
    /// machine.
    #[serde(default)]
    pub plain_http: PlainHttp,
    /// The keys that sign capabilities, and who may change them.
    #[serde(default)]
    pub keys: Keys,
    /// Where tasks' sessions of the object store come from.
    #[serde(default)]
    pub credentials: Source,
    /// The way out of the platform, if there is one.
    #[serde(default)]
    pub egress: Egress,
    /// How deliveries to webhooks are sent.
    #[serde(default)]
    pub webhooks: webhooks::Settings,
    /// How workers hear of tasks that are ready.
    #[serde(default)]
    pub wake_ups: queue::Source,
    /// Leases, retries and tokens.
    #[serde(default)]
    pub limits: Limits,
}

/// The way out of the platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// There is none: no capability lets anything out, and a DAG that asks for it is not deployed.
    #[default]
    None,
    /// An egress gateway, which believes this dispatcher's capabilities. Admins say what DAGs may reach.
    Gateway,
}

/// The keys that sign capabilities, and who may change them.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// The org whose admins change keys and workers, which are every org's. Absent: nobody does.
    pub platform_org: Option<Name>,
    /// A key that an operator brings (PKCS #8, DER, mode 0600): it signs from the first start with it on,
    /// until the next rotation.
    pub signing_key: Option<PathBuf>,
    /// How long what a key signed is believed after the next one has begun to sign, in seconds. It is never
    /// less than the life of a token, the leeway and the age of a cached key set together.
    pub overlap_seconds: u64,
    /// What to do at the start when the key that signs is not in the key folder.
    pub when_lost: WhenLost,
    /// What certifies keys; without it they are believed because of where they are published.
    pub root: Root,
    /// A new key signs after so many seconds. Absent: an hour where a root certifies keys, and else only when
    /// an admin says so.
    pub rotate_every_seconds: Option<u64>,
}

/// The root of trust of the keys that sign.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// The key folder itself.
    #[default]
    KeyFolder,
    /// A key of KMS, which never leaves it.
    Kms(Box<kms::Config>),
}

impl Keys {
    /// How long a key signs, if there is a limit.
    #[must_use]
    pub fn rotate_every(&self) -> Option<Duration> {
        let by_root = match self.root {
            Root::KeyFolder => None,
            Root::Kms(_) => Some(3600),
        };
        self.rotate_every_seconds.or(by_root).map(|seconds| Duration::from_secs(seconds.max(1)))
    }
}

/// What to do without the key that signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenLost {
    /// Not start: most likely the folder is the wrong one.
    Refuse,
    /// Make a new key.
    Replace,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            platform_org: None,
            signing_key: None,
            overlap_seconds: 0,
            when_lost: WhenLost::Refuse,
            root: Root::KeyFolder,
            rotate_every_seconds: None,
        }
    }
}

/// A key set that this dispatcher publishes may be cached for so long, in seconds.
pub const JWKS_MAX_AGE: u64 = 60;

/// Where the listeners bind. They never share one: who reaches a port is part of who may call it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// `/v1`, for users.
    pub users: SocketAddr,
    /// `/v1/task`, for tasks.
    pub tasks: SocketAddr,
    /// `/internal`, for workers and planes.
    pub workers: SocketAddr,
}

/// An OIDC issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserIssuer {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens.
    #[serde(default = "default_audience")]
    pub audience: String,
    /// Its public keys.
    pub jwks: Jwks,
}

/// Where public keys are published.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jwks {
    /// At an address, fetched and refreshed.
    Url(#[serde(deserialize_with = "url")] Url),
    /// In a file, read once at the start.
    File(PathBuf),
}

/// Times and counts of leases, retries and tokens.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long a lease holds without a heartbeat, in milliseconds.
    pub lease_ms: u64,
    /// The longest life of one capability token, in seconds; it can be exchanged for a new one.
    pub token_seconds: u64,
    /// What a token may outlive its task's timeout by, in seconds.
    pub token_grace_seconds: u64,
    /// How long object store sessions hold, in seconds; STS has none shorter than 900. They can't be
    /// ended there, so the shortest are the best: whoever needs them longer asks again.
    pub session_seconds: u64,
    /// How long a launch ticket can be redeemed, in seconds: what it takes to start a container, image pull
    /// included.
    pub launch_ticket_seconds: u64,
    /// Lost workers after which a task is given up.
    pub max_losses: u32,
    /// How often what is due is looked for when nothing says so, in milliseconds.
    pub sweep_ms: u64,
    /// Objects that one attempt may leave.
    pub output_objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease_ms: 15_000,
            token_seconds: 600,
            token_grace_seconds: 30,
            session_seconds: 900,
            launch_ticket_seconds: 600,
            max_losses: 16,
            sweep_ms: 10_000,
            output_objects: 10_000,
        }
    }
}

impl Limits {
    /// How long a lease holds.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// How long a launch ticket can be redeemed.
    #[must_use]
    pub const fn launch_ticket(&self) -> Duration {
        Duration::from_secs(self.launch_ticket_seconds)
    }

    /// How often to look for what is due.
    #[must_use]
    pub const fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }
}

impl Config {
    /// How long what a key signed is believed after the next one has begun to sign, in seconds.
    #[must_use]
    pub fn key_overlap_seconds(&self) -> u64 {
        let least = self.limits.token_seconds + LEEWAY_SECONDS + JWKS_MAX_AGE;
        self.keys.overlap_seconds.max(least)
    }
}

const fn default_connections() -> u32 {
    16
}

fn default_audience() -> String {
    trace_contracts::token::USER_AUDIENCE.to_owned()
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let unverified = String::deserialize(deserializer)?;
    let shown = || format!("`{unverified}` is not an http or https address");
    let url: Url = unverified.parse().map_err(|_| de::Error::custom(shown()))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(de::Error::custom(shown())) }
}

pub(crate) fn optional_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    url(deserializer).map(Some)
}

/// Why a configuration file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("the configuration `{path}` can't be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("the configuration `{path}` is not valid: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
}

impl Config {
    /// Reads a YAML file.
    ///
    /// # Errors
    /// When it can't be read, holds a field that is not known, or lacks one.
    pub fn read(path: &std::path::Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let invalid = |reason: String| Error::Invalid { path: path.to_owned(), reason };
        let config: Self = serde_saphyr::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        match config.wrong() {
            Some(wrong) => Err(invalid(wrong)),
            None => Ok(config),
        }
    }
}

#[cfg(test)]
mod tests {
    use trace_contracts::Runtime;

    use super::*;

    pub(super) const YAML: &str = "
database_url: postgres://trace:hunter2@db/trace
listen: { users: 127.0.0.1:8080, tasks: 127.0.0.1:8081, workers: 127.0.0.1:8082 }
key_dir: /var/lib/trace/keys
capability_issuer: https://trace.example/dispatcher
users: { issuer: https://id.example, jwks: { url: https://id.example/jwks.json } }
object_store: { region: us-east-1, bucket: trace, access_key_id: AKIA, secret_access_key: hunter3 }
";

    #[test]
    fn a_small_file_is_enough_and_debug_hides_secrets() {
        let config: Config = serde_saphyr::from_str(YAML).unwrap();
        assert_eq!(config.limits.max_losses, 16);
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("hunter3"), "{shown}");
    }

    #[test]
    fn sessions_come_from_a_role_when_one_is_given() {
        let sts = "credentials: { sts: { role_arn: 'arn:aws-cn:iam::123456789012:role/task', external_id: hunter4 } }";
        let config: Config = serde_saphyr::from_str(&format!("{YAML}{sts}\n")).unwrap();
        let Source::Sts(sts) = &config.credentials else { panic!("{config:?}") };
        assert_eq!((sts.role_arn.partition().as_str(), sts.longest_seconds), ("aws-cn", 3600));
        assert!(!format!("{config:?}").contains("hunter4"));
        for bad in
            ["sts: { role_arn: task }", "sts: { role_arn: 'arn:aws:iam::123456789012:role/x', rolearn: y }"]
        {
            let bad = format!("{YAML}credentials: {{ {bad} }}\n");
            assert!(serde_saphyr::from_str::<Config>(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_in_another_partition_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dispatcher.yaml");
        let read = |partition: &str| {
            let sts = format!(
                "credentials: {{ sts: {{ role_arn: 'arn:aws:iam::123456789012:role/task', \
                 kms_key: 'arn:{partition}:kms:eu-west-1:123456789012:key/a' }} }}"
            );
            std::fs::write(&path, format!("{YAML}unverified_database: allow\n{sts}\n")).unwrap();
            Config::read(&path)
        };
        assert!(read("aws").is_ok());
        let wrong = read("aws-cn").unwrap_err().to_string();
        assert!(wrong.contains("is in the partition aws-cn and `role_arn` in aws"), "{wrong}");
    }

    #[test]
    fn listeners_are_protected_as_the_file_says() {
        let plain: Config = serde_saphyr::from_str(YAML).unwrap();
        assert_eq!((plain.transport, plain.ready_file), (Transport::Loopback, None));
        let tls =
            "transport: { tls: { certificate: /run/c.pem, key: /run/k.pem } }\nready_file: /run/ready\n";
        let config: Config = serde_saphyr::from_str(&format!("{YAML}{tls}")).unwrap();
        assert!(matches!(config.transport, Transport::Tls(_)), "{config:?}");
        let plain: Config = serde_saphyr::from_str(&format!("{YAML}transport: plain\n")).unwrap();
        assert_eq!(plain.transport, Transport::Plain);
    }

    #[test]
    fn wake_ups_go_to_a_queue_when_one_is_given() {
        let plain: Config = serde_saphyr::from_str(YAML).unwrap();
        assert!(matches!(plain.wake_ups, queue::Source::Postgres));
        let at = |sqs: &str| {
            serde_saphyr::from_str::<Config>(&format!("{YAML}wake_ups: {{ sqs: {{ {sqs} }} }}\n"))
        };
        let queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/trace-process";
        let config =
            at(&format!("aws: {{ region: eu-central-1 }}, queues: {{ process: '{queue}' }}")).unwrap();
        let queue::Source::Sqs(sqs) = &config.wake_ups else { panic!("{config:?}") };
        assert_eq!((sqs.queues.address(Runtime::Process), sqs.resend_after_seconds), (queue, 60));
        for bad in
            ["queues: { process: 'https://x/1/q' }", "aws: { region: x }", "aws: { region: x }, queues: {}"]
        {
            assert!(at(bad).is_err(), "{bad}");
        }
        assert!(at("aws: { region: x, endpoint: 'http://10.0.0.1/' }, queues: { process: 'q' }").is_err());
    }

    #[test]
    fn nothing_leads_out_unless_a_gateway_is_named() {
        let read = |more: &str| serde_saphyr::from_str::<Config>(&format!("{YAML}{more}"));
        assert_eq!(read("").unwrap().egress, Egress::None);
        assert_eq!(read("egress: gateway\n").unwrap().egress, Egress::Gateway);
        for bad in ["egress: true\n", "egress: http://gateway:3128/\n"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        let misspelt = format!("{YAML}lease_ms: 3\n");
        assert!(serde_saphyr::from_str::<Config>(&misspelt).is_err());
    }
}
