//! How many calls in which time: a bucket that fills steadily. Pure: whoever calls says what time it is.

use std::time::{Duration, Instant};

use serde::Deserialize;

/// So many calls a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls a second, in the long run.
    pub per_second: u32,
    /// Calls at once after a pause; as many as one batch may have, at least.
    pub burst: u32,
}

/// What is left of a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self { left: f64::from(rate.burst), at: now }
    }

    /// What would be left after so many calls; or how long it takes until they may be made.
    pub(super) fn without(self, calls: usize, rate: Rate, now: Instant) -> Result<Self, Duration> {
        let calls = u32::try_from(calls).map_or(f64::INFINITY, f64::from);
        let per_second = f64::from(rate.per_second);
        let filled = per_second.mul_add(now.saturating_duration_since(self.at).as_secs_f64(), self.left);
        let left = filled.min(f64::from(rate.burst)) - calls;
        if left >= 0.0 {
            return Ok(Self { left, at: now });
        }
        Err(Duration::try_from_secs_f64(-left / per_second).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_as_it_fills() {
        let (rate, start) = (Rate { per_second: 10, burst: 20 }, Instant::now());
        let empty = Bucket::full(rate, start).without(20, rate, start).unwrap();
        let wait = empty.without(5, rate, start).unwrap_err();
        assert_eq!(wait.as_millis(), 500);
        assert!(empty.without(5, rate, start + Duration::from_millis(499)).is_err());
        let later = empty.without(5, rate, start + Duration::from_millis(501)).unwrap();
        assert!(later.without(1, rate, start + Duration::from_millis(501)).is_err());
        let rested = later.without(20, rate, start + Duration::from_secs(3_600)).unwrap();
        assert!(
            rested.without(1, rate, start + Duration::from_secs(3_600)).is_err(),
            "no more than the burst"
        );
    }

    #[test]
    fn what_never_fits_is_refused_for_ever() {
        let (rate, start) = (Rate { per_second: 10, burst: 20 }, Instant::now());
        let full = Bucket::full(rate, start);
        assert!(full.without(21, rate, start + Duration::from_secs(1_000_000)).is_err());
        let none = Rate { per_second: 0, burst: 1 };
        let empty = Bucket::full(none, start).without(1, none, start).unwrap();
        assert_eq!(empty.without(1, none, start).unwrap_err(), Duration::MAX);
    }
}
