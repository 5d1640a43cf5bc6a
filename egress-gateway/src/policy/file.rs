//! The operator's file: what is denied beyond the rules, and which private places are allowed all the same.

use std::{fs, io, path::Path, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};
use trace_contracts::{HostName, destination::InvalidDestination};

/// A file is never longer.
const MAX_BYTES: u64 = 1 << 20;

/// The document.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Never reached, whatever is granted. Beats everything.
    pub deny: Places,
    /// Reached although private, when granted. Cloud metadata services stay denied.
    pub allow_private: Places,
}

/// Hosts by name, and networks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Places {
    /// Names, such as `example.com`, or all names below one, such as `*.example.com`.
    pub hosts: Vec<HostPattern>,
    /// Networks, such as `10.1.0.0/16` or `fd00:1::/64`.
    pub networks: Vec<IpNet>,
}

/// A name, or all names below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This name.
    Exactly(HostName),
    /// Every name with one label or more before this one; not this one.
    Below(HostName),
}

/// Why an operator's file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error("can't be read: {0}")]
    Read(#[from] io::Error),
    /// It is not what it should be.
    #[error("is not a policy: {0}")]
    Parse(#[from] serde_json::Error),
    /// It is longer than any policy.
    #[error("has more than {MAX_BYTES} bytes")]
    TooLong,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or is not a policy.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if fs::metadata(path)?.len() > MAX_BYTES {
            return Err(Error::TooLong);
        }
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

impl Places {
    pub(super) fn has_host(&self, name: &HostName) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(name))
    }
}

impl HostPattern {
    /// Whether a name is meant.
    #[must_use]
    pub fn matches(&self, name: &HostName) -> bool {
        match self {
            Self::Exactly(exactly) => name == exactly,
            Self::Below(top) => name.strip_suffix(&**top).is_some_and(|rest| rest.ends_with('.')),
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidDestination;

    fn from_str(unverified: &str) -> Result<Self, InvalidDestination> {
        match unverified.strip_prefix("*.") {
            Some(top) => top.parse().map(Self::Below),
            None => unverified.parse().map(Self::Exactly),
        }
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let unverified = String::deserialize(deserializer)?;
        unverified.parse().map_err(|error| de::Error::custom(format!("`{unverified}`: {error}")))
    }
}
