//! What attempts have used of their grants, in this gateway's memory.
//!
//! Several gateways count each for itself; see `docs/egress.md`. An attempt's figures outlast its tokens,
//! so that a renewed one starts where the last one stopped.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use trace_contracts::{AttemptId, Capability, Destination, EgressGrant, destination::MAX_EGRESS_GRANTS};
use trace_controls::{Protection, limited, stands};

use crate::policy::Rule;

/// Attempts remembered at most.
const MAX_ATTEMPTS: usize = 200_000;
/// Destinations remembered for one attempt: grants can change between two tokens.
const MAX_DESTINATIONS: usize = 4 * MAX_EGRESS_GRANTS;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the task.
    Up,
    /// To the task.
    Down,
}

/// The grant's bytes are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes that were granted for this destination are used up")]
pub(crate) struct Spent;

/// What all attempts have used; shared.
#[derive(Default)]
pub(crate) struct Ledger {
    attempts: Mutex<HashMap<AttemptId, Account>>,
}

struct Account {
    used: Vec<(Destination, Arc<Used>)>,
    at_once: usize,
    /// The latest end of the tokens that it showed.
    until: DateTime<Utc>,
}

/// What an attempt has used of one destination.
#[derive(Default)]
struct Used {
    bytes: AtomicU64,
    requests: AtomicU64,
}

/// The permit for one request or tunnel of an attempt, counted against its grant. Drop it at its end.
pub(crate) struct Ticket {
    ledger: Arc<Ledger>,
    attempt: AttemptId,
    used: Arc<Used>,
    max_bytes: u64,
}

/// What one request or tunnel has used, counted against its grant too.
pub(crate) struct Usage {
    ticket: Ticket,
    up: AtomicU64,
    down: AtomicU64,
    spent: AtomicBool,
}

impl Ledger {
    /// Admits one request or tunnel to a destination, if it is granted and the grant has something left.
    pub(crate) fn admit(
        self: &Arc<Self>,
        capability: &Capability,
        destination: &Destination,
        at_once: usize,
    ) -> Result<Ticket, Rule> {
        let grant = granted(capability, destination).ok_or(Rule::NotGranted)?;
        let (attempt, until) = (capability.attempt(), capability.expires_at());
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if !attempts.contains_key(&attempt) && attempts.len() >= MAX_ATTEMPTS {
            make_room(&mut attempts, Utc::now());
            if attempts.len() >= MAX_ATTEMPTS {
                return Err(Rule::Crowded);
            }
        }
        let account =
            attempts.entry(attempt).or_insert_with(|| Account { used: Vec::new(), at_once: 0, until });
        account.until = account.until.max(until);
        if account.at_once >= at_once {
            return Err(Rule::AttemptLimit);
        }
        let used = account.used_of(destination)?;
        let max_bytes = limited(Protection::EgressBudget, grant.max_bytes);
        if used.bytes.load(Ordering::Relaxed) >= max_bytes {
            return Err(Rule::ByteBudget);
        }
        let max_requests = limited(Protection::EgressBudget, u64::from(grant.max_requests));
        if used.requests.load(Ordering::Relaxed) >= max_requests {
            return Err(Rule::RequestBudget);
        }
        used.requests.fetch_add(1, Ordering::Relaxed);
        account.at_once += 1;
        drop(attempts);
        Ok(Ticket { ledger: Arc::clone(self), attempt, used, max_bytes })
    }

    fn leave(&self, attempt: AttemptId) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = attempts.get_mut(&attempt) {
            account.at_once = account.at_once.saturating_sub(1);
        }
    }
}

impl Account {
    fn used_of(&mut self, destination: &Destination) -> Result<Arc<Used>, Rule> {
        if let Some((_, used)) = self.used.iter().find(|(known, _)| known == destination) {
            return Ok(Arc::clone(used));
        }
        if self.used.len() >= MAX_DESTINATIONS {
            return Err(Rule::Crowded);
        }
        let used = Arc::new(Used::default());
        self.used.push((destination.clone(), Arc::clone(&used)));
        Ok(used)
    }
}

/// Host and port exactly.
fn granted<'a>(capability: &'a Capability, destination: &Destination) -> Option<&'a EgressGrant> {
    let grants = &capability.grants().egress;
    let exactly = grants.iter().find(|grant| grant.destination == *destination);
    if stands(Protection::EgressGrants) { exactly } else { exactly.or_else(|| grants.first()) }
}

/// Forgets attempts whose last token ended longest ago. Few of these live: a task that lives renews its token.
fn make_room(attempts: &mut HashMap<AttemptId, Account>, now: DateTime<Utc>) {
    for hours in [24, 1, 0] {
        let before = now - TimeDelta::hours(hours);
        attempts.retain(|_, account| account.at_once > 0 || account.until >= before);
        if attempts.len() < MAX_ATTEMPTS {
            return;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ledger.leave(self.attempt);
    }
}

impl Usage {
    pub(crate) const fn new(ticket: Ticket) -> Self {
        Self { ticket, up: AtomicU64::new(0), down: AtomicU64::new(0), spent: AtomicBool::new(false) }
    }

    /// Counts bytes that are about to be passed on.
    pub(crate) fn count(&self, direction: Direction, bytes: u64) -> Result<(), Spent> {
        let before = self.ticket.used.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.ticket.max_bytes {
            self.spent.store(true, Ordering::Relaxed);
            return Err(Spent);
        }
        let counted = if direction == Direction::Up { &self.up } else { &self.down };
        counted.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes that were passed on from the task.
    pub(crate) fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Bytes that were passed on to the task.
    pub(crate) fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether it ended because the grant's bytes were used up.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// Both.
    pub(crate) fn total(&self) -> u64 {
        self.up() + self.down()
    }
}
