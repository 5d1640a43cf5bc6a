//! Percentiles of what was measured.

use std::time::Duration;

use serde::Serialize;

/// Measured times, in no order.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

/// The median and the slow end, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half were faster.
    pub p50: f64,
    /// One in a hundred was slower.
    pub p99: f64,
}

/// The same with the slowest of all, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half were faster.
    pub p50: f64,
    /// One in a hundred was slower.
    pub p99: f64,
    /// None was slower.
    pub max: f64,
    /// How many there are.
    pub samples: usize,
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The percentiles, by the nearest rank; `None` when nothing was measured.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        Some(Percentiles { p50: rank(&sorted, 50)?, p99: rank(&sorted, 99)? })
    }

    /// The percentiles and the slowest; `None` when nothing was measured.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        let Percentiles { p50, p99 } = self.percentiles()?;
        let max = self.0.iter().max().copied().map(milliseconds)?;
        Some(Spread { p50, p99, max, samples: self.0.len() })
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

fn rank(sorted: &[Duration], percent: usize) -> Option<f64> {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).map(|sample| milliseconds(*sample))
}

/// The middle one; not a number when there is none.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// In milliseconds, to the microsecond.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1000.0)
}

/// To three places: more would be noise.
#[must_use]
pub fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let samples: Samples = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(samples.percentiles(), Some(Percentiles { p50: 100.0, p99: 198.0 }));
        let spread = Spread { p50: 100.0, p99: 198.0, max: 200.0, samples: 200 };
        assert_eq!(samples.spread(), Some(spread));
        let one: Samples = [Duration::from_micros(1500)].into_iter().collect();
        assert_eq!(one.percentiles(), Some(Percentiles { p50: 1.5, p99: 1.5 }));
        assert_eq!(Samples::default().percentiles(), None);
    }
}
