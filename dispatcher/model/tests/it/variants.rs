//! Each guard, taken away, breaks what it is there for.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};
use trace_model::check::{
    Platform, Scenario, Weakness,
    invariant::{
        COUNTERS, CURRENT_VERSION, NO_AUTHORITY, NO_LOST_TASK, NO_STALE_COMMIT, ONE_ATTEMPT, ONE_PLACE,
        ONE_WORKER, OVER_IS_OVER, SAME_CLAIM,
    },
    progress,
    scenario::Fault,
};

use crate::model::steps;

/// What must be broken.
#[derive(Debug, Clone, Copy)]
enum Breaks {
    Invariant(&'static str),
    Progress,
}

use Breaks::{Invariant, Progress};

/// A guard that is missing, where that matters, and what it breaks.
type Row = (Weakness, fn() -> Scenario, Breaks);

#[test]
fn each_guard_is_needed() {
    let table: &[Row] = &[
        (Weakness::CompletionWithoutFence, Scenario::machines, Invariant(NO_STALE_COMMIT)),
        (Weakness::CompletionAfterExpiry, Scenario::machines, Invariant(NO_STALE_COMMIT)),
        (Weakness::ClaimNotRemembered, Scenario::messages, Invariant(SAME_CLAIM)),
        (Weakness::ExpiryByWorkersClock, Scenario::machines, Invariant(ONE_WORKER)),
        (Weakness::DeadlineFromTheAnswer, Scenario::messages, Invariant(ONE_WORKER)),
        (Weakness::HeartbeatRevives, Scenario::machines, Invariant(OVER_IS_OVER)),
        (Weakness::ReaperDoesNotLookAgain, three_lives, Invariant(ONE_WORKER)),
        (Weakness::RequeueKeepsLease, Scenario::machines, Invariant(ONE_PLACE)),
        (Weakness::RequeueKeepsLease, Scenario::machines, Invariant(ONE_ATTEMPT)),
        (Weakness::CutOverWithoutGuard, Scenario::cut_over, Invariant(CURRENT_VERSION)),
        (Weakness::CutOverIncomplete, Scenario::cut_over, Invariant(CURRENT_VERSION)),
        (Weakness::NoRunLock, Scenario::fan_in, Invariant(COUNTERS)),
        (Weakness::NoRunLock, Scenario::fan_in, Invariant(NO_LOST_TASK)),
        (Weakness::FactsFromBeforeTheLock, Scenario::fan_in, Invariant(NO_LOST_TASK)),
        (Weakness::CancelLeasesFirst, Scenario::cancel, Invariant(NO_LOST_TASK)),
        (Weakness::PlaneStaysOpen, Scenario::plane, Invariant(NO_AUTHORITY)),
        (Weakness::BoundFromTheAnswer, Scenario::plane, Invariant(NO_AUTHORITY)),
        (Weakness::FirstSightUnburies, Scenario::plane, Invariant(NO_AUTHORITY)),
        (Weakness::NoSweep, Scenario::messages, Progress),
        (Weakness::NoReaper, Scenario::machines, Progress),
    ];
    let missed = table.iter().filter(|(weakness, scenario, breaks)| {
        let platform = Platform::new(scenario()).with(*weakness);
        let caught = match breaks {
            Invariant(name) => counterexample(platform, name),
            Progress => progress::walk(&platform).trap.map(steps),
        };
        if let Some(steps) = &caught {
            println!("{weakness:?} breaks {breaks:?}:\n{steps}");
        }
        caught.is_none()
    });
    let missed: Vec<_> = missed.map(|(weakness, _, breaks)| (weakness, breaks)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// A task that may lose two workers and is tried again.
fn three_lives() -> Scenario {
    Scenario { max_losses: 3, faults: &[Fault::CrashWorker], most_faults: 1, ..Scenario::machines() }
}

fn counterexample(platform: Platform, broken: &'static str) -> Option<String> {
    let until = HasDiscoveries::AllOf(BTreeSet::from([broken]));
    let checker = platform.checker().finish_when(until).spawn_bfs().join();
    checker.discovery(broken).map(|path| steps(path.into_actions()))
}
