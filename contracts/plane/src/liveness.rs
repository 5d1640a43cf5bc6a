//! A capability dies with its attempt's lease. This is how a plane gets to know.
//!
//! The first time a plane sees an attempt it asks the dispatcher whether it lives. From then on it
//! keeps one long poll open for exactly the attempts it holds something for, so that the end of one
//! reaches it within a round trip; a plane that holds nothing asks nothing. A plane that can't reach
//! the dispatcher for longer than its bound believes nobody. The same feed tells of keys that were
//! revoked and of users who were suspended.

use std::{
    collections::{HashMap, HashSet},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use trace_contracts::{
    AttemptId, Capability, ErrorCode, KeyId, UserId,
    wire::{
        limit,
        plane::{LivenessReply, LivenessRequest},
    },
};
use trace_controls::{Protection, stands};

use crate::{PlaneClient, Refusal, Reply};

/// How long one poll of the feed waits for news, at most. It is less where the bound is short, because the last
/// word counts from when it was asked for.
const POLL: Duration = Duration::from_secs(2);
/// Time between tries while the dispatcher is away.
const RETRY: Duration = Duration::from_millis(200);
/// An attempt that nothing is running for stays on the feed for this long, so that a task that asks
/// often is asked about once.
const LINGER: Duration = Duration::from_secs(5);
/// Attempts known to be over, remembered at most. Forgetting one costs a question.
const REMEMBERED_DEAD: usize = 100_000;
/// Revoked keys, remembered at most.
const REMEMBERED_KEYS: usize = 1_000;

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

/// On whose authority something runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    /// An attempt, by a token that this key signed.
    Attempt(AttemptId, KeyId),
    User(UserId),
}

#[derive(Default)]
struct State {
    held: HashMap<Holder, Held>,
    dead: HashSet<AttemptId>,
    revoked: HashSet<KeyId>,
    grown: bool,
}

struct Held {
    holds: usize,
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
    hold: Hold,
}

/// What runs while somebody has authority. Drop it when it has ended.
pub struct Hold {
    holder: Holder,
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

    /// Admits a verified capability if its attempt lives and its key is not revoked.
    ///
    /// # Errors
    /// `revoked` when the attempt is over or the key revoked; `unavailable` when nobody can say.
    pub async fn admit(&self, capability: &Arc<Capability>) -> Reply<Live> {
        let (attempt, kid) = (capability.attempt(), capability.kid());
        let live = |hold| Live { capability: Arc::clone(capability), hold };
        let holder = Holder::Attempt(attempt, kid.clone());
        if !stands(Protection::LivingAttempt) {
            return Ok(live(self.inner.holding(holder, CancellationToken::new())));
        }
        if let Some(verdict) = self.inner.known(&holder) {
            return verdict.map(|ended| live(self.inner.holding(holder, ended)));
        }
        let request = LivenessRequest {
            attempts: vec![attempt],
            keys: vec![kid.clone()],
            ..LivenessRequest::default()
        };
        let asked_at = Instant::now();
        let reply = self.inner.client.liveness(&request).await?;
        let mut state = self.inner.state();
        state.bury(&reply);
        // The feed may have heard of its end while this answer was on its way.
        if let Some(over) = state.is_over(&holder) {
            return Err(over);
        }
        let ended = state.hold(&holder, asked_at);
        drop(state);
        self.inner.changed.notify_one();
        Ok(live(self.inner.holding(holder, ended)))
    }

    /// Holds what runs for a user, whom the dispatcher has let in when it was asked at `asked_at`. It ends
    /// when the user is suspended.
    #[must_use]
    pub fn hold_user(&self, user: UserId, asked_at: Instant) -> Hold {
        let holder = Holder::User(user);
        let ended = self.inner.state().hold(&holder, asked_at);
        self.inner.changed.notify_one();
        self.inner.holding(holder, ended)
    }
}

impl Live {
    /// What ends when the attempt does.
    #[must_use]
    pub fn hold(&self) -> &Hold {
        &self.hold
    }

    /// The same, without the capability.
    #[must_use]
    pub fn into_hold(self) -> Hold {
        self.hold
    }

    /// See [`Hold::ended`].
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.hold.ended()
    }
}

impl Hold {
    /// Cancelled when the authority ends (the attempt is over, its key revoked, the user suspended), or
    /// when the dispatcher has been away for longer than the bound: whatever runs for it ends then.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// What to answer once [`Hold::ended`] has been cancelled.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match &self.holder {
            Holder::Attempt(..) => over(),
            Holder::User(_) => suspended(),
        }
    }
}

impl Deref for Live {
    type Target = Capability;

    fn deref(&self) -> &Capability {
        &self.capability
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(held) = self.inner.state().held.get_mut(&self.holder) {
            held.holds = held.holds.saturating_sub(1);
            held.used_at = Instant::now();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holding(self: &Arc<Self>, holder: Holder, ended: CancellationToken) -> Hold {
        Hold { holder, ended, inner: Arc::clone(self) }
    }

    /// What can be said without asking; holds for the holder when it lives.
    fn known(&self, holder: &Holder) -> Option<Reply<CancellationToken>> {
        let mut state = self.state();
        if let Some(over) = state.is_over(holder) {
            return Some(Err(over));
        }
        let asked_at = state.held.get(holder)?.asked_at;
        (asked_at.elapsed() < self.bound).then(|| Ok(state.hold(holder, asked_at)))
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
    /// Why nothing may run for it any more. A user may be let in again, and is not remembered.
    fn is_over(&self, holder: &Holder) -> Option<Refusal> {
        match holder {
            Holder::Attempt(_, kid) if self.revoked.contains(kid) => Some(revoked()),
            Holder::Attempt(attempt, _) if self.dead.contains(attempt) => Some(over()),
            Holder::Attempt(..) | Holder::User(_) => None,
        }
    }

    fn hold(&mut self, holder: &Holder, asked_at: Instant) -> CancellationToken {
        let now = Instant::now();
        let grown = &mut self.grown;
        let held = self.held.entry(holder.clone()).or_insert_with(|| {
            *grown = true;
            Held { holds: 0, used_at: now, asked_at, ended: CancellationToken::new() }
        });
        held.asked_at = held.asked_at.max(asked_at);
        held.holds += 1;
        held.used_at = now;
        held.ended.clone()
    }

    /// Ends what runs for those who have lost their authority, and remembers them.
    fn bury(&mut self, news: &LivenessReply) {
        if news.dead.is_empty() && news.revoked_keys.is_empty() && news.suspended_users.is_empty() {
            return;
        }
        if self.dead.len() >= REMEMBERED_DEAD {
            self.dead.clear();
        }
        if self.revoked.len() >= REMEMBERED_KEYS {
            self.revoked.clear();
        }
        self.dead.extend(&news.dead);
        self.revoked.extend(news.revoked_keys.iter().cloned());
        let (dead, revoked) = (&self.dead, &self.revoked);
        self.held.retain(|holder, held| {
            let over = match holder {
                Holder::Attempt(attempt, kid) => dead.contains(attempt) || revoked.contains(kid),
                Holder::User(user) => news.suspended_users.contains(user),
            };
            if over {
                held.ended.cancel();
            }
            !over
        });
    }

    /// Whom to ask about, those first who were not asked about for longest, and whether some of them
    /// were never asked about in the feed. More than fit one question are asked about in turns.
    fn question(&mut self) -> (Vec<Holder>, Grown) {
        self.held.retain(|_, held| held.holds > 0 || held.used_at.elapsed() < LINGER);
        let crowded = self.held.len() > limit::LIVENESS_ATTEMPTS;
        let grown = match (std::mem::take(&mut self.grown), crowded) {
            (_, true) => Grown::Beyond,
            (true, false) => Grown::Yes,
            (false, false) => Grown::No,
        };
        let mut holders: Vec<Holder> = self.held.keys().cloned().collect();
        if crowded {
            holders.sort_by_cached_key(|holder| self.held[holder].asked_at);
            holders.truncate(limit::LIVENESS_ATTEMPTS);
        }
        (holders, grown)
    }

    /// Takes the answer to a question about `holders`.
    fn hear(&mut self, holders: &[Holder], asked_at: Instant, reply: &LivenessReply) {
        self.bury(reply);
        for holder in holders {
            if let Some(held) = self.held.get_mut(holder) {
                held.asked_at = held.asked_at.max(asked_at);
            }
        }
    }
}

/// The question that asks about all of these.
fn request(holders: &[Holder], wait_ms: u64) -> LivenessRequest {
    let (mut attempts, mut keys, mut users) = (HashSet::new(), HashSet::new(), HashSet::new());
    for holder in holders {
        match holder {
            Holder::Attempt(attempt, kid) => {
                attempts.insert(*attempt);
                keys.insert(kid.clone());
            }
            Holder::User(user) => {
                users.insert(*user);
            }
        }
    }
    LivenessRequest {
        attempts: attempts.into_iter().collect(),
        keys: keys.into_iter().collect(),
        users: users.into_iter().collect(),
        wait_ms,
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
        let (holders, grown) = inner.state().question();
        if holders.is_empty() {
            inner.changed.notified().await;
            continue;
        }
        let wait = if matches!(grown, Grown::No) { POLL.min(inner.bound / 3) } else { Duration::ZERO };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or_default();
        let asked_at = Instant::now();
        let request = request(&holders, wait_ms);
        let reply = tokio::select! {
            biased;
            () = inner.changed.notified(), if wait_ms > 0 => continue,
            reply = tokio::time::timeout(inner.bound, inner.client.liveness(&request)) => reply,
        };
        match reply {
            Ok(Ok(reply)) => {
                inner.state().hear(&holders, asked_at, &reply);
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

fn revoked() -> Refusal {
    Refusal::new(ErrorCode::Revoked, "the key that signed this token was revoked")
}

fn suspended() -> Refusal {
    Refusal::new(ErrorCode::Forbidden, "your account is suspended, or nobody can say whether it is")
}
