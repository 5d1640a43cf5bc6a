//! leased → ready again, or dead.

use std::collections::BTreeSet;

use rand::Rng;
use trace_contracts::{RunId, TaskId, wire::user::TaskState, wire::worker::FailureReason};

use super::{Core, Error};
use crate::{
    config::Limits,
    dag::spec::Retries,
    db::{self, attempts::Ending, ready::Again},
    lease::{Fenced, Held},
    webhooks::notice::Event,
};

/// Why an attempt failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// For programs.
    pub reason: FailureReason,
    /// For people.
    pub detail: String,
}

/// What a task that failed does next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Another try.
    Again {
        /// Not before this many seconds from now.
        delay_seconds: f64,
        /// Tries so far that count.
        failures: u32,
        /// Tries so far whose worker was lost.
        losses: u32,
    },
    /// Its retries are used up.
    RetriesUsedUp,
    /// Too many workers were lost over it.
    TooManyLosses,
}

/// The longest delay before another try, in seconds.
const MAX_DELAY_SECONDS: f64 = 3600.0;
/// The delay after the second loss of a worker; doubled for each further one.
const LOSS_DELAY_SECONDS: f64 = 0.5;

/// Decides what a task does after a failure. `jitter` lies in ±1 and moves the delay by up to a
/// fifth, so that tasks that failed together do not come back together.
#[must_use]
pub fn next(
    retries: Retries,
    limits: &Limits,
    failures: u32,
    losses: u32,
    reason: FailureReason,
    jitter: f64,
) -> Next {
    let spread = |seconds: f64| (seconds * (1.0 + jitter / 5.0)).clamp(0.0, MAX_DELAY_SECONDS);
    if reason.counts_as_failure() {
        if failures >= retries.max {
            return Next::RetriesUsedUp;
        }
        let base = std::time::Duration::from_millis(retries.backoff_ms).as_secs_f64();
        let delay_seconds = spread(doubled(base, failures));
        return Next::Again { delay_seconds, failures: failures + 1, losses };
    }
    if losses + 1 >= limits.max_losses {
        return Next::TooManyLosses;
    }
    // The first loss is most likely the worker's, and another one may take the task at once.
    let delay_seconds = if losses == 0 { 0.0 } else { spread(doubled(LOSS_DELAY_SECONDS, losses - 1)) };
    Next::Again { delay_seconds, failures, losses: losses + 1 }
}

fn doubled(base: f64, times: u32) -> f64 {
    base * 2f64.powi(times.min(30).cast_signed())
}

/// Ends held leases whose attempts failed, and puts their tasks back or on the dead-letter list.
///
/// # Errors
/// When the database fails.
pub async fn fail(fenced: &mut Fenced<'_>, core: &Core, failed: Vec<(Held, Failure)>) -> Result<(), Error> {
    if failed.is_empty() {
        return Ok(());
    }
    let runs: BTreeSet<RunId> = failed.iter().map(|(held, _)| held.run()).collect();
    let facts = core.facts.of(fenced.conn(), &runs).await?;
    let mut again = Vec::new();
    let mut dead: Vec<TaskId> = Vec::new();
    let mut details = Vec::with_capacity(failed.len());
    for (held, failure) in &failed {
        let run = facts.get(&held.run()).ok_or_else(|| db::Error::corrupt("a run", held.run()))?;
        let retries = run.place(held.task)?.spec.retries;
        let jitter = rand::rng().random_range(-1.0..=1.0);
        let next = next(retries, &core.limits, held.failures, held.losses, failure.reason, jitter);
        details.push(detail(failure, next));
        match next {
            Next::Again { delay_seconds, failures, losses } => {
                again.push(Again { task: held.task, delay_seconds, failures, losses });
            }
            Next::RetriesUsedUp | Next::TooManyLosses => {
                dead.push(held.task);
                fenced.tell(run, Event::TaskDead(held.task, failure.reason))?;
                fenced.change(held.run(), |progress| {
                    progress.open -= 1;
                    progress.dead += 1;
                });
            }
        }
    }
    let endings: Vec<Ending<'_>> = failed
        .iter()
        .zip(&details)
        .map(|((held, failure), detail)| Ending {
            held,
            outcome: failure.reason.as_str(),
            detail: Some(detail),
        })
        .collect();
    fenced.end(&endings).await?;
    fenced.again(&again).await?;
    if !dead.is_empty() {
        db::tasks::end(fenced.conn(), &dead, TaskState::Dead).await?;
    }
    Ok(())
}

/// The detail for people; says so when the task is given up for lost workers, which no retry setting
/// explains.
fn detail(failure: &Failure, next: Next) -> String {
    match next {
        Next::TooManyLosses => format!(
            "{}; given up after too many lost workers: look at the workers' logs, then retry the task",
            failure.detail
        ),
        Next::Again { .. } | Next::RetriesUsedUp => failure.detail.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIES: Retries = Retries { max: 2, backoff_ms: 1000 };

    fn after(failures: u32, losses: u32, reason: FailureReason) -> Next {
        next(RETRIES, &Limits::default(), failures, losses, reason, 0.0)
    }

    #[test]
    fn failures_back_off_and_end_dead() {
        let again = |delay_seconds, failures| Next::Again { delay_seconds, failures, losses: 0 };
        assert_eq!(after(0, 0, FailureReason::Exit), again(1.0, 1));
        assert_eq!(after(1, 0, FailureReason::Memory), again(2.0, 2));
        assert_eq!(after(2, 0, FailureReason::Timeout), Next::RetriesUsedUp);
    }

    #[test]
    fn lost_workers_use_up_no_retries_but_are_bounded() {
        let again = |delay_seconds, losses| Next::Again { delay_seconds, failures: 2, losses };
        assert_eq!(after(2, 0, FailureReason::LeaseExpired), again(0.0, 1));
        assert_eq!(after(2, 1, FailureReason::WorkerStopping), again(0.5, 2));
        assert_eq!(after(2, 3, FailureReason::Launch), again(2.0, 4));
        assert_eq!(after(2, 15, FailureReason::LeaseExpired), Next::TooManyLosses);
    }

    #[test]
    fn jitter_moves_a_delay_by_a_fifth_and_no_delay_is_endless() {
        let delay = |jitter, failures| {
            let retries = Retries { max: 99, backoff_ms: 1000 };
            match next(retries, &Limits::default(), failures, 0, FailureReason::Exit, jitter) {
                Next::Again { delay_seconds, .. } => delay_seconds,
                other => panic!("{other:?}"),
            }
        };
        assert!((delay(1.0, 0) - 1.2).abs() < 1e-9 && (delay(-1.0, 0) - 0.8).abs() < 1e-9);
        assert!(delay(1.0, 98) <= MAX_DELAY_SECONDS);
    }
}
