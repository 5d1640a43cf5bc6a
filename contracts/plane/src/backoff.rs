//! Waiting between tries.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, timeout};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double from 50 ms to 5 s, each shortened by chance by up to a half, so that many
/// wrappers do not come back at the same moment.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// How long to wait this time.
    pub fn step(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Waits. Time itself is what is waited for: nothing tells when a peer is back.
    pub async fn pause(&mut self) {
        let _elapsed = timeout(self.step(), std::future::pending::<()>()).await;
    }
}

/// How long a worker tries again what fails because the dispatcher is away: longer than one takes to
/// restart, and shorter than a lease lives without a heartbeat.
pub const DISPATCHER_AWAY: Duration = Duration::from_secs(30);

/// Pauses between tries, until a time is up.
#[derive(Debug)]
pub struct Retrying {
    backoff: Backoff,
    until: Instant,
}

impl Retrying {
    /// Tries from now on, for this long.
    #[must_use]
    pub fn new(time: Duration) -> Self {
        Self { backoff: Backoff::default(), until: Instant::now() + time }
    }

    /// Pauses before another try. False at once when the time is up.
    pub async fn again(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        self.backoff.pause().await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tries_end_with_their_time_and_not_before() {
        let time = Duration::from_millis(200);
        let mut retrying = Retrying::new(time);
        let begun = Instant::now();
        let mut tries = 0;
        while retrying.again().await {
            tries += 1;
        }
        assert!(begun.elapsed() >= time);
        assert!(tries >= 2, "50 and 100 ms at most fit before the time is up");
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            assert!(backoff.step() <= LONGEST);
        }
        assert!(backoff.step() >= LONGEST / 2);
        assert!(Backoff::default().step() <= FIRST);
    }
}
