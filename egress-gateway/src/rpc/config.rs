//! What an operator says of pools.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroUsize,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Deserializer, de};
use trace_contracts::Name;
use url::Url;

use super::rate::Rate;

/// A method's name is never longer.
const MAX_METHOD: usize = 64;

/// All pools.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Each by its name, which is in its address: `POST /rpc/NAME`.
    pub pools: BTreeMap<Name, Pool>,
    /// Authorities (PEM) that are believed beside the system's where providers are called.
    pub ca_file: Option<PathBuf>,
}

/// Providers that answer the same, and what may be asked of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// One at least.
    pub upstreams: Vec<Upstream>,
    /// What may be called; nothing else is passed on. One at least.
    pub methods: BTreeSet<Method>,
    /// Those of the methods that may reach a provider twice: a request of these alone goes to another provider when
    /// one has failed with it. Others do only if nothing of them was sent.
    #[serde(default)]
    pub repeatable: BTreeSet<Method>,
    /// Calls of all callers together.
    #[serde(default = "of_pool")]
    pub rate: Rate,
    /// Calls of one caller.
    #[serde(default = "of_caller")]
    pub caller_rate: Rate,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// One provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Where it is: `https://`, or `http://` where no key is shown.
    #[serde(deserialize_with = "address")]
    pub url: Url,
    /// What the gateway shows it, and nobody else sees.
    #[serde(default)]
    pub credential: Option<Credential>,
}

/// A provider's key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The file that holds it, which its owner alone may read.
    pub file: PathBuf,
    /// Where in a request it goes.
    #[serde(rename = "in")]
    pub place: Place,
}

/// Where in a request a key goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The whole value of this header.
    Header(String),
    /// This parameter of the address.
    Query(String),
    /// The last part of the address's path.
    Path,
}

/// Bounds of one pool.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls in one batch.
    pub batch: NonZeroUsize,
    /// Bytes of one answer; a longer one is not passed on.
    pub answer_bytes: usize,
    /// Milliseconds for one request, with all providers that it goes to.
    pub timeout_ms: u64,
    /// Requests at once; more are turned away.
    pub at_once: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        let some = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self { batch: some(50), answer_bytes: 8 << 20, timeout_ms: 15_000, at_once: some(64) }
    }
}

impl Limits {
    pub(super) const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

const fn of_pool() -> Rate {
    Rate { per_second: 100, burst: 200 }
}

const fn of_caller() -> Rate {
    Rate { per_second: 50, burst: 100 }
}

/// A method's name: letters, digits, `_`, `.` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(String);

/// A text is no method's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a method's name has letters, digits, `_`, `.` and `-`, 1 to {MAX_METHOD} of them")]
pub struct InvalidMethod;

impl FromStr for Method {
    type Err = InvalidMethod;

    fn from_str(unverified: &str) -> Result<Self, InvalidMethod> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let fits = (1..=MAX_METHOD).contains(&unverified.len()) && unverified.bytes().all(is_part);
        fits.then(|| Self(unverified.to_owned())).ok_or(InvalidMethod)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let unverified = String::deserialize(deserializer)?;
        unverified.parse().map_err(|error| de::Error::custom(format!("`{unverified}`: {error}")))
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_read_with_defaults_and_nothing_unknown() {
        let pool = r#"{"upstreams": [{"url": "https://a.example.com/v1",
            "credential": {"file": "/k", "in": {"header": "x-key"}}}], "methods": ["eth_call"]}"#;
        let read: Pool = serde_json::from_str(pool).unwrap();
        assert_eq!((read.limits.batch.get(), read.rate.burst), (50, 200));
        assert!(
            matches!(&read.upstreams[0].credential.as_ref().unwrap().place, Place::Header(name) if name == "x-key")
        );
        for place in [r#""bearer""#, r#""path""#, r#"{"query": "k"}"#] {
            assert!(serde_json::from_str::<Place>(place).is_ok(), "{place}");
        }
        for bad in [
            pool.replace("\"methods\"", "\"method\""),
            pool.replace("eth_call", "eth call"),
            pool.replace("eth_call", "eth_*"),
            pool.replace("\"in\"", "\"as\""),
            pool.replace("https://a", "a"),
        ] {
            assert!(serde_json::from_str::<Pool>(&bad).is_err(), "{bad}");
        }
    }
}
