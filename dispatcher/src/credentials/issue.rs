//! One attempt's sessions: minted once, handed out again while they are fresh, and forgotten with the
//! attempt.
//!
//! A task may ask as often as it likes, so that asking costs nobody anything: while an attempt's
//! sessions are minted, its other requests wait for them.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::join_all;
use tokio::sync::OwnedMutexGuard;
use trace_contracts::{AttemptId, KeyId, OrgId, S3Prefix, TaskId, wire::task::SessionCredentials};

use super::{
    CredentialMinter, Error, Packed, Rules, SessionKeys, SessionPolicy, SessionRequest, policy::MAX_SESSIONS,
};

/// Attempts that are remembered at most.
const MAX_ATTEMPTS: usize = 4096;

/// Tells the time of day. Tests wind their own.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Whose sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Whose data.
    pub org: OrgId,
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The key that signed the capability that asks.
    pub kid: KeyId,
}

/// What an attempt was given.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The sessions. The first one writes.
    pub sessions: Vec<SessionCredentials>,
    /// Folders of inputs that no session reaches: their objects are read by address.
    pub left: BTreeSet<S3Prefix>,
    /// Keys that sign those addresses and are never given to the task. There when something is left.
    pub signer: Option<SessionKeys>,
    /// From then on, new ones are minted.
    renew_at: DateTime<Utc>,
}

/// Mints sessions through the store's own way of doing that, and remembers them.
#[derive(Clone)]
pub struct Issuer {
    minter: Arc<dyn CredentialMinter>,
    duration: Duration,
    clock: Clock,
    slots: Arc<Mutex<HashMap<AttemptId, Slot>>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Issued>>>>;

/// The right to mint for an attempt, which one request at a time has.
pub struct Turn {
    slot: OwnedMutexGuard<Option<Arc<Issued>>>,
}

impl Issuer {
    /// Sessions of `minter` that hold for `duration`, or what the store makes of that.
    #[must_use]
    pub fn new(minter: Arc<dyn CredentialMinter>, duration: Duration, clock: Clock) -> Self {
        Self { minter, duration, clock, slots: Arc::default() }
    }

    /// What the store's sessions can be.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.minter.rules()
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Waits until no other request mints for this attempt.
    pub async fn turn(&self, attempt: AttemptId) -> Turn {
        let slot = {
            let mut slots = self.slots();
            if slots.len() >= MAX_ATTEMPTS && !slots.contains_key(&attempt) {
                make_room(&mut slots, self.now());
            }
            Arc::clone(slots.entry(attempt).or_default())
        };
        Turn { slot: slot.lock_owned().await }
    }

    /// What this attempt was given before, while it is fresh.
    #[must_use]
    pub fn fresh(&self, turn: &Turn) -> Option<Arc<Issued>> {
        turn.slot.as_ref().filter(|issued| self.now() < issued.renew_at).cloned()
    }

    /// Mints what was packed. A policy that the store finds too large is split, and what does not fit
    /// into [`MAX_SESSIONS`] then is left to addresses.
    ///
    /// # Errors
    /// See [`Error`]. All sessions are there or none is handed out.
    pub async fn mint(&self, turn: &mut Turn, holder: Holder, packed: Packed) -> Result<Arc<Issued>, Error> {
        let rules = self.rules();
        let asked_at = self.now();
        let Packed { sessions: mut waiting, mut left } = packed;
        let mut sessions = Vec::new();
        while !waiting.is_empty() {
            let results = join_all(waiting.iter().map(|policy| self.one(&holder, policy, &rules))).await;
            let mut smaller = Vec::new();
            for (policy, result) in waiting.drain(..).zip(results) {
                match (result, policy.halves(&rules.names)) {
                    (Ok(keys), _) => sessions.push(credentials(keys, policy)),
                    (Err(Error::PolicyTooLarge { .. }), Some((first, second))) => {
                        smaller.extend([first, second])
                    }
                    (Err(Error::PolicyTooLarge { .. }), None) if policy.write.is_empty() => {
                        left.extend(policy.read);
                    }
                    (Err(error), _) => return Err(error),
                }
            }
            waiting = within(MAX_SESSIONS - sessions.len().min(MAX_SESSIONS), smaller, &mut left);
        }
        sessions.sort_by_key(|session| session.write.is_empty());
        let signer = match left.is_empty() {
            true => None,
            false => Some(self.signer(&holder, &left, &rules).await?),
        };
        let ends = sessions.iter().map(|session| session.expires_at);
        let end = ends.chain(signer.as_ref().map(|keys| keys.expires_at)).min().unwrap_or(asked_at);
        let issued = Arc::new(Issued { sessions, left, signer, renew_at: asked_at + (end - asked_at) / 2 });
        *turn.slot = Some(Arc::clone(&issued));
        Ok(issued)
    }

    async fn one(
        &self,
        holder: &Holder,
        policy: &SessionPolicy,
        rules: &Rules,
    ) -> Result<SessionKeys, Error> {
        let Holder { org, task, attempt, kid } = holder.clone();
        let duration = rules.within(self.duration);
        self.minter.mint(SessionRequest { org, task, attempt, kid, policy: policy.clone(), duration }).await
    }

    /// Keys that read all of the org's data in the buckets concerned. They sign addresses of single
    /// objects here and go nowhere.
    async fn signer(
        &self,
        holder: &Holder,
        left: &BTreeSet<S3Prefix>,
        rules: &Rules,
    ) -> Result<SessionKeys, Error> {
        let buckets: BTreeSet<&str> = left.iter().map(S3Prefix::bucket).collect();
        let folder = |bucket| format!("s3://{bucket}/data/{}/", holder.org).parse();
        let read: Result<Vec<S3Prefix>, _> = buckets.into_iter().map(folder).collect();
        let read = read
            .map_err(|error: trace_contracts::location::InvalidLocation| Error::Setup(error.to_string()))?;
        self.one(holder, &SessionPolicy::new(&rules.names, read, Vec::new()), rules).await
    }

    /// Forgets an attempt, and ends its sessions where the store can.
    ///
    /// # Errors
    /// See [`CredentialMinter::revoke`].
    pub async fn revoke(&self, attempt: AttemptId) -> Result<(), Error> {
        self.slots().remove(&attempt);
        self.minter.revoke(attempt).await
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<AttemptId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first `room` policies; the folders of the others are left. What the attempt writes is in the
/// first of them if in any.
fn within(
    room: usize,
    mut policies: Vec<SessionPolicy>,
    left: &mut BTreeSet<S3Prefix>,
) -> Vec<SessionPolicy> {
    policies.sort_by_key(|policy| policy.write.is_empty());
    for beyond in policies.split_off(room.min(policies.len())) {
        left.extend(beyond.read);
    }
    policies
}

/// Forgets what has to be minted anew anyway, or else something. Whoever holds a slot keeps it.
fn make_room(slots: &mut HashMap<AttemptId, Slot>, now: DateTime<Utc>) {
    let is_fresh = |slot: &Slot| {
        slot.try_lock().map_or(true, |issued| issued.as_ref().is_some_and(|issued| now < issued.renew_at))
    };
    slots.retain(|_, slot| is_fresh(slot));
    if slots.len() >= MAX_ATTEMPTS
        && let Some(any) = slots.keys().next().copied()
    {
        slots.remove(&any);
    }
}

fn credentials(keys: SessionKeys, policy: SessionPolicy) -> SessionCredentials {
    SessionCredentials {
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        session_token: keys.session_token,
        expires_at: keys.expires_at,
        read: policy.read,
        write: policy.write,
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("duration", &self.duration).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
