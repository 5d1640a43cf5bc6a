//! How an upstream has done lately, and whether it is asked. Pure: whoever calls says what time it is.

use std::time::{Duration, Instant};

/// After so many failures in a row an upstream is left alone.
const TOLERATED: u32 = 3;
/// How long, at first; twice as long each time that it fails again.
const REST: Duration = Duration::from_secs(1);
/// And no longer than that.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// What each failure since the last answer adds to the time that it is expected to take.
const PENALTY_MS: f64 = 1_000.0;
/// What the latest answer counts for in the average.
const WEIGHT: f64 = 0.2;

/// What is known of one upstream.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    /// Exponentially weighted, in milliseconds; 0 before the first answer, so that each is tried.
    average_ms: f64,
    failures: u32,
    rests_until: Option<Instant>,
    trial: Trial,
    at_once: u32,
}

/// Whether somebody is finding out if it has come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Trial {
    #[default]
    None,
    UnderWay,
}

/// Whether an upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// As any other.
    Well,
    /// Once, to see whether it has come back.
    OnTrial,
    /// Not now.
    Resting,
}

/// How a request to it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It answered, after this time.
    Answered(Duration),
    /// It did not, or with something that is no answer.
    Failed,
    /// Nobody waited for the end.
    Abandoned,
}

impl Health {
    /// Whether it is asked at this time.
    pub(super) fn state(&self, now: Instant) -> State {
        match (self.rests_until, self.trial) {
            (None, _) => State::Well,
            (Some(until), Trial::None) if until <= now => State::OnTrial,
            (Some(_), _) => State::Resting,
        }
    }

    /// What asking it costs, compared with others: the time that it is expected to take, times what it has to do.
    pub(super) fn cost(&self) -> f64 {
        let expected_ms = PENALTY_MS.mul_add(f64::from(self.failures), self.average_ms + 1.0);
        expected_ms * f64::from(self.at_once + 1)
    }

    /// A request goes to it.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.state(now) == State::OnTrial {
            self.trial = Trial::UnderWay;
        }
        self.at_once += 1;
    }

    /// A request to it has ended.
    pub(super) fn end(&mut self, ended: Ended, now: Instant) {
        self.at_once = self.at_once.saturating_sub(1);
        self.trial = Trial::None;
        match ended {
            Ended::Abandoned => {}
            Ended::Answered(took) => {
                let ms = took.as_secs_f64() * 1_000.0;
                self.average_ms = if self.average_ms == 0.0 {
                    ms
                } else {
                    WEIGHT.mul_add(ms - self.average_ms, self.average_ms)
                };
                self.failures = 0;
                self.rests_until = None;
            }
            Ended::Failed => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= TOLERATED {
                    let times = 2_u32.saturating_pow((self.failures - TOLERATED).min(16));
                    self.rests_until = Some(now + REST.saturating_mul(times).min(LONGEST_REST));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(health: &mut Health, now: Instant) {
        health.begin(now);
        health.end(Ended::Failed, now);
    }

    #[test]
    fn three_failures_in_a_row_make_it_rest_and_one_trial_brings_it_back() {
        let (mut health, start) = (Health::default(), Instant::now());
        failed(&mut health, start);
        failed(&mut health, start);
        assert_eq!(health.state(start), State::Well);
        failed(&mut health, start);
        assert_eq!(health.state(start), State::Resting);
        let later = start + REST;
        assert_eq!(health.state(later), State::OnTrial);
        health.begin(later);
        assert_eq!(health.state(later), State::Resting, "one tries, and nobody else");
        health.end(Ended::Answered(Duration::from_millis(5)), later);
        assert_eq!(health.state(later), State::Well);
        failed(&mut health, later);
        assert_eq!(health.state(later), State::Well, "the failures before do not count any more");
    }

    #[test]
    fn it_rests_longer_each_time_up_to_a_bound() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..10 {
            failed(&mut health, now);
            if let Some(until) = health.rests_until {
                rests.push(until.duration_since(now).as_secs());
                now = until;
            }
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn an_abandoned_trial_is_tried_by_somebody_else() {
        let (mut health, start) = (Health::default(), Instant::now());
        (0..3).for_each(|_| failed(&mut health, start));
        let later = start + REST;
        health.begin(later);
        health.end(Ended::Abandoned, later);
        assert_eq!(health.state(later), State::OnTrial);
    }

    #[test]
    fn the_slower_and_the_busier_cost_more() {
        let now = Instant::now();
        let answered = |ms: u64| {
            let mut health = Health::default();
            health.begin(now);
            health.end(Ended::Answered(Duration::from_millis(ms)), now);
            health
        };
        assert!(answered(10).cost() < answered(20).cost());
        let mut busy = answered(10);
        busy.begin(now);
        assert!(busy.cost() > answered(10).cost());
        let mut failing = answered(10);
        failed(&mut failing, now);
        assert!(failing.cost() > answered(900).cost());
    }
}
