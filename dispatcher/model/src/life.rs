//! The life of one task: where it can be, and how it gets from one place to another. This is the
//! function that both judge by: the checked model each transaction of its dispatchers, the replay
//! each transaction of a real database.

use crate::{
    id::Time,
    row::{Commit, End, Ended, Lease, Outcome, Tries},
    rule::Rule,
};

/// Where a task is. A task is in one place at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It has no row: its inputs are not there yet, or its run ended before they were.
    Waiting,
    /// A limit keeps it.
    Held(Tries),
    /// Whoever claims may have it.
    Ready(Tries),
    /// It failed and is tried again later.
    Delayed(Tries, Time),
    /// It runs.
    Leased(Lease),
    /// It succeeded.
    Committed(Commit),
    /// Its retries are used up.
    Dead,
    /// Its run was cancelled.
    Cancelled,
}

/// The rows of one task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    pub(crate) held: Option<Tries>,
    pub(crate) ready: Option<Tries>,
    pub(crate) delayed: Option<(Tries, Time)>,
    pub(crate) lease: Option<Lease>,
    pub(crate) commit: Option<Commit>,
    pub(crate) end: Option<End>,
}

impl Rows {
    /// Where the task is.
    ///
    /// # Errors
    /// When it is in more than one place.
    pub fn life(&self) -> Result<Life, Rule> {
        let places = [
            self.held.map(Life::Held),
            self.ready.map(Life::Ready),
            self.delayed.map(|(tries, at)| Life::Delayed(tries, at)),
            self.lease.map(Life::Leased),
            self.commit.map(Life::Committed),
            self.end.map(|end| match end {
                End::Dead => Life::Dead,
                End::Cancelled => Life::Cancelled,
            }),
        ];
        let mut there = places.into_iter().flatten();
        match (there.next(), there.next()) {
            (None, _) => Ok(Life::Waiting),
            (Some(life), None) => Ok(life),
            (Some(_), Some(_)) => Err(Rule::OnePlace),
        }
    }
}

/// How a task went from one place to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Its inputs are there.
    Plan,
    /// The limit lets it go.
    Admit,
    /// A worker took it.
    Claim(Lease),
    /// The worker is still at it.
    Extend,
    /// It succeeded.
    Commit(Commit),
    /// It gets another try.
    Again(Ended),
    /// The time of its next try has come.
    Due,
    /// It gets no other try.
    Die(Ended),
    /// Its run was cancelled.
    Cancel,
    /// A user gives it all its tries again.
    Revive,
}

/// How a task got from `before` to `after`; `ended` is the attempt of it that the same transaction
/// put on record.
///
/// # Errors
/// The rule that forbids it.
pub fn step(before: Life, after: Life, ended: Option<Ended>) -> Result<Move, Rule> {
    let fresh = Tries::default();
    match (before, after, ended) {
        (Life::Waiting, Life::Ready(tries) | Life::Held(tries), None) => {
            if tries == fresh {
                Ok(Move::Plan)
            } else {
                Err(Rule::Tries)
            }
        }
        (Life::Held(had), Life::Ready(has), None) => same(had, has).map(|()| Move::Admit),
        (Life::Delayed(had, _), Life::Ready(has) | Life::Held(has), None) => {
            same(had, has).map(|()| Move::Due)
        }
        (Life::Ready(had), Life::Leased(lease), None) => same(had, lease.tries).map(|()| Move::Claim(lease)),
        (Life::Leased(had), Life::Leased(has), None) => {
            let only_longer = Lease { expires_at: has.expires_at, ..had } == has;
            if only_longer { Ok(Move::Extend) } else { Err(Rule::Fence) }
        }
        (Life::Leased(lease), Life::Committed(commit), None) => {
            if commit.fence == lease.fence {
                Ok(Move::Commit(commit))
            } else {
                Err(Rule::Fence)
            }
        }
        (Life::Leased(lease), after, Some(ended)) => {
            if ended.fence != lease.fence {
                return Err(Rule::Fence);
            }
            ending(lease, after, ended)
        }
        (Life::Held(_) | Life::Ready(_) | Life::Delayed(..), Life::Cancelled, None) => Ok(Move::Cancel),
        (Life::Dead, Life::Ready(tries) | Life::Held(tries), None) => {
            if tries == fresh {
                Ok(Move::Revive)
            } else {
                Err(Rule::Tries)
            }
        }
        _ => Err(Rule::Step),
    }
}

fn same(had: Tries, has: Tries) -> Result<(), Rule> {
    if had == has { Ok(()) } else { Err(Rule::Tries) }
}

fn ending(lease: Lease, after: Life, ended: Ended) -> Result<Move, Rule> {
    let Tries { failures, losses } = lease.tries;
    let counted = match ended.outcome {
        Outcome::Failure => Tries { failures: failures + 1, losses },
        Outcome::Loss | Outcome::Expired => Tries { failures, losses: losses + 1 },
        Outcome::Cancelled => {
            return if after == Life::Cancelled { Ok(Move::Cancel) } else { Err(Rule::Step) };
        }
    };
    match after {
        Life::Ready(tries) | Life::Delayed(tries, _) | Life::Held(tries) => {
            same(counted, tries).map(|()| Move::Again(ended))
        }
        Life::Dead => Ok(Move::Die(ended)),
        _ => Err(Rule::Step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{Attempt, Task, Token, Worker},
        row::Fence,
    };

    const FENCE: Fence = Fence { attempt: Attempt(1), worker: Worker(1), token: Token(1) };
    const OTHER: Fence = Fence { token: Token(2), ..FENCE };
    const FRESH: Tries = Tries { failures: 0, losses: 0 };
    const FAILED: Tries = Tries { failures: 1, losses: 0 };
    const LOST: Tries = Tries { failures: 0, losses: 1 };

    fn leased(fence: Fence) -> Life {
        Life::Leased(Lease { fence, tries: FRESH, started_at: Time(0), expires_at: Time(9) })
    }

    fn committed(fence: Fence) -> Life {
        Life::Committed(Commit { fence, committed_at: Time(1) })
    }

    fn ended(fence: Fence, outcome: Outcome) -> Option<Ended> {
        Some(Ended { task: Task(1), fence, outcome, ended_at: Time(1) })
    }

    #[test]
    fn what_is_allowed() {
        let again = |before, after, ended| matches!(step(before, after, ended), Ok(Move::Again(_)));
        assert_eq!(step(Life::Waiting, Life::Ready(FRESH), None), Ok(Move::Plan));
        assert!(matches!(step(Life::Ready(FRESH), leased(FENCE), None), Ok(Move::Claim(_))));
        assert!(matches!(step(leased(FENCE), committed(FENCE), None), Ok(Move::Commit(_))));
        assert!(again(leased(FENCE), Life::Delayed(FAILED, Time(2)), ended(FENCE, Outcome::Failure)));
        assert!(again(leased(FENCE), Life::Ready(LOST), ended(FENCE, Outcome::Expired)));
        assert_eq!(step(Life::Delayed(FAILED, Time(2)), Life::Ready(FAILED), None), Ok(Move::Due));
        assert_eq!(step(Life::Dead, Life::Ready(FRESH), None), Ok(Move::Revive));
        let cancelled = ended(FENCE, Outcome::Cancelled);
        assert_eq!(step(leased(FENCE), Life::Cancelled, cancelled), Ok(Move::Cancel));
    }

    #[test]
    fn what_is_not() {
        let refused = [
            (Life::Waiting, leased(FENCE), None, Rule::Step),
            (Life::Waiting, Life::Ready(FAILED), None, Rule::Tries),
            (leased(FENCE), leased(OTHER), None, Rule::Fence),
            (leased(FENCE), committed(OTHER), None, Rule::Fence),
            (leased(FENCE), Life::Ready(LOST), None, Rule::Step),
            (leased(FENCE), Life::Ready(FRESH), ended(FENCE, Outcome::Expired), Rule::Tries),
            (leased(FENCE), Life::Ready(LOST), ended(OTHER, Outcome::Expired), Rule::Fence),
            (leased(FENCE), committed(FENCE), ended(FENCE, Outcome::Failure), Rule::Step),
            (leased(FENCE), Life::Cancelled, None, Rule::Step),
            (leased(FENCE), Life::Ready(FRESH), ended(FENCE, Outcome::Cancelled), Rule::Step),
            (committed(FENCE), Life::Ready(FRESH), None, Rule::Step),
            (committed(FENCE), Life::Waiting, None, Rule::Step),
            (Life::Cancelled, Life::Ready(FRESH), None, Rule::Step),
            (Life::Ready(FRESH), committed(FENCE), None, Rule::Step),
            (Life::Ready(FAILED), leased(FENCE), None, Rule::Tries),
            (Life::Ready(FRESH), Life::Waiting, None, Rule::Step),
            (Life::Dead, Life::Cancelled, None, Rule::Step),
        ];
        for (before, after, ended, rule) in refused {
            assert_eq!(step(before, after, ended), Err(rule), "{before:?} to {after:?} with {ended:?}");
        }
    }

    #[test]
    fn two_rows_are_two_places() {
        let rows = Rows { ready: Some(FRESH), ..Rows::default() };
        assert_eq!(rows.life(), Ok(Life::Ready(FRESH)));
        assert_eq!(Rows { end: Some(End::Dead), ..rows }.life(), Err(Rule::OnePlace));
    }
}
