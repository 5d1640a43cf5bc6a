//! What the place where an attempt runs allows, beside what its order says.

use std::{
    future::pending,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep_until};
use trace_contracts::{
    AttemptId,
    wire::lambda::{Tenant, time_for_code},
};

/// The place.
#[derive(Debug)]
pub enum Bounds {
    /// A container that was started for this attempt, and has as much time as it needs.
    Container,
    /// An invocation of Lambda.
    Invocation(Invocation),
}

/// One invocation, in an environment that is one tenant's.
#[derive(Debug)]
pub struct Invocation {
    tenant: Tenant,
    /// The code has ended by then.
    code_until: Instant,
    /// Everything has. Lambda itself ends the environment somewhat later.
    until: Instant,
}

impl Bounds {
    /// Whether this place is for that attempt.
    #[must_use]
    pub fn are_of(&self, attempt: AttemptId) -> bool {
        match self {
            Self::Container => true,
            Self::Invocation(invocation) => invocation.tenant.attempt() == attempt,
        }
    }

    /// What is left for code that may run for `limit`.
    #[must_use]
    pub fn time(&self, limit: Duration) -> Duration {
        match self {
            Self::Container => limit,
            Self::Invocation(invocation) => {
                limit.min(invocation.code_until.saturating_duration_since(Instant::now()))
            }
        }
    }

    /// Waits until what is done here has to be reported, or it never is.
    pub async fn over(&self) {
        match self {
            Self::Container => pending().await,
            Self::Invocation(invocation) => sleep_until(invocation.until).await,
        }
    }
}

impl Invocation {
    /// An invocation that Lambda ends at `deadline`.
    #[must_use]
    pub fn new(tenant: Tenant, deadline: SystemTime) -> Self {
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let now = Instant::now();
        // A twentieth is for the last report.
        Self { tenant, code_until: now + time_for_code(left), until: now + left * 19 / 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_has_its_own_limit_and_no_more_than_its_share_of_the_invocation() {
        let tenant = || Tenant::parse("dev/a40").unwrap();
        let of = |left: Duration| Bounds::Invocation(Invocation::new(tenant(), SystemTime::now() + left));
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        assert_eq!(Bounds::Container.time(hour), hour);
        assert_eq!(of(hour).time(minute), minute);
        let short = of(minute).time(hour);
        assert!(short <= Duration::from_secs(48) && short > Duration::from_secs(40), "{short:?}");
        assert_eq!(of(Duration::ZERO).time(minute), Duration::ZERO);
    }

    #[test]
    fn an_environment_serves_the_attempt_that_it_is_named_after() {
        let bounds =
            Bounds::Invocation(Invocation::new(Tenant::parse("dev/a40").unwrap(), SystemTime::now()));
        assert!(bounds.are_of(AttemptId::from_db(40)) && !bounds.are_of(AttemptId::from_db(41)));
    }
}
