//! What happens to single requests and messages on their way, as a seed says, and how often it did.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{dice::Dice, plan::Rates};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFate {
    /// Nothing.
    Passes,
    /// Its connection is cut before anybody sees it.
    Cut,
    /// It is carried out; the answer is lost with the connection.
    ReplyLost,
    /// It is passed on late.
    Late(Duration),
    /// The answer is passed on late.
    ReplyLate(Duration),
    /// It is sent to both dispatchers, at the same time.
    Twice,
}

/// What happens to a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeFate {
    /// Nothing.
    Passes,
    /// It never comes.
    Lost,
    /// It comes twice.
    Twice,
    /// It comes later, after others.
    Late(Duration),
}

/// Decides fates until it is calm.
#[derive(Debug)]
pub struct Weather(Mutex<State>);

#[derive(Debug)]
struct State {
    rates: Rates,
    http: Dice,
    commits: Dice,
    wakes: Dice,
    counts: BTreeMap<&'static str, u64>,
}

impl Weather {
    /// The weather of a seed. Nothing happens before [`begin`](Self::begin).
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(State {
            rates: Rates::CALM,
            http: Dice::new(seed, "http"),
            commits: Dice::new(seed, "commits"),
            wakes: Dice::new(seed, "wakes"),
            counts: BTreeMap::new(),
        }))
    }

    /// From now on.
    pub fn begin(&self, rates: Rates) {
        self.state().rates = rates;
    }

    /// Nothing happens any more.
    pub fn calm(&self) {
        self.state().rates = Rates::CALM;
    }

    /// Counts something that happened.
    pub fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    /// How often what happened.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state().counts.clone()
    }

    /// The fate of the next request.
    pub fn request(&self) -> RequestFate {
        let mut state = self.state();
        let Rates { http_cut, http_reply_lost, http_late, http_twice, .. } = state.rates;
        let roll = state.http.between(0, 1_000);
        let late = state.http.millis(1, 800);
        let (before, lost) = (http_cut, http_cut + http_reply_lost);
        let (twice, delayed) = (lost + http_twice, lost + http_twice + http_late);
        let (fate, name) = match roll {
            _ if roll < before => (RequestFate::Cut, "request_cut"),
            _ if roll < lost => (RequestFate::ReplyLost, "reply_lost"),
            _ if roll < twice => (RequestFate::Twice, "request_twice"),
            _ if roll < delayed && roll.is_multiple_of(2) => (RequestFate::Late(late), "request_late"),
            _ if roll < delayed => (RequestFate::ReplyLate(late), "reply_late"),
            _ => return RequestFate::Passes,
        };
        *state.counts.entry(name).or_default() += 1;
        fate
    }

    /// Whether the answer of the next commit is lost.
    pub fn loses_commit_reply(&self) -> bool {
        let mut state = self.state();
        let rate = state.rates.commit_reply_lost;
        let lost = state.commits.per_mille(rate);
        if lost {
            *state.counts.entry("commit_reply_lost").or_default() += 1;
        }
        lost
    }

    /// The fate of the next wake-up.
    pub fn wake(&self) -> WakeFate {
        let mut state = self.state();
        let Rates { wake_lost, wake_twice, wake_late, .. } = state.rates;
        let roll = state.wakes.between(0, 1_000);
        let late = state.wakes.millis(5, 1_500);
        let (fate, name) = match roll {
            _ if roll < wake_lost => (WakeFate::Lost, "wake_lost"),
            _ if roll < wake_lost + wake_twice => (WakeFate::Twice, "wake_twice"),
            _ if roll < wake_lost + wake_twice + wake_late => (WakeFate::Late(late), "wake_late"),
            _ => return WakeFate::Passes,
        };
        *state.counts.entry(name).or_default() += 1;
        fate
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_in_calm_and_everything_in_a_storm() {
        let weather = Weather::new(3);
        assert!((0..1_000).all(|_| weather.request() == RequestFate::Passes));
        assert!((0..1_000).all(|_| weather.wake() == WakeFate::Passes && !weather.loses_commit_reply()));
        assert!(weather.counts().is_empty());
        weather.begin(Rates {
            http_cut: 100,
            http_reply_lost: 100,
            http_late: 100,
            http_twice: 100,
            commit_reply_lost: 100,
            wake_lost: 100,
            wake_twice: 100,
            wake_late: 100,
        });
        for _ in 0..1_000 {
            weather.request();
            weather.wake();
            weather.loses_commit_reply();
        }
        assert_eq!(weather.counts().len(), 9, "{:?}", weather.counts());
    }
}
