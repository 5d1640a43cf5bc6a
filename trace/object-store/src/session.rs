//! Sessions: short-lived keys of one attempt, limited by a policy. They do here what STS does in
//! AWS, and end earlier: with the attempt.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use trace_contracts::{AttemptId, KeyId, OrgId, Secret, TaskId};
use trace_controls::{Protection, stands};

use super::{keys, policy, policy::Policy};

/// The longest session.
pub const MAX_DURATION: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions kept at most, those that ended a short while ago included.
const MAX_SESSIONS: usize = 100_000;

/// How long what ended is remembered, so that its user is told why and can't get new keys by a race.
const REMEMBER: TimeDelta = TimeDelta::minutes(15);

/// Tells the time of day. Tests wind their own.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What a session is to be.
#[derive(Debug, Clone)]
pub struct MintRequest {
    /// Whose data.
    pub org: OrgId,
    /// The task, for the audit log.
    pub task: TaskId,
    /// The attempt that the session lives and dies with.
    pub attempt: AttemptId,
    /// The key that signed the capability it was asked for with, for the audit log.
    pub kid: KeyId,
    /// The session policy, as STS would get it.
    pub policy_json: String,
    /// How long the keys are good for, at most [`MAX_DURATION`].
    pub duration: Duration,
}

/// The keys of a session.
#[derive(Debug, Clone)]
pub struct SessionKeys {
    /// `ASIA…`
    pub access_key_id: String,
    /// The secret to sign with.
    pub secret_access_key: Secret<String>,
    /// Goes with every request, as `x-amz-security-token`.
    pub session_token: Secret<String>,
    /// From then on the keys are refused.
    pub expires_at: DateTime<Utc>,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The policy.
    #[error(transparent)]
    Policy(#[from] policy::Error),
    /// The duration.
    #[error("a session lasts from a second to {} hours", MAX_DURATION.as_secs() / 3600)]
    Duration,
    /// The attempt was revoked before.
    #[error("the attempt {0} is over: it gets no new keys")]
    AttemptOver(AttemptId),
    /// Too many at once.
    #[error("{MAX_SESSIONS} sessions are open; try again when some have expired")]
    TooMany,
}

/// Why keys are not good any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Their time is up.
    #[error("the session has expired: ask for new credentials")]
    Expired,
    /// The attempt is over.
    #[error("the attempt behind this session is over")]
    Revoked,
}

/// One session.
pub struct Session {
    /// Whose data.
    pub org: OrgId,
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The key that signed the capability it was asked for with.
    pub kid: KeyId,
    /// What it may do.
    pub policy: Policy,
    /// Requests at the same time; more are asked to slow down.
    pub slots: Arc<Semaphore>,
    secret: Secret<String>,
    token: Secret<String>,
    expires_at: DateTime<Utc>,
    revoked: CancellationToken,
    clock: Clock,
}

impl Session {
    /// Whether the session is still good.
    ///
    /// # Errors
    /// When it is not.
    pub fn alive(&self) -> Result<(), Ended> {
        if !stands(Protection::LivingAttempt) {
            Ok(())
        } else if self.revoked.is_cancelled() {
            Err(Ended::Revoked)
        } else if (self.clock)() >= self.expires_at {
            Err(Ended::Expired)
        } else {
            Ok(())
        }
    }

    /// Cancelled once the attempt is over.
    #[must_use]
    pub fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    /// Whether this is the session's token; takes the same time for every wrong one of its length.
    #[must_use]
    pub fn is_token(&self, unverified: &str) -> bool {
        let token = self.token.expose().as_bytes();
        aws_lc_rs::constant_time::verify_slices_are_equal(token, unverified.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("attempt", &self.attempt)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// All sessions. Cheap to clone; every clone is the same table.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Mutex<Table>>,
    clock: Clock,
    requests_at_once: usize,
}

#[derive(Default)]
struct Table {
    by_key: HashMap<String, Arc<Session>>,
    over: HashMap<AttemptId, DateTime<Utc>>,
}

impl Sessions {
    /// An empty table. Each session may have `requests_at_once` requests in flight.
    #[must_use]
    pub fn new(clock: Clock, requests_at_once: usize) -> Self {
        Self { inner: Arc::default(), clock, requests_at_once }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// When the policy or the duration is not valid, the attempt is over, or the table is full.
    pub fn mint(&self, request: MintRequest) -> Result<SessionKeys, Error> {
        let policy = Policy::parse(&request.policy_json)?;
        if request.duration < Duration::from_secs(1) || request.duration > MAX_DURATION {
            return Err(Error::Duration);
        }
        let now = (self.clock)();
        let keys = SessionKeys {
            access_key_id: keys::access_key_id("ASIA"),
            secret_access_key: keys::secret(30),
            session_token: keys::secret(48),
            expires_at: now + TimeDelta::from_std(request.duration).map_err(|_| Error::Duration)?,
        };
        let session = self.session(&request, policy, &keys);
        let mut table = self.table();
        if table.over.contains_key(&request.attempt) {
            return Err(Error::AttemptOver(request.attempt));
        }
        table.make_room(now)?;
        table.by_key.insert(keys.access_key_id.clone(), Arc::new(session));
        Ok(keys)
    }

    fn session(&self, request: &MintRequest, policy: Policy, keys: &SessionKeys) -> Session {
        Session {
            org: request.org,
            task: request.task,
            attempt: request.attempt,
            kid: request.kid.clone(),
            policy,
            slots: Arc::new(Semaphore::new(self.requests_at_once)),
            secret: keys.secret_access_key.clone(),
            token: keys.session_token.clone(),
            expires_at: keys.expires_at,
            revoked: CancellationToken::new(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Ends every session of an attempt, what is in flight included, and refuses it new ones.
    pub fn revoke(&self, attempt: AttemptId) {
        let now = (self.clock)();
        let mut table = self.table();
        table.over.insert(attempt, now);
        table.forget(now);
        for session in table.by_key.values().filter(|session| session.attempt == attempt) {
            session.revoked.cancel();
        }
    }

    /// The session of an access key; one that ended is still found for a while.
    #[must_use]
    pub fn find(&self, access_key_id: &str) -> Option<Arc<Session>> {
        self.table().by_key.get(access_key_id).cloned()
    }

    /// The secret that requests of this access key are signed with.
    pub(super) fn secret_of(&self, access_key_id: &str) -> Option<Secret<String>> {
        self.find(access_key_id).map(|session| session.secret.clone())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn make_room(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        if self.by_key.len() >= MAX_SESSIONS {
            self.forget(now);
        }
        if self.by_key.len() < MAX_SESSIONS { Ok(()) } else { Err(Error::TooMany) }
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        self.over.retain(|_, since| now - *since < REMEMBER);
        self.by_key.retain(|_, session| now - session.expires_at < REMEMBER);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const POLICY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::trace/a/*"}}"#;

    fn request(attempt: i64, duration: Duration) -> MintRequest {
        MintRequest {
            org: OrgId::from_db(1),
            task: TaskId::from_db((1 << 20) + 1),
            attempt: AttemptId::from_db(attempt),
            kid: "k1".parse().unwrap(),
            policy_json: POLICY.to_owned(),
            duration,
        }
    }

    /// A table, and the seconds that its clock shows past a fixed time.
    fn table() -> (Sessions, Arc<AtomicI64>) {
        let seconds = Arc::new(AtomicI64::new(0));
        let shown = Arc::clone(&seconds);
        let clock: Clock =
            Arc::new(move || DateTime::UNIX_EPOCH + TimeDelta::seconds(shown.load(Ordering::SeqCst)));
        (Sessions::new(clock, 4), seconds)
    }

    #[test]
    fn a_session_expires_to_the_second() {
        let (sessions, seconds) = table();
        let keys = sessions.mint(request(1, Duration::from_secs(60))).unwrap();
        let session = sessions.find(&keys.access_key_id).unwrap();
        seconds.store(59, Ordering::SeqCst);
        assert_eq!(session.alive(), Ok(()));
        seconds.store(60, Ordering::SeqCst);
        assert_eq!(session.alive(), Err(Ended::Expired));
    }

    #[test]
    fn revocation_ends_every_session_of_the_attempt_and_no_other() {
        let (sessions, _) = table();
        let minute = Duration::from_secs(60);
        let first = sessions.mint(request(1, minute)).unwrap();
        let second = sessions.mint(request(1, minute)).unwrap();
        let other = sessions.mint(request(10, minute)).unwrap();
        sessions.revoke(AttemptId::from_db(1));
        for keys in [&first, &second] {
            assert_eq!(sessions.find(&keys.access_key_id).unwrap().alive(), Err(Ended::Revoked));
        }
        assert_eq!(sessions.find(&other.access_key_id).unwrap().alive(), Ok(()));
        let again = sessions.mint(request(1, minute));
        assert_eq!(again.unwrap_err(), Error::AttemptOver(AttemptId::from_db(1)));
    }

    #[test]
    fn what_ended_is_forgotten_after_a_while() {
        let (sessions, seconds) = table();
        let keys = sessions.mint(request(1, Duration::from_secs(60))).unwrap();
        sessions.revoke(AttemptId::from_db(1));
        assert!(sessions.find(&keys.access_key_id).is_some());
        seconds.store(60 + REMEMBER.num_seconds(), Ordering::SeqCst);
        sessions.revoke(AttemptId::from_db(2));
        assert!(sessions.find(&keys.access_key_id).is_none());
    }

    #[test]
    fn only_sensible_sessions_are_minted() {
        let (sessions, _) = table();
        for duration in [Duration::ZERO, Duration::from_millis(999), MAX_DURATION + Duration::from_secs(1)] {
            assert_eq!(sessions.mint(request(1, duration)).unwrap_err(), Error::Duration);
        }
        let mut bad = request(1, Duration::from_secs(60));
        bad.policy_json = "{}".to_owned();
        assert!(matches!(sessions.mint(bad), Err(Error::Policy(_))));
    }

    #[test]
    fn tokens_and_keys_look_like_those_of_aws_and_stay_hidden() {
        let (sessions, _) = table();
        let keys = sessions.mint(request(1, Duration::from_secs(60))).unwrap();
        assert!(keys.access_key_id.starts_with("ASIA") && keys.access_key_id.len() == 20);
        assert_eq!(keys.secret_access_key.expose().len(), 40);
        let session = sessions.find(&keys.access_key_id).unwrap();
        assert!(session.is_token(keys.session_token.expose()));
        assert!(!session.is_token(""));
        assert!(!session.is_token(&keys.session_token.expose()[1..]));
        let shown = format!("{keys:?}{session:?}");
        assert!(
            !shown.contains(keys.session_token.expose()) && !shown.contains(keys.secret_access_key.expose())
        );
    }
}
