//! From what the rows of a task say to why it stands there. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use trace_contracts::{
    AttemptId, Name, UserId,
    wire::why::{Cause, LastAttempt, LimitUse},
};

use crate::dag::spec::Rate;

/// What is known of one task that has a row, or whose run has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Details {
    /// Its row in `ready`, and the workers.
    Ready {
        /// Since when it is ready.
        since: DateTime<Utc>,
        /// Who could take it.
        workers: Workers,
    },
    /// Its row in `held`.
    Held {
        /// Since when it is held.
        since: DateTime<Utc>,
        /// The limits over it that are reached.
        reached: Vec<LimitUse>,
        /// The rate of its job, and seconds until it lets one go; absent when it does now, or there is none.
        rate: Option<(Rate, f64)>,
        /// Its place in line, from 1.
        position: u64,
    },
    /// Its row in `delayed`.
    Delayed {
        /// Not before then.
        until: DateTime<Utc>,
        /// Its last attempt.
        last: Option<LastAttempt>,
    },
    /// Its row in `leases`.
    Leased {
        /// The attempt.
        attempt: AttemptId,
        /// The worker's name.
        worker: String,
        /// Since when.
        since: DateTime<Utc>,
        /// Until when.
        until: DateTime<Utc>,
    },
    /// Its row in `commits`.
    Committed {
        /// The attempt.
        attempt: AttemptId,
        /// When.
        at: DateTime<Utc>,
    },
    /// It is on the dead-letter list.
    Dead {
        /// Its last attempt.
        last: Option<LastAttempt>,
    },
    /// Its run was cancelled.
    Cancelled {
        /// Who did it.
        by: Option<UserId>,
        /// When.
        at: Option<DateTime<Utc>>,
    },
    /// It has no row and nothing above it explains why.
    Nothing,
}

/// What is known of workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Workers {
    /// When one last asked for tasks, to the minute.
    pub last_claim: Option<DateTime<Utc>>,
    /// When a task was last given out.
    pub last_lease: Option<DateTime<Utc>>,
    /// Leases that hold.
    pub running: u64,
}

/// A worker that asks for tasks says so at least this often: its longest wait, the time in which another
/// word of it is not written down, and as much again for a slow network.
pub const SILENCE: TimeDelta = TimeDelta::seconds(150);
/// A wake-up takes milliseconds. What is ready for longer than this was not just made ready.
const JUST_NOW: TimeDelta = TimeDelta::seconds(2);

/// Why a task stands where it stands.
#[must_use]
pub fn cause(details: Details, now: DateTime<Utc>) -> Cause {
    match details {
        Details::Ready { since, workers } => ready(since, workers, now),
        Details::Held { since, reached, rate, position } => {
            if !reached.is_empty() {
                return Cause::LimitReached { limits: reached, position, since };
            }
            let Some((rate, seconds)) = rate else { return Cause::AdmissionDue { since } };
            let next_at = now + TimeDelta::milliseconds((seconds * 1000.0).ceil() as i64);
            Cause::RateReached {
                tasks: rate.tasks,
                per: rate.per.as_str().to_owned(),
                next_at,
                position,
                since,
            }
        }
        Details::Delayed { until, last } => Cause::RetryAt { at: until, last },
        Details::Leased { attempt, worker, since, until } => {
            Cause::Running { attempt, worker, since, lease_until: until }
        }
        Details::Committed { attempt, at } => Cause::Succeeded { attempt, at },
        Details::Dead { last } => Cause::Dead { last },
        Details::Cancelled { by, at } => Cause::Cancelled { by, at },
        Details::Nothing => Cause::Skipped { root: None },
    }
}

fn ready(since: DateTime<Utc>, workers: Workers, now: DateTime<Utc>) -> Cause {
    if now - since < JUST_NOW {
        return Cause::Ready { since };
    }
    let asked = workers.last_claim.filter(|at| now - *at < SILENCE);
    let given = workers.last_lease.is_some_and(|at| at >= since);
    match asked {
        // A worker without a free slot does not ask.
        None if workers.running > 0 => Cause::WorkersBusy { since, running: workers.running },
        None => Cause::NoWorker { since, last_claim: workers.last_claim },
        Some(_) if given => Cause::WorkersBusy { since, running: workers.running },
        // Written down only now and then, so an older word may be of a worker that is full since.
        Some(last_claim) if last_claim < since && workers.running > 0 => {
            Cause::WorkersBusy { since, running: workers.running }
        }
        Some(last_claim) => Cause::WakeUpLate { since, last_claim },
    }
}

/// A name for messages: the job, and the partition unless the job has none.
#[must_use]
pub fn called(job: &Name, partition: &trace_contracts::PartitionKey) -> String {
    if partition.is_whole() { job.to_string() } else { format!("{job} {}", &**partition) }
}
