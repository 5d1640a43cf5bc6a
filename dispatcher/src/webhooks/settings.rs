//! How deliveries are sent, as an operator configures it.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

/// Times and counts of deliveries, and where the sealing key lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The file of the sealing key: 32 bytes, mode 0600, the same for all dispatchers of a database. Absent:
    /// `webhooks.seal` in the key folder, made when it is not there.
    pub sealing_key: Option<PathBuf>,
    /// The time before the second try, doubled for each further one, in milliseconds.
    pub first_retry_ms: u64,
    /// It grows no longer than this, and a receiver's `Retry-After` is believed no further.
    pub longest_retry_ms: u64,
    /// Tries after which a delivery is given up.
    pub max_tries: u32,
    /// Seconds after its event at which it is given up, however often it was tried.
    pub max_age_seconds: u64,
    /// After so many failures one after the other a receiver is left alone for a while.
    pub rest_after: u32,
    /// For this long, doubled with each further failure, in milliseconds.
    pub rest_ms: u64,
    /// And no longer.
    pub longest_rest_ms: u64,
    /// Deliveries that one receiver is sent at once.
    pub at_once: u32,
    /// How long a gateway has deliveries that it claimed, in milliseconds. It gives up sending after half of that.
    pub claim_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sealing_key: None,
            first_retry_ms: 5_000,
            longest_retry_ms: 3_600_000,
            max_tries: 30,
            max_age_seconds: 3 * 24 * 3_600,
            rest_after: 5,
            rest_ms: 30_000,
            longest_rest_ms: 600_000,
            at_once: 4,
            claim_ms: 40_000,
        }
    }
}

impl Settings {
    /// How long a gateway has what it claimed.
    #[must_use]
    pub const fn claim(&self) -> Duration {
        Duration::from_millis(self.claim_ms)
    }

    /// How long after an event its delivery is given up.
    #[must_use]
    pub const fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age_seconds)
    }
}
