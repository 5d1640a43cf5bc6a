//! Waiting between tries.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::timeout;

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

#[cfg(test)]
mod tests {
    use super::*;

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
