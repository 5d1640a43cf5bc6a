//! The launch of an attempt in a container of its own: between the worker that starts it, the dispatcher,
//! and the runner inside.
//!
//! The worker asks for a ticket and passes it on. The runner shows the ticket as its bearer token, with a
//! nonce of its own in each body. What it reports afterwards it says as the code would: the worker believes
//! none of it beyond what code in a sandbox could bring about by itself.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    limit,
    worker::{Fence, LaunchSpec, LogStream},
};
use crate::{AttemptId, LaunchNonce, LaunchTicket, Name, Secret};

/// `POST /internal/launch/ticket`: a ticket for an attempt that the worker has leased. A second one replaces
/// the first for as long as nobody has redeemed that.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketRequest {
    /// The lease.
    pub fence: Fence,
}

/// A ticket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TicketReply {
    /// For the runner, and nobody else.
    pub ticket: LaunchTicket,
    /// It has to be redeemed by then, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// The same, from now on, in milliseconds.
    pub valid_ms: u64,
}

/// `POST /internal/launch/watch`: what the runner of an attempt has done, waiting until there is something new.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// The lease.
    pub fence: Fence,
    /// How far the caller knows it to be.
    pub stage: Stage,
    /// So many events from the first on were taken: they are dropped.
    pub taken: u64,
    /// Wait this long for another one, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
}

/// What a runner has reported.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WatchReply {
    /// How far it is.
    pub stage: Stage,
    /// The events after those that were taken, in order and without a gap.
    pub events: Vec<Event>,
}

/// How far a launch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nobody has redeemed the ticket yet.
    Ticketed,
    /// The runner has.
    Redeemed,
}

/// `POST /internal/launch/over`: which of these attempts are over, so that what still runs for them can be
/// stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverRequest {
    /// Up to [`limit::BATCH_ITEMS`].
    pub attempts: Vec<AttemptId>,
}

/// Those that are over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OverReply {
    /// In no order.
    pub over: Vec<AttemptId>,
}

/// `POST /v1/task/launch`, with the ticket as the bearer token. The same nonce again answers the same
/// order, with a fresh token; another one ends the attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedeemRequest {
    /// The runner's own.
    pub nonce: LaunchNonce,
}

/// All that a runner needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RedeemReply {
    /// The attempt.
    pub attempt: AttemptId,
    /// What to run.
    pub launch: LaunchSpec,
    /// The region of the object store.
    pub region: String,
    /// The attempt's capability, for the dispatcher's task routes.
    pub capability_token: Secret<String>,
    /// Where the bundle is read from, for code that has one. Whoever has the address can read it, for minutes.
    pub bundle: Option<Secret<String>>,
    /// Where the declared files are read from.
    pub files: BTreeMap<Name, Secret<String>>,
}

/// `POST /v1/task/launch/report`, with the ticket as the bearer token: what happened, in order. An empty
/// report asks whether the attempt still lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// The nonce that redeemed the ticket.
    pub nonce: LaunchNonce,
    /// The number of the first event, from 0; events sent again are dropped.
    pub first_seq: u64,
    /// Up to [`limit::REPORT_EVENTS`].
    pub events: Vec<Event>,
}

/// What a runner reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The code has printed something.
    Printed {
        /// Where.
        stream: LogStream,
        /// What, neither cut into lines nor masked.
        bytes: Printed,
    },
    /// Nothing of the code runs any more. The last event.
    Ended {
        /// How.
        how: RunnerExit,
    },
}

/// Bytes that code has printed, base64 on the wire, at most [`limit::PRINTED_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed(Vec<u8>);

impl Printed {
    /// The beginning of `bytes` as one event, and what is left of them.
    #[must_use]
    pub fn split(bytes: &[u8]) -> (Self, &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(limit::PRINTED_BYTES));
        (Self(first.to_vec()), rest)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Printed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Printed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let unverified = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(unverified).map_err(|_| de::Error::custom("expected base64"))?;
        if bytes.is_empty() || bytes.len() > limit::PRINTED_BYTES {
            return Err(de::Error::custom(format!("expected 1 to {} bytes", limit::PRINTED_BYTES)));
        }
        Ok(Self(bytes))
    }
}

/// How code ended in a container of its own, as its runner has seen it. There is nothing here that
/// the code could not bring about by itself: each way but success counts as a failure of the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case", deny_unknown_fields)]
pub enum RunnerExit {
    /// With status 0, and its outputs lie under its prefix.
    Succeeded,
    /// With another status.
    Status {
        /// From 1 to 255.
        status: i32,
    },
    /// By a signal.
    Signal {
        /// Such as 11 for a memory fault.
        signal: i32,
    },
    /// Killed at its time limit.
    Timeout,
    /// A process of it was killed for memory.
    Memory,
    /// The bundle or a file is missing, too large, or not what its hash says.
    Bundle {
        /// For people.
        detail: String,
    },
    /// Its outputs are not acceptable.
    Output {
        /// For people.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_comes_back_byte_for_byte() {
        let text = [&b"\xff\0\n"[..], &[b'x'; limit::PRINTED_BYTES]].concat();
        let (first, rest) = Printed::split(&text);
        assert_eq!((first.bytes().len(), rest.len()), (limit::PRINTED_BYTES, 3));
        let event = Event::Printed { stream: LogStream::Stdout, bytes: first };
        let wire = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&wire).unwrap(), event);
    }

    #[test]
    fn more_than_an_event_may_hold_is_refused() {
        let printed = |length: usize| {
            let bytes = BASE64_STANDARD.encode(vec![b'x'; length]);
            serde_json::from_str::<Event>(&format!(
                r#"{{"event":"printed","stream":"stdout","bytes":"{bytes}"}}"#
            ))
        };
        assert!(printed(limit::PRINTED_BYTES).is_ok());
        assert!(printed(limit::PRINTED_BYTES + 1).is_err() && printed(0).is_err());
        let unknown = r#"{"event":"ended","how":{"how":"lost_worker"}}"#;
        assert!(serde_json::from_str::<Event>(unknown).is_err(), "no end that would not count");
    }
}
