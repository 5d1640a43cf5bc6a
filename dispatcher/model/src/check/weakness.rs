//! Guards that can be taken away, one at a time.

/// A guard that is missing. Each is what a plausible mistake in the code would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weakness {
    /// A completion ends whatever lease its task has (`db::fences::open` without the fence).
    CompletionWithoutFence,
    /// A completion counts although its lease has run out (`hold` without `expires_at`).
    CompletionAfterExpiry,
    /// What a claim was given is not remembered (`db::claims::answered`, `claim_tasks`).
    ClaimNotRemembered,
    /// The ends of leases are compared with clocks that differ: a lease is over for the reaper
    /// while its worker still counts on it.
    ExpiryByWorkersClock,
    /// A worker counts its own deadline from the answer to its claim and not from the question.
    DeadlineFromTheAnswer,
    /// A heartbeat extends a lease that has run out (`db::leases::extend` without `expires_at`).
    HeartbeatRevives,
    /// A version becomes current even if a newer one is (`db::versions::cut_over` without its guard).
    CutOverWithoutGuard,
    /// A version becomes current with its first partition.
    CutOverIncomplete,
    /// A task that failed is made ready and its lease stays (`db::attempts::end` left out).
    RequeueKeepsLease,
    /// The reaper takes back whatever lease the task has by then (`hold_expired` by task alone).
    ReaperDoesNotLookAgain,
    /// Commits do not lock their run (`Fenced::lock` left out).
    NoRunLock,
    /// The planner's facts are read before the run is locked.
    FactsFromBeforeTheLock,
    /// Cancelling looks at leases before it takes what is ready (`Fenced::hold_run` the wrong way
    /// round), so that a claim slips through in between.
    CancelLeasesFirst,
    /// A plane that hears nothing goes on believing (`Inner::expire` left out).
    PlaneStaysOpen,
    /// A plane counts its bound from the last answer about anything, not for each attempt from the
    /// question about it.
    BoundFromTheAnswer,
    /// A plane believes a late answer about an attempt that it has buried meanwhile
    /// (`Liveness::admit` does not look at what it knows again).
    FirstSightUnburies,
    /// Nobody sends wake-ups again.
    NoSweep,
    /// Nobody takes leases back.
    NoReaper,
}
