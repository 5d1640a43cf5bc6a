//! The one registry of ids.
//!
//! Ids that the database hands out are positive 64-bit integers, narrow in every index, and carry a
//! short prefix wherever a person or another service sees them (`t12`, `a40`), so that a task's id
//! can't be taken for an attempt's. Ids that callers make up are random UUIDs.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::text_form::text_form;

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

        text_form!($name);
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
    /// One try at a task. Its id keys the output prefix, the capability, the fence and the logs.
    AttemptId, "a", "an attempt id";
    /// What a job produces, published under a name or not.
    DatasetId, "d", "a dataset id";
    /// A worker or a plane, as the dispatcher knows it by its identity.
    WorkerId, "w", "a worker id";
    /// A rule of what an org's DAGs may reach outside.
    EgressRuleId, "e", "an egress rule id";
    /// One event to be told to one webhook, however often it is sent.
    DeliveryId, "dl", "a delivery id";
}

/// Bits of an id within a run that number what the run lists: a run has at most 2^20 tasks.
const ORDINAL_BITS: u32 = 20;

/// Why a text is not the id of something in a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{unverified}` is not {what}: expected `{prefix}`, a run's number and a place in it, such as `{prefix}17.3`"
)]
pub struct InvalidIdInRun {
    unverified: String,
    what: &'static str,
    prefix: &'static str,
}

macro_rules! numbered_in_run {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// What every such id starts with.
            pub const PREFIX: &'static str = $prefix;
            /// Places in one run.
            pub const PER_RUN: u32 = 1 << ORDINAL_BITS;

            /// The id of a place in a run; `None` when the run has no such place or the run's
            /// number is beyond 2^43.
            #[must_use]
            pub const fn in_run(run: RunId, ordinal: u32) -> Option<Self> {
                if ordinal < Self::PER_RUN && run.0 < 1 << (63 - ORDINAL_BITS) {
                    Some(Self(run.0 << ORDINAL_BITS | ordinal as i64))
                } else {
                    None
                }
            }

            /// The smallest and the largest number that an id of this run can have.
            #[must_use]
            pub const fn span(run: RunId) -> (i64, i64) {
                let first = run.0 << ORDINAL_BITS;
                (first, first | (Self::PER_RUN as i64 - 1))
            }

            /// Wraps a number that the database gave; `None` unless it lies in a run.
            #[must_use]
            pub const fn new(number: i64) -> Option<Self> {
                if number >> ORDINAL_BITS > 0 { Some(Self(number)) } else { None }
            }

            /// Wraps a number from the database.
            ///
            /// # Panics
            /// When the number lies in no run, which the database never holds.
            #[must_use]
            pub const fn from_db(number: i64) -> Self {
                match Self::new(number) {
                    Some(id) => id,
                    None => panic!("runs are numbered from 1"),
                }
            }

            /// The number, as the database stores it.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }

            /// The run.
            #[must_use]
            pub const fn run(self) -> RunId {
                RunId(self.0 >> ORDINAL_BITS)
            }

            /// The place in the run, from 0.
            #[must_use]
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "20 bits fit")]
            pub const fn ordinal(self) -> u32 {
                (self.0 & (Self::PER_RUN as i64 - 1)) as u32
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}.{}", $prefix, self.run().0, self.ordinal())
            }
        }

        impl FromStr for $name {
            type Err = InvalidIdInRun;

            fn from_str(unverified: &str) -> Result<Self, InvalidIdInRun> {
                in_run_from(unverified, $prefix)
                    .and_then(|(run, ordinal)| Self::in_run(run, ordinal))
                    .ok_or_else(|| InvalidIdInRun {
                        unverified: unverified.chars().take(40).collect(),
                        what: $what,
                        prefix: $prefix,
                    })
            }
        }

        text_form!($name);
    )*};
}

/// A run's number and a place in it, both canonical, after `prefix`.
fn in_run_from(unverified: &str, prefix: &str) -> Option<(RunId, u32)> {
    let (run, ordinal) = unverified.strip_prefix(prefix)?.split_once('.')?;
    let run = numbered_from(run, "").and_then(RunId::new)?;
    let ordinal = if ordinal == "0" { 0 } else { numbered_from(ordinal, "")? };
    Some((run, u32::try_from(ordinal).ok()?))
}

numbered_in_run! {
    /// One partition of one job in one run: the run, and the place of the partition in the run's
    /// listing. Every task of a run has its id from the start, planned or not.
    TaskId, "t", "a task id";
    /// What one run put into a dataset: the run, and the place of its job's first task.
    DatasetVersionId, "dv", "a dataset version id";
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

/// The id of a key that signs tokens, the `kid` of their headers: 1 to 64 letters, digits, `_` and `-`. The
/// dispatcher's own keys are called by the thumbprint of their public half (RFC 7638).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

/// Why a text is not the id of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a key: expected 1 to 64 letters, digits, `_` and `-`")]
pub struct InvalidKeyId;

impl KeyId {
    /// The id as a header has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(unverified: &str) -> Result<Self, InvalidKeyId> {
        let ok = (1..=64).contains(&unverified.len())
            && unverified.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if ok { Ok(Self(unverified.into())) } else { Err(InvalidKeyId) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form! { KeyId }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_s_id_is_a_short_plain_text() {
        let kid: KeyId = "Xk_3-9".parse().unwrap();
        assert_eq!((kid.as_str(), kid.to_string()), ("Xk_3-9", "Xk_3-9".to_owned()));
        for bad in ["", "a b", "a/b", "../a", "a.p8", "ä", "a\0", &"a".repeat(65)] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn prefixed_ids_round_trip_and_do_not_mix() {
        let attempt: AttemptId = "a12".parse().unwrap();
        assert_eq!(attempt.get(), 12);
        assert_eq!(attempt.to_string(), "a12");
        for bad in ["12", "r12", "a", "a0", "a01", "a-1", "a+1", "a1 ", "A1", "a99999999999999999999"] {
            assert!(bad.parse::<AttemptId>().is_err(), "{bad} must be refused");
        }
        assert!("g7".parse::<DagVersionId>().is_err());
        assert!("gv7".parse::<DagId>().is_err());
    }

    #[test]
    fn a_task_s_id_tells_its_run_and_its_place() {
        let task: TaskId = "t17.3".parse().unwrap();
        assert_eq!(task, TaskId::in_run(RunId::from_db(17), 3).unwrap());
        assert_eq!((task.get(), task.run(), task.ordinal()), ((17 << 20) + 3, RunId::from_db(17), 3));
        assert_eq!(task.to_string(), "t17.3");
        let first: TaskId = "t17.0".parse().unwrap();
        assert_eq!(TaskId::span(RunId::from_db(17)), (first.get(), first.get() + (1 << 20) - 1));
        for bad in [
            "t17",
            "t17.",
            "t.3",
            "t0.3",
            "t17.03",
            "t17.00",
            "t17.-1",
            "t17.+3",
            "t17.3 ",
            "t17.3.1",
            "t17.1048576",
            "t17.4294967299",
            "t8796093022208.0",
            "dv17.3",
            "17.3",
        ] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad} must be refused");
        }
        assert!(TaskId::in_run(RunId::from_db(1), 1 << 20).is_none());
        assert!(TaskId::new(12).is_none(), "a number that lies in no run");
    }

    #[test]
    fn a_lease_token_never_shows_in_debug() {
        let token = LeaseToken::random();
        assert!(!format!("{token:?}").contains(&token.get().to_string()[..8]));
    }
}
