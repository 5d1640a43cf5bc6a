//! The one registry of ids.
//!
//! Ids that the database hands out are positive 64-bit integers, narrow in every index, and carry a
//! short prefix wherever a person or another service sees them (`t12`, `a40`), so that a task's id
//! can't be taken for an attempt's. Ids that callers make up are random UUIDs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{unverified}` is not {what}: expected `{prefix}` and a positive number, such as `{prefix}12`")]
pub struct InvalidId {
    unverified: String,
    what: &'static str,
    prefix: &'static str,
}

macro_rules! numbered {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// What every such id starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a number that the database gave; `None` unless it is positive.
            #[must_use]
            pub const fn new(number: i64) -> Option<Self> {
                if number > 0 { Some(Self(number)) } else { None }
            }

            /// Wraps a number from an identity column.
            ///
            /// # Panics
            /// When the number is not positive, which an identity column never yields.
            #[must_use]
            pub const fn from_db(number: i64) -> Self {
                match Self::new(number) {
                    Some(id) => id,
                    None => panic!("identity columns start at 1"),
                }
            }

            /// The number, as the database stores it.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(unverified: &str) -> Result<Self, InvalidId> {
                numbered_from(unverified, $prefix).and_then(Self::new).ok_or_else(|| InvalidId {
                    unverified: unverified.chars().take(40).collect(),
                    what: $what,
                    prefix: $prefix,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
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

/// The canonical digits after `prefix`: no sign, no leading zero.
fn numbered_from(unverified: &str, prefix: &str) -> Option<i64> {
    let digits = unverified.strip_prefix(prefix)?;
    let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    canonical.then(|| digits.parse().ok()).flatten()
}

numbered! {
    /// An organisation: the border that no dataset crosses without a grant.
    OrgId, "o", "an org id";
    /// A person or program that calls `/v1`.
    UserId, "u", "a user id";
    /// A DAG: a name in an org, with versions.
    DagId, "g", "a DAG id";
    /// One immutable version of a DAG.
    DagVersionId, "gv", "a DAG version id";
    /// One run of one DAG version.
    RunId, "r", "a run id";
    /// One partition of one job in one run.
    TaskId, "t", "a task id";
    /// One try at a task. Its id keys the output prefix, the capability, the fence and the logs.
    AttemptId, "a", "an attempt id";
    /// What a job produces, published under a name or not.
    DatasetId, "d", "a dataset id";
    /// What one run put into a dataset.
    DatasetVersionId, "dv", "a dataset version id";
    /// A worker or a plane, as the dispatcher knows it by its identity.
    WorkerId, "w", "a worker id";
}

macro_rules! random {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new random one.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// Wraps one that the database or a caller gave.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID, as the database stores it.
            #[must_use]
            pub const fn get(self) -> Uuid {
                self.0
            }
        }
    )*};
}

random! {
    /// The fence of one lease. Whoever shows it with the attempt's id may heartbeat and complete;
    /// it stays with the trusted side and its `Debug` form hides it.
    LeaseToken;
    /// Made up by a wrapper for one claim, so that a lost reply can be asked for again.
    ClaimId;
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(…)")
    }
}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixed_ids_round_trip_and_do_not_mix() {
        let task: TaskId = "t12".parse().unwrap();
        assert_eq!(task.get(), 12);
        assert_eq!(task.to_string(), "t12");
        for bad in ["12", "a12", "t", "t0", "t01", "t-1", "t+1", "t1 ", "T1", "t99999999999999999999"] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad} must be refused");
        }
        assert!("g7".parse::<DagVersionId>().is_err());
        assert!("gv7".parse::<DagId>().is_err());
    }

    #[test]
    fn a_lease_token_never_shows_in_debug() {
        let token = LeaseToken::random();
        assert!(!format!("{token:?}").contains(&token.get().to_string()[..8]));
    }
}
