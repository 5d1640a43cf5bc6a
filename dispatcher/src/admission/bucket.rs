//! A rate as a bucket of tokens: each task that starts takes one, and they come back evenly.

use crate::dag::spec::Rate;

/// A bucket at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    rate: Rate,
    tokens: f64,
}

impl Bucket {
    /// The bucket of a rate that had `tokens` so many seconds ago. It never holds more than the tasks of
    /// one period; a clock that went back adds nothing.
    #[must_use]
    pub fn after(rate: Rate, tokens: f64, seconds: f64) -> Self {
        let refilled = tokens + seconds.max(0.0) * per_second(rate);
        Self { rate, tokens: refilled.clamp(0.0, f64::from(rate.tasks)) }
    }

    /// Whole tokens in it.
    #[must_use]
    pub fn whole(&self) -> u32 {
        // The sum of many small refills may miss a whole number by a hair.
        (self.tokens + 1e-6).floor() as u32
    }

    /// The bucket with so many tokens less.
    #[must_use]
    pub fn without(self, taken: u32) -> Self {
        Self { tokens: (self.tokens - f64::from(taken)).max(0.0), ..self }
    }

    /// Its rate.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// What to remember of it.
    #[must_use]
    pub const fn tokens(&self) -> f64 {
        self.tokens
    }

    /// Seconds until it has a token; zero when it has one.
    #[must_use]
    pub fn next_in(&self) -> f64 {
        if self.whole() > 0 { 0.0 } else { (1.0 - self.tokens) / per_second(self.rate) }
    }
}

fn per_second(rate: Rate) -> f64 {
    f64::from(rate.tasks) / f64::from(rate.per.seconds())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dag::spec::Period;

    const TEN_A_MINUTE: Rate = Rate { tasks: 10, per: Period::Minute };

    #[test]
    fn tokens_come_back_evenly_and_never_pile_up() {
        let empty = Bucket::after(TEN_A_MINUTE, 10.0, 0.0).without(10);
        assert_eq!((empty.whole(), empty.next_in()), (0, 6.0));
        assert_eq!(Bucket::after(TEN_A_MINUTE, 0.0, 6.0).whole(), 1);
        assert_eq!(Bucket::after(TEN_A_MINUTE, 0.0, 3_600.0).whole(), 10);
        assert_eq!(Bucket::after(TEN_A_MINUTE, 3.0, -100.0).whole(), 3, "the clock went back");
        assert_eq!(Bucket::after(TEN_A_MINUTE, 5.0, 3.0).next_in(), 0.0);
    }

    proptest! {
        /// Whatever is taken when: in any time no more than a full bucket and what came back in it.
        #[test]
        fn no_more_is_taken_than_the_rate_gives(
            tasks in 1..50_u32,
            period in prop::sample::select(Period::ALL.to_vec()),
            pauses in prop::collection::vec(0.0..100.0_f64, 1..200),
        ) {
            let rate = Rate { tasks, per: period };
            let mut bucket = Bucket::after(rate, f64::from(tasks), 0.0);
            let (mut taken, mut elapsed) = (0, 0.0);
            for pause in pauses {
                bucket = Bucket::after(rate, bucket.tokens(), pause);
                elapsed += pause;
                taken += bucket.whole();
                bucket = bucket.without(bucket.whole());
                let most = f64::from(tasks) * (1.0 + elapsed / f64::from(period.seconds()));
                prop_assert!(f64::from(taken) <= most + 1e-3, "{taken} of {most}");
            }
        }

        /// Whoever waits as long as it says finds a token.
        #[test]
        fn the_next_token_is_there_when_it_is_said_to_be(tasks in 1..1_000_u32, tokens in 0.0..1.0_f64) {
            let rate = Rate { tasks, per: Period::Hour };
            let bucket = Bucket::after(rate, tokens, 0.0);
            prop_assert!(Bucket::after(rate, bucket.tokens(), bucket.next_in()).whole() >= 1);
        }
    }
}
