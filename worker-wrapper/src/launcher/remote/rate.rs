//! How fast tasks are started: Fargate refuses what is faster, and counts the refusals of an account
//! together.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Launches of so much time may come at once after a rest.
const BURST: Duration = Duration::from_secs(2);

/// Turns at so many a second.
#[derive(Debug)]
pub(in crate::launcher) struct Rate {
    interval: Duration,
    /// When the next turn would be without a burst.
    next: Mutex<Instant>,
}

impl Rate {
    pub(in crate::launcher) fn new(per_second: NonZeroU32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.get(), next: Mutex::new(Instant::now() - BURST) }
    }

    /// Waits for a turn.
    pub(in crate::launcher) async fn turn(&self) {
        sleep_until(self.take(Instant::now())).await;
    }

    /// When the turn is.
    fn take(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(now - BURST);
        *next = turn + self.interval;
        turn.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_the_rate_after_a_burst() {
        let rate = Rate::new(NonZeroU32::new(10).unwrap());
        let now = Instant::now();
        let turns: Vec<Duration> = (0..60).map(|_| rate.take(now) - now).collect();
        assert_eq!(
            turns.iter().filter(|turn| turn.is_zero()).count(),
            21,
            "two seconds' worth, and this one"
        );
        assert_eq!(turns[59] - turns[49], Duration::from_secs(1));
        let later = now + Duration::from_secs(100);
        assert_eq!(rate.take(later), later, "a rest is not saved up");
        assert!((0..30).map(|_| rate.take(later)).last().unwrap() > later);
    }
}
