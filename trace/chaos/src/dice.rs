//! Chance that a seed decides: the same seed rolls the same numbers, on every machine.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// One stream of numbers of a seed. Streams of different names do not influence each other, so that
/// one more roll in the proxies does not move every fault.
#[derive(Debug)]
pub struct Dice(StdRng);

impl Dice {
    /// The stream of this name.
    #[must_use]
    pub fn new(seed: u64, stream: &str) -> Self {
        // FNV-1a: any fixed function of the name does.
        let name = stream.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(StdRng::seed_from_u64(seed ^ name))
    }

    /// From `low` up to, not including, `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..high)
    }

    /// As [`between`](Self::between), in milliseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True this many times in a thousand.
    pub fn per_mille(&mut self, rate: u64) -> bool {
        self.between(0, 1000) < rate
    }

    /// One of these; there must be one.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())]
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_it_all_and_streams_are_apart() {
        let roll = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            (0..8).map(|_| dice.between(0, 1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(roll(7, "faults"), roll(7, "faults"));
        assert_ne!(roll(7, "faults"), roll(8, "faults"));
        assert_ne!(roll(7, "faults"), roll(7, "proxy"));
    }
}
