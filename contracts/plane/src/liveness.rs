//! A capability dies with its attempt's lease. This is how a plane gets to know.
//!
//! The first time a plane sees an attempt it asks the dispatcher whether it lives. From then on it
//! keeps one long poll open for exactly the attempts it holds something for, so that the end of one
//! reaches it within a round trip; a plane that holds nothing asks nothing. A plane that can't reach
//! the dispatcher for longer than its bound believes nobody.

use std::{
    collections::{HashMap, HashSet},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use trace_contracts::{
    AttemptId, Capability, ErrorCode,
    wire::{limit, plane::LivenessRequest},
};
use trace_controls::{Protection, stands};

use crate::{PlaneClient, Refusal, Reply};

/// How long one poll of the feed waits for news.
const POLL_MS: u64 = 2_000;
/// Time between tries while the dispatcher is away.
const RETRY: Duration = Duration::from_millis(200);
/// An attempt that nothing is running for stays on the feed for this long, so that a task that asks
/// often is asked about once.
const LINGER: Duration = Duration::from_secs(5);
/// Attempts known to be over, remembered at most. Forgetting one costs a question.
const REMEMBERED_DEAD: usize = 100_000;

/// Longer than a fail-over of the dispatcher takes, and no longer.
pub const DEFAULT_BOUND: Duration = Duration::from_secs(10);

/// Knows which attempts live; cheap to clone.
#[derive(Clone)]
pub struct Liveness {
    inner: Arc<Inner>,
    _stop_feed: Arc<DropGuard>,
}

struct Inner {
    client: PlaneClient,
    bound: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    held: HashMap<AttemptId, Held>,
    dead: HashSet<AttemptId>,
    grown: bool,
}

struct Held {
    users: usize,
    used_at: Instant,
    /// When the question was asked that was last answered with "it lives". The answer may have been on
    /// its way for long, so it is the question that counts.
    asked_at: Instant,
    ended: CancellationToken,
}

/// The permit to act for an attempt: its capability was verified, and it was alive at the last word
/// from the dispatcher, which was no longer ago than the bound.
pub struct Live {
    capability: Arc<Capability>,
    ended: CancellationToken,
    inner: Arc<Inner>,
}

impl Liveness {
    /// A feed that believes the last word for [`DEFAULT_BOUND`]. Needs a running tokio runtime.
    #[must_use]
    pub fn new(client: PlaneClient) -> Self {
        Self::with_bound(client, DEFAULT_BOUND)
    }

    /// The same with another bound.
    #[must_use]
    pub fn with_bound(client: PlaneClient, bound: Duration) -> Self {
        let inner = Arc::new(Inner { client, bound, state: Mutex::default(), changed: Notify::new() });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow(Arc::downgrade(&inner))));
        Self { inner, _stop_feed: Arc::new(stop.drop_guard()) }
    }

    /// Admits a verified capability if its attempt lives.
    ///
    /// # Errors
    /// `revoked` when the attempt is over; `unavailable` when nobody can say.
    pub async fn admit(&self, capability: &Arc<Capability>) -> Reply<Live> {
        let attempt = capability.attempt();
        if !stands(Protection::LivingAttempt) {
            return Ok(self.inner.live(capability, CancellationToken::new()));
        }
        if let Some(verdict) = self.inner.known(attempt) {
            return verdict.map(|ended| self.inner.live(capability, ended));
        }
        let request = LivenessRequest { attempts: vec![attempt], wait_ms: 0 };
        let asked_at = Instant::now();
        let dead = self.inner.client.liveness(&request).await?.dead;
        let mut state = self.inner.state();
        if dead.contains(&attempt) {
            state.bury(attempt);
        }
        // The feed may have heard of its end while this answer was on its way.
        if state.dead.contains(&attempt) {
            return Err(over());
        }
        let ended = state.hold(attempt, asked_at);
        drop(state);
        self.inner.changed.notify_one();
        Ok(self.inner.live(capability, ended))
    }
}

impl Live {
    /// Cancelled when the attempt ends, or when the dispatcher has been away for longer than the
    /// bound: whatever runs for it ends then.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// What to answer once [`Live::ended`] has been cancelled.
    #[must_use]
    pub fn refusal() -> Refusal {
        over()
    }
}

impl Deref for Live {
    type Target = Capability;

    fn deref(&self) -> &Capability {
        &self.capability
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(held) = self.inner.state().held.get_mut(&self.capability.attempt()) {
            held.users = held.users.saturating_sub(1);
            held.used_at = Instant::now();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(self: &Arc<Self>, capability: &Arc<Capability>, ended: CancellationToken) -> Live {
        Live { capability: Arc::clone(capability), ended, inner: Arc::clone(self) }
    }

    /// What can be said without asking; holds the attempt when it lives.
    fn known(&self, attempt: AttemptId) -> Option<Reply<CancellationToken>> {
        let mut state = self.state();
        if state.dead.contains(&attempt) {
            return Some(Err(over()));
        }
        let asked_at = state.held.get(&attempt)?.asked_at;
        (asked_at.elapsed() < self.bound).then(|| Ok(state.hold(attempt, asked_at)))
    }

    /// Fails closed for what the last word of is older than the bound.
    fn expire(&self) {
        self.state().held.retain(|_, held| {
            let believed = held.asked_at.elapsed() < self.bound;
            if !believed {
                held.ended.cancel();
            }
            believed
        });
    }
}

impl State {
    fn hold(&mut self, attempt: AttemptId, asked_at: Instant) -> CancellationToken {
        let now = Instant::now();
        let grown = &mut self.grown;
        let held = self.held.entry(attempt).or_insert_with(|| {
            *grown = true;
            Held { users: 0, used_at: now, asked_at, ended: CancellationToken::new() }
        });
        held.asked_at = held.asked_at.max(asked_at);
        held.users += 1;
        held.used_at = now;
        held.ended.clone()
    }

    fn bury(&mut self, attempt: AttemptId) {
        if self.dead.len() >= REMEMBERED_DEAD {
            self.dead.clear();
        }
        self.dead.insert(attempt);
        if let Some(held) = self.held.remove(&attempt) {
            held.ended.cancel();
        }
    }

    /// The attempts to ask about, those first that were not asked about for longest, and whether some
    /// of them were never asked about in the feed. More than fit one question are asked about in turns.
    fn question(&mut self) -> (Vec<AttemptId>, Grown) {
        self.held.retain(|_, held| held.users > 0 || held.used_at.elapsed() < LINGER);
        let crowded = self.held.len() > limit::LIVENESS_ATTEMPTS;
        let grown = match (std::mem::take(&mut self.grown), crowded) {
            (_, true) => Grown::Beyond,
            (true, false) => Grown::Yes,
            (false, false) => Grown::No,
        };
        let mut attempts: Vec<AttemptId> = self.held.keys().copied().collect();
        if crowded {
            attempts.sort_unstable_by_key(|attempt| self.held[attempt].asked_at);
            attempts.truncate(limit::LIVENESS_ATTEMPTS);
        }
        (attempts, grown)
    }

    /// Takes the answer to a question about `attempts`.
    fn hear(&mut self, attempts: &[AttemptId], asked_at: Instant, dead: Vec<AttemptId>) {
        dead.into_iter().for_each(|attempt| self.bury(attempt));
        for attempt in attempts {
            if let Some(held) = self.held.get_mut(attempt) {
                held.asked_at = held.asked_at.max(asked_at);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Grown {
    /// By attempts that the feed has never asked about.
    Yes,
    No,
    /// Beyond what one question takes.
    Beyond,
}

/// The feed. A question about a set that has grown is answered at once and not interrupted, so that
/// a plane that admits all the time still hears; a question that waits is asked anew when the set
/// grows.
async fn follow(inner: Weak<Inner>) {
    let mut retry = tokio::time::interval(RETRY);
    retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while let Some(inner) = inner.upgrade() {
        let (attempts, grown) = inner.state().question();
        if attempts.is_empty() {
            inner.changed.notified().await;
            continue;
        }
        let wait_ms = if matches!(grown, Grown::No) { POLL_MS } else { 0 };
        let asked_at = Instant::now();
        let request = LivenessRequest { attempts, wait_ms };
        let reply = tokio::select! {
            biased;
            () = inner.changed.notified(), if wait_ms > 0 => continue,
            reply = tokio::time::timeout(inner.bound, inner.client.liveness(&request)) => reply,
        };
        match reply {
            Ok(Ok(reply)) => {
                inner.state().hear(&request.attempts, asked_at, reply.dead);
                inner.expire();
                if matches!(grown, Grown::Beyond) {
                    retry.tick().await;
                }
            }
            Ok(Err(_)) | Err(_) => {
                inner.state().grown = true;
                inner.expire();
                retry.tick().await;
            }
        }
    }
}

fn over() -> Refusal {
    Refusal::new(
        ErrorCode::Revoked,
        "the attempt behind this token is over: it ended, lost its lease or was cancelled",
    )
}
