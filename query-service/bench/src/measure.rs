//! Figures from samples.

use serde::Serialize;

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of the samples are at most this.
    pub p50: f64,
    /// All but one in a hundred are at most this.
    pub p99: f64,
}

impl Percentiles {
    /// Of at least one sample.
    pub fn of(samples: &[f64]) -> Self {
        Self { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99) }
    }

    /// What these are more than `other`.
    pub fn beyond(self, other: Self) -> Self {
        Self { p50: self.p50 - other.p50, p99: self.p99 - other.p99 }
    }

    /// For people: microseconds are enough.
    pub fn rounded(self) -> Self {
        Self { p50: round(self.p50, 1000.0), p99: round(self.p99, 1000.0) }
    }
}

/// The middle sample.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// To one part in `parts`.
pub fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(Percentiles::of(&samples), Percentiles { p50: 50.0, p99: 99.0 });
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
