//! Names that people choose: of DAGs, jobs, inputs, datasets, operators, orgs.

use std::{fmt, ops::Deref, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A name: a lower-case letter, then lower-case letters, digits and `_`, at most 63 in all. Every
/// name is a plain SQL identifier, a path segment and an IAM literal, so nothing is ever quoted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A partition's key, such as `2013-01`: letters, digits, `_`, `-`, `=` and `.`, at most 64, not
/// starting with `.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey(String);

/// Why a text is not a name or partition key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a [`Name`].
    #[error(
        "`{0}` is not a name: use a lower-case letter, then lower-case letters, digits or `_`, at most 63"
    )]
    Name(String),
    /// Not a [`PartitionKey`].
    #[error("`{0}` is not a partition key: use letters, digits, `_`, `-`, `=` and `.`, at most 64")]
    PartitionKey(String),
}

impl PartitionKey {
    /// The only partition of a dataset that has no partitions.
    #[must_use]
    pub fn whole() -> Self {
        Self("all".to_owned())
    }

    /// Whether this is the key of a dataset without partitions.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0 == "all"
    }
}

fn shown(unverified: &str) -> String {
    unverified.chars().take(80).collect()
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(unverified: &str) -> Result<Self, InvalidName> {
        let ok = unverified.len() <= 63
            && unverified.starts_with(|c: char| c.is_ascii_lowercase())
            && unverified.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if ok { Ok(Self(unverified.to_owned())) } else { Err(InvalidName::Name(shown(unverified))) }
    }
}

impl FromStr for PartitionKey {
    type Err = InvalidName;

    fn from_str(unverified: &str) -> Result<Self, InvalidName> {
        let ok = (1..=64).contains(&unverified.len())
            && !unverified.starts_with('.')
            && unverified.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=.".contains(&b));
        if ok { Ok(Self(unverified.to_owned())) } else { Err(InvalidName::PartitionKey(shown(unverified))) }
    }
}

macro_rules! text_newtype {
    ($($name:ident)*) => {$(
        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let unverified = String::deserialize(deserializer)?;
                unverified.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

text_newtype!(Name PartitionKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_identifiers() {
        for good in ["a", "flights", "delays_by_month", "x9"] {
            assert_eq!(&*good.parse::<Name>().unwrap(), good);
        }
        for bad in ["", "9x", "_a", "A", "a-b", "a.b", "a b", "ä", "a/b", "a\n", &"a".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn partition_keys_are_path_segments() {
        for good in ["all", "2013-01", "region=eu", "v1.2"] {
            assert!(good.parse::<PartitionKey>().is_ok());
        }
        for bad in ["", ".", "..", ".x", "a/b", "a b", "a*", &"a".repeat(65)] {
            assert!(bad.parse::<PartitionKey>().is_err(), "{bad:?} must be refused");
        }
    }
}
