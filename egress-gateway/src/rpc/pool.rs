//! One pool: what may be asked of it, how often, and which of its providers is asked.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};
use trace_contracts::{Destination, Secret, WorkerId};
use trace_plane::Trust;

use super::{
    Error, answer,
    call::Batch,
    config::{self, Limits, Method},
    health::{Ended, Health, State},
    rate::{Bucket, Rate},
    upstream::{Failed, Upstream},
};
use crate::vetting::Vetter;

/// Providers that one request goes to, at most.
const MAX_TRIED: usize = 3;

/// One pool.
pub(super) struct Pool {
    methods: BTreeSet<Method>,
    repeatable: BTreeSet<Method>,
    limits: Limits,
    rate: Rate,
    caller_rate: Rate,
    room: Semaphore,
    upstreams: Vec<Upstream>,
    keys: Vec<Secret<String>>,
    health: Mutex<Vec<Health>>,
    buckets: Mutex<Buckets>,
}

/// What is left of the rates.
struct Buckets {
    all: Bucket,
    /// Callers are those of the configuration, so that there are few.
    callers: HashMap<WorkerId, Bucket>,
}

/// What became of a request.
pub(super) struct Outcome {
    /// What the caller gets.
    pub(super) answer: Answer,
    /// Each provider that it went to, in turn, and how that ended.
    pub(super) tried: Vec<Tried>,
    /// Bytes that came back from the last of them.
    pub(super) down: usize,
}

/// The caller's answer; `None` within where nobody waits for one.
pub(super) type Answer = Result<Option<String>, Unanswered>;

/// One provider that a request went to.
pub(super) struct Tried {
    /// Where it is.
    pub(super) destination: Destination,
    /// The address that answered.
    pub(super) address: Option<IpAddr>,
    /// In a word; stable.
    pub(super) ended: &'static str,
}

/// Nobody has answered in a way that can be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unanswered;

impl Pool {
    /// Reads the keys, and checks that the pool makes sense.
    pub(super) fn new(config: config::Pool, trust: &Trust, now: Instant) -> Result<Self, Error> {
        if config.upstreams.is_empty() || config.methods.is_empty() {
            return Err(Error::Empty);
        }
        if let Some(method) = config.repeatable.difference(&config.methods).next() {
            return Err(Error::Repeatable(method.clone()));
        }
        let batch = u32::try_from(config.limits.batch.get()).unwrap_or(u32::MAX);
        if config.rate.burst < batch || config.caller_rate.burst < batch {
            return Err(Error::Burst(batch));
        }
        let upstreams: Result<Vec<_>, Error> =
            config.upstreams.iter().map(|upstream| Upstream::new(upstream, trust)).collect();
        let upstreams = upstreams?;
        Ok(Self {
            methods: config.methods,
            repeatable: config.repeatable,
            limits: config.limits,
            rate: config.rate,
            caller_rate: config.caller_rate,
            room: Semaphore::new(config.limits.at_once.get()),
            keys: upstreams.iter().filter_map(Upstream::key).cloned().collect(),
            health: Mutex::new(vec![Health::default(); upstreams.len()]),
            upstreams,
            buckets: Mutex::new(Buckets { all: Bucket::full(config.rate, now), callers: HashMap::new() }),
        })
    }

    /// Bounds.
    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// The first call that is not on the list.
    pub(super) fn unlisted<'b>(&self, batch: &'b Batch<'_>) -> Option<&'b Method> {
        batch.calls().iter().map(|call| &call.method).find(|method| !self.methods.contains(method))
    }

    /// Counts these calls against the pool's rate and the caller's: against both, or against neither.
    ///
    /// # Errors
    /// How long it takes until they may be made.
    pub(super) fn count(&self, caller: WorkerId, calls: usize, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let own = buckets.callers.get(&caller).copied();
        let own = own.unwrap_or_else(|| Bucket::full(self.caller_rate, now));
        let own = own.without(calls, self.caller_rate, now)?;
        buckets.all = buckets.all.without(calls, self.rate, now)?;
        buckets.callers.insert(caller, own);
        Ok(())
    }

    /// Room for one request; none when too many are under way.
    pub(super) fn room(&self) -> Option<SemaphorePermit<'_>> {
        self.room.try_acquire().ok()
    }

    /// Asks one provider after the other until one answers: as far as that is safe, and in time.
    pub(super) async fn ask(&self, batch: &Batch<'_>, body: &Bytes, vetter: &Vetter) -> Outcome {
        let until = Instant::now() + self.limits.timeout();
        let is_repeatable = batch.calls().iter().all(|call| self.repeatable.contains(&call.method));
        let mut outcome = Outcome { answer: Err(Unanswered), tried: Vec::new(), down: 0 };
        let mut asked = Vec::new();
        while asked.len() < MAX_TRIED {
            let Some(turn) = self.choose(&asked, is_repeatable) else { return outcome };
            asked.push(turn.place);
            let upstream = &self.upstreams[turn.place];
            let mut tried = Tried { destination: upstream.destination().clone(), address: None, ended: "ok" };
            // What may be repeated leaves time for the others.
            let others = MAX_TRIED.min(self.upstreams.len()).saturating_sub(asked.len());
            let turns = if is_repeatable { u32::try_from(others + 1).unwrap_or(1) } else { 1 };
            let left = until.saturating_duration_since(turn.since) / turns;
            let answered =
                upstream.ask(body, vetter, (turn.since + left).into(), self.limits.answer_bytes).await;
            let may_go_on = match answered {
                Ok((answer, address)) => {
                    (tried.address, outcome.down) = (Some(address.ip()), answer.len());
                    match answer::compose(batch, &answer, &self.keys) {
                        Ok(answer) => {
                            turn.answered();
                            outcome.answer = Ok(answer);
                            outcome.tried.push(tried);
                            return outcome;
                        }
                        Err(bad) => {
                            tried.ended = bad.as_str();
                            is_repeatable
                        }
                    }
                }
                Err(failed) => {
                    tried.ended = failed.why().as_str();
                    is_repeatable || matches!(failed, Failed::Unsent(_))
                }
            };
            turn.failed();
            tracing::warn!(provider = %tried.destination, why = tried.ended, "a provider did not answer");
            outcome.tried.push(tried);
            if !may_go_on {
                return outcome;
            }
        }
        outcome
    }

    /// The provider that is asked now. One that may have come back is tried with what may be repeated, or where
    /// no other is left.
    fn choose(&self, asked: &[usize], is_repeatable: bool) -> Option<Turn<'_>> {
        let now = Instant::now();
        let mut health = self.health();
        let of = |state: State| {
            let health = &health;
            let are = (0..health.len())
                .filter(move |place| !asked.contains(place) && health[*place].state(now) == state);
            are.min_by(|a, b| health[*a].cost().total_cmp(&health[*b].cost()))
        };
        let (well, on_trial) = (of(State::Well), of(State::OnTrial));
        let place = if is_repeatable { on_trial.or(well) } else { well.or(on_trial) }?;
        health[place].begin(now);
        Some(Turn { pool: self, place, since: now, ended: Ended::Abandoned })
    }

    fn health(&self) -> MutexGuard<'_, Vec<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that goes to a provider. It is told of its end when this is dropped, whoever drops it.
struct Turn<'a> {
    pool: &'a Pool,
    place: usize,
    since: Instant,
    ended: Ended,
}

impl Turn<'_> {
    fn answered(mut self) {
        self.ended = Ended::Answered(self.since.elapsed());
    }

    fn failed(mut self) {
        self.ended = Ended::Failed;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pool.health()[self.place].end(self.ended, Instant::now());
    }
}
